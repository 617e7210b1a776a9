"""Where the network is computed, and with which numbers."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from photochrom.worker.errors import UsageError
from photochrom.worker.inference.cpu import has_fast_bfloat16

Wanted = Literal["auto", "cpu", "cuda"]

FIRST_FAST_BFLOAT16 = (8, 0)
"""CUDA's compute capability from which on bfloat16 is as fast as float16; before it, it is emulated."""

FIRST_FAST_FLOAT16 = (7, 0)


class Device(NamedTuple):
    """A processor or an accelerator.

    `numbers` are those of weights and activations: float32, bfloat16 or float16; `batched` says whether it computes
    several pictures at a time (on a processor that is slower than one after another).
    """

    place: torch.device
    numbers: torch.dtype
    batched: bool

    @property
    def is_processor(self) -> bool:
        return self.place.type == "cpu"

    @property
    def precision(self) -> str:
        return str(self.numbers).removeprefix("torch.")


def choose(wanted: Wanted) -> Device:
    """The device of that name; for "auto", an accelerator where there is one. Raises UsageError where there is none."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return Device(torch.device("cpu"), torch.bfloat16 if has_fast_bfloat16() else torch.float32, batched=False)
    if not torch.cuda.is_available():
        raise UsageError("PHOTOCHROM_DEVICE is cuda, but torch finds no such device here")
    return Device(torch.device("cuda"), _numbers(torch.cuda.get_device_capability()), batched=True)


def _numbers(capability: tuple[int, int]) -> torch.dtype:
    """bfloat16 where it is as fast, since its range is float32's; else float16 where that is fast; else float32."""
    if capability >= FIRST_FAST_BFLOAT16:
        return torch.bfloat16
    return torch.float16 if capability >= FIRST_FAST_FLOAT16 else torch.float32
