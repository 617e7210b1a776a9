"""The engine: a loaded model that predicts chroma, cached once in each process."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import numpy as np
import torch

from worker.models import checkpoint, registry
from worker.models.checkpoint import Card, Network
from worker.processor import has_fast_bfloat16, keep_freed_memory


class Engine:
    """`predict(gray) -> chroma` on the CPU: bfloat16 weights where the processor multiplies them, else float32."""

    def __init__(self, network: Network, card: Card) -> None:
        self.card = card
        self.low_precision = has_fast_bfloat16()
        self.network = network.requires_grad_(False).to(memory_format=torch.channels_last)
        if self.low_precision:
            for module in self.network.modules():
                if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                    module.to(torch.bfloat16)  # not batch norm: its variances need the precision

    @classmethod
    def load(cls, weights: Path) -> Engine:
        """Load and verify a checkpoint. Raises CheckpointError."""
        return cls(*checkpoint.read(weights))

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The size of the gray copy that the model wants of a photograph of height x width."""
        return self.network.input_size(height, width)

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        """Gray uint8 (h, w), of `input_size`, to chroma float32 (2, h', w') in -0.5..0.5, about the same part of it.

        `vividness`, 0..1, replaces the model's own.
        """
        luma = torch.from_numpy(gray.astype(np.float32))[None, None] / 255
        luma = luma.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.low_precision):
            return self.network.chroma(luma, vividness)[0].float().numpy()


_loading = threading.Lock()


def engine_for(model: str) -> Engine:
    """The engine of a model by its name, loaded once in this process. Raises CheckpointError."""
    with _loading:
        return _cached(registry.weights_of(model))


@cache
def _cached(weights: Path) -> Engine:
    return Engine.load(weights)


def prepare_process(threads: int) -> None:
    """Set up torch in a process that will predict. Never in a process that forks afterwards: its children hang."""
    keep_freed_memory()
    torch.set_num_threads(threads)
