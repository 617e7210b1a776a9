"""The engine: the same chroma from a processor and from a device, and what belongs to it ends with it."""

import copy
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from photochrom.worker.errors import CheckpointError, OutOfMemoryFault, UsageError
from photochrom.worker.inference import engine as module
from photochrom.worker.inference import served_models
from photochrom.worker.inference.device import Device
from photochrom.worker.inference.engine import Engine
from photochrom.worker.inference.served_models import Serving
from photochrom.worker.models.autoencoder import Autoencoder, AutoencoderConfig
from photochrom.worker.models.registry import Pointer, Promotion
from photochrom.worker.settings import Settings

CPU = torch.device("cpu")
PROCESSOR = Device(CPU, torch.float32, batched=False)
SIMULATED = Device(CPU, torch.float32, batched=True)
"""The code of an accelerator, with the device set to the processor."""

CARD = SimpleNamespace(name="model", sha256="1" * 64)
CHOSEN = Settings(engine="torch", batch_images=4, batch_wait=0.002)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Autoencoder(AutoencoderConfig(side=16, filters=(4, 6), dense=8)).eval()
    with torch.no_grad():
        for layer in (network.squeeze, network.expand, network.conv4):
            layer.weight.mul_(8)  # so that another picture gets other colours
    return network


@pytest.fixture
def batchers():
    """Threads of batchers that this test has started."""
    before = set(threading.enumerate())
    return lambda: {thread for thread in threading.enumerate() if thread.name == "batcher"} - before


def gray(seed):
    return np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)


def test_a_device_gives_many_threads_what_a_processor_gives_one(network):
    alone, batched = Engine(network, CARD, CHOSEN, PROCESSOR), Engine(network, CARD, CHOSEN, SIMULATED)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: batched.predict(gray(seed)), range(24)))
    expected = [alone.predict(gray(seed)) for seed in range(24)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found[0].shape == (2, 16, 16)
    assert found[0].dtype == np.float32
    assert abs(expected[0] - expected[1]).max() > 1e-3


def test_a_processor_may_be_asked_from_several_threads(network):
    engine = Engine(network, CARD, CHOSEN, PROCESSOR)
    expected = [engine.predict(gray(seed)) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(list(pool.map(lambda seed: engine.predict(gray(seed)), range(8))), expected)


def test_it_says_in_one_line_what_computes(network):
    assert Engine(network, CARD, CHOSEN, PROCESSOR).describe() == "processor, float32, torch, one picture at a time"
    assert (
        Engine(network, CARD, CHOSEN, SIMULATED).describe()
        == "processor, float32, torch, up to 4 pictures at a time, 2 ms waited for"
    )


def test_a_device_is_warm_in_all_sizes_before_the_first_picture(network, monkeypatch):
    seen = set()

    def recorded(grays, vividness):
        seen.add((len(grays), grays[0].shape))
        return np.zeros((len(grays), 2, 1, 1), np.float32)

    monkeypatch.setattr(module, "predictor", lambda *_: recorded)
    monkeypatch.setattr(Engine, "input_size", lambda self, height, width: (32 if height > width else 16, 16))
    Engine(network, CARD, CHOSEN, SIMULATED)
    assert seen == {(1, (16, 16)), (4, (16, 16)), (1, (32, 16)), (4, (32, 16))}


def test_a_device_without_room_for_one_picture_fails_while_loading(network, monkeypatch):
    def none(grays, vividness):
        raise OutOfMemoryFault("out of memory on the device")

    monkeypatch.setattr(module, "predictor", lambda *_: none)
    monkeypatch.setattr(Engine, "input_size", lambda self, height, width: (16, 16))
    with pytest.raises(OutOfMemoryFault):
        Engine(network, CARD, CHOSEN, SIMULATED)


@pytest.mark.parametrize("device", [PROCESSOR, SIMULATED])
@pytest.mark.parametrize(("bias", "good"), [(0.0, True), (float("nan"), False)])
def test_a_model_that_predicts_no_chroma_does_not_pass_the_check(network, device, bias, good):
    network = copy.deepcopy(network)
    network.conv4.bias.data.add_(bias)
    engine = Engine(network, CARD, CHOSEN, device)
    if good:
        engine.check()
    else:
        with pytest.raises(CheckpointError, match="model 111111111111 does not predict chroma"):
            engine.check()


def test_another_promotion_of_it_shares_what_computes(network, batchers):
    engine = Engine(network, CARD, CHOSEN, SIMULATED)
    other = engine.promoted(7)
    assert (engine.promotion, other.promotion, len(batchers())) == (0, 7, 1)
    del engine
    gc.collect()
    assert other.predict(gray(0)).shape == (2, 16, 16)


def test_its_batcher_ends_with_it(network, batchers):
    engine = Engine(network, CARD, CHOSEN, SIMULATED)
    (thread,) = batchers()
    del engine
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


def test_when_the_champion_changes_who_waits_is_answered_and_the_old_batcher_goes(network, batchers, monkeypatch):
    def load(sha256):
        card = SimpleNamespace(name="model", sha256=sha256)
        return Engine(network, card, CHOSEN.model_copy(update={"batch_wait": 0.2}), SIMULATED)

    pointers = [Pointer(Promotion(sequence=n, sha256=str(n) * 64, name="model"), str(n)) for n in (1, 2)]
    monkeypatch.setattr(served_models.Engine, "load", load)
    served = Serving(SimpleNamespace(pointer=lambda: pointers[0], weights=lambda sha256: sha256))
    waiting = served.engine("champion")._batcher._owner._waiting
    (old,) = batchers()
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(lambda seed=seed: served.engine("champion").predict(gray(seed))) for seed in range(3)]
        while not waiting:
            pass
        del pointers[0]
        served.look()
        assert [answer.result().shape for answer in answers] == [(2, 16, 16)] * 3
    assert served.engine("champion").card.sha256 == "2" * 64
    del waiting
    gc.collect()
    old.join(60)
    assert not old.is_alive()
    assert len(batchers()) == 1


def test_a_device_that_is_not_there_is_a_wrong_setting(network, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="PHOTOCHROM_DEVICE is cuda"):
        Engine(network, CARD, Settings(device="cuda"))
