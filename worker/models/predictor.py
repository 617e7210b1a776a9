"""A folded network that predicts: gray pictures in, chroma out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from photochrom.worker.errors import OutOfMemoryFault, WorkerFault
from photochrom.worker.inference.device import Device
from photochrom.worker.models.forms import Form

PROBE_SIDE = 224
"""Of a photograph that is square."""


class Computing(Protocol):
    """Computes a form's output."""

    name: str
    precision: str

    def output(self, gray: Tensor) -> Tensor:
        """Gray uint8 (n, h, w) to what the form gives, channels last."""


class Predictor:
    """Calls compute chroma. On a device one thread calls at a time; on a processor several may."""

    def __init__(self, form: Form, computing: Computing, device: Device) -> None:
        self.form, self.computing, self.device = form, computing, device

    @torch.inference_mode()
    def __call__(self, grays: Sequence[np.ndarray], vividness: float | None = None) -> np.ndarray:
        """Gray uint8 of one size, each (h, w), to chroma float32 (n, 2, h', w').

        Raises OutOfMemoryFault, and WorkerFault for a device that fails.
        """
        with _device_translated():
            batch = self._buffer((len(grays), *grays[0].shape), torch.uint8)
            np.stack(grays, out=batch.numpy())
            chroma = self.form.read_out(self.computing.output(batch), vividness)
            if self.device.is_processor:
                return np.ascontiguousarray(chroma.numpy())
            found = self._buffer(tuple(chroma.shape), torch.float32)
            found.copy_(chroma, non_blocking=True)
            torch.cuda.current_stream().synchronize()
            return found.numpy()

    def _buffer(self, shape: tuple[int, ...], numbers: torch.dtype) -> Tensor:
        """Memory of this machine that an accelerator can fetch by itself."""
        return torch.empty(shape, dtype=numbers, pin_memory=not self.device.is_processor)


@contextmanager
def _device_translated() -> Iterator[None]:
    """Raises OutOfMemoryFault where a device, or torch on a processor, had no room; WorkerFault for one that fails."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemoryFault("out of memory on the device") from error
    except torch.AcceleratorError as error:
        raise WorkerFault(f"the device failed: {str(error).splitlines()[0]}") from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise OutOfMemoryFault("out of memory") from error


def probe(form: Form) -> np.ndarray:
    """A picture of smooth tones and of edges, gray uint8 (h, w), at a size that the form wants."""
    height, width = form.input_size(PROBE_SIDE, PROBE_SIDE)
    down, across = np.mgrid[0:height, 0:width]
    waves = 127.5 + 60 * np.sin(across / 17) + 60 * np.cos(down / 29 + across / 41)
    return np.where((down // 32 + across // 48) % 5 == 0, 255 - waves, waves).astype(np.uint8)
