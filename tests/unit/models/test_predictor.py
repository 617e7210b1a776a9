"""What goes wrong while chroma is computed, as errors of ours."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from photochrom.worker.errors import OutOfMemoryFault, WorkerFault
from photochrom.worker.inference.device import Device
from photochrom.worker.models.predictor import Predictor

DEVICE = Device(torch.device("cpu"), torch.float32, batched=False)
GRAY = np.zeros((4, 4), np.uint8)


FORM = SimpleNamespace(read_out=lambda output, vividness: output)


class Failing:
    name = precision = ""

    def __init__(self, error):
        self.error = error

    def output(self, gray):
        raise self.error


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), OutOfMemoryFault),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), OutOfMemoryFault),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore"), WorkerFault),
    ],
)
def test_a_device_without_room_and_one_that_fails_are_told_apart(error, ours):
    with pytest.raises(WorkerFault) as caught:
        Predictor(FORM, Failing(error), DEVICE)([GRAY])
    assert type(caught.value) is ours
    assert "\n" not in str(caught.value)


def test_what_is_no_fault_of_the_device_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes"):
        Predictor(FORM, Failing(RuntimeError("shapes do not fit")), DEVICE)([GRAY])


def test_room_that_there_never_is_on_this_machine_is_out_of_memory():
    class Greedy:
        name = precision = ""

        def output(self, gray):
            return torch.empty(2**60, dtype=torch.uint8)

    with pytest.raises(OutOfMemoryFault):
        Predictor(FORM, Greedy(), DEVICE)([GRAY])
