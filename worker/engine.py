"""The engine: a loaded model that predicts chroma."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Self

import numpy as np
import torch

from worker.errors import CheckpointError
from worker.models import checkpoint
from worker.models.checkpoint import Card, Network
from worker.processor import has_fast_bfloat16, keep_freed_memory

CHECKED_SIDE = 224


class Engine:
    """`predict(gray) -> chroma` on the CPU: bfloat16 weights where the processor multiplies them, else float32."""

    promotion = 0
    """Sequence number of the promotion that this model is served by; 0 for starters, and for versions that jobs pin."""

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

    def promoted(self, sequence: int) -> Self:
        """The same engine, served by another promotion."""
        other = copy.copy(self)
        other.promotion = sequence
        return other

    def check(self) -> None:
        """Predict once. Raises CheckpointError for what is no chroma."""
        gray = np.tile(np.linspace(0, 255, CHECKED_SIDE).astype(np.uint8), (CHECKED_SIDE, 1))
        chroma = self.predict(np.resize(gray, self.input_size(*gray.shape)))
        if chroma.shape[:1] != (2,) or not np.isfinite(chroma).all() or np.abs(chroma).max() > 0.5:
            raise CheckpointError(f"{self.card.name} {self.card.sha256[:12]} does not predict chroma")

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


def prepare_process(threads: int) -> None:
    """Set up torch in a process that will predict. Never in a process that forks afterwards: its children hang."""
    keep_freed_memory()
    torch.set_num_threads(threads)
