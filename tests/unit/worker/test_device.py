"""Which device computes the network, and with which numbers."""

import pytest
import torch

from photochrom.worker.errors import UsageError
from photochrom.worker.inference import device
from photochrom.worker.inference.device import choose


@pytest.fixture
def accelerator(monkeypatch):
    """Let torch find none, or one of that compute capability."""

    def put(capability):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)

    return put


@pytest.mark.parametrize(("fast", "numbers"), [(True, torch.bfloat16), (False, torch.float32)])
@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_a_processor_computes_one_picture_after_another(accelerator, monkeypatch, wanted, fast, numbers):
    accelerator((9, 0) if wanted == "cpu" else None)
    monkeypatch.setattr(device, "has_fast_bfloat16", lambda: fast)
    found = choose(wanted)
    assert (found.place.type, found.numbers, found.batched, found.is_processor) == ("cpu", numbers, False, True)


CAPABLE = {
    (6, 1): torch.float32,
    (7, 0): torch.float16,
    (7, 5): torch.float16,
    (8, 0): torch.bfloat16,
    (8, 9): torch.bfloat16,
    (12, 0): torch.bfloat16,
}


@pytest.mark.parametrize(("capability", "numbers"), CAPABLE.items())
@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_an_accelerator_computes_batches_in_what_it_is_fast_at(accelerator, wanted, capability, numbers):
    accelerator(capability)
    found = choose(wanted)
    assert (found.place.type, found.numbers, found.batched, found.is_processor) == ("cuda", numbers, True, False)


def test_an_accelerator_that_is_not_there_is_a_wrong_setting(accelerator):
    accelerator(None)
    with pytest.raises(UsageError, match="PHOTOCHROM_DEVICE is cuda, but torch finds no such device"):
        choose("cuda")


def test_its_precision_has_a_plain_name(accelerator):
    accelerator((8, 0))
    assert choose("auto").precision == "bfloat16"
