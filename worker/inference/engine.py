"""The engine: a loaded model that predicts chroma."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Self

import numpy as np
import torch

from photochrom.worker.errors import CheckpointError
from photochrom.worker.inference.backends import predictor
from photochrom.worker.inference.batcher import Batcher, Batching
from photochrom.worker.inference.cpu import keep_freed_memory
from photochrom.worker.inference.device import Device, choose
from photochrom.worker.models import checkpoint
from photochrom.worker.models.card import Card
from photochrom.worker.models.checkpoint import Network
from photochrom.worker.models.folding import folded
from photochrom.worker.models.named import weights_of
from photochrom.worker.models.predictor import probe
from photochrom.worker.settings import Settings, settings

WARM_SHAPES = ((1, 1), (3, 4), (4, 3), (2, 3), (3, 2))
"""Photographs' usual heights to widths: a device prepares itself for each size once, before the first job comes."""


class Engine:
    """`predict(gray) -> chroma`, by whatever this machine computes it best with.

    On a processor it is computed in the calling thread, a picture at a time; on an accelerator by one thread that
    makes batches of what many threads ask for, and ends with the engine.
    """

    promotion = 0
    """Sequence number of the promotion that this model is served by; 0 for starters, and for versions that jobs pin."""

    def __init__(
        self, network: Network, card: Card, chosen: Settings | None = None, device: Device | None = None
    ) -> None:
        """Of a network in evaluation mode on the CPU, which stays as it is; on the device that the settings choose.

        Raises UsageError for a device or an engine that is not there, OutOfMemoryFault.
        """
        chosen = chosen or settings()
        device = device or choose(chosen.device)
        self.card = card
        self._predictor = predictor(*folded(network), device, chosen.engine)
        self._batching = Batching(chosen.batch_images, chosen.batch_wait, chosen.batch_pixels)
        self._batcher: Batcher | None = None
        if device.batched:
            self._batcher = Batcher(self._predictor, self._batching)
            self._warm_up(self._batcher)

    @classmethod
    def load(cls, weights: Path, chosen: Settings | None = None) -> Self:
        """Load and verify a checkpoint. Raises CheckpointError, and what making an engine raises."""
        return cls(*checkpoint.read(weights), chosen)

    def promoted(self, sequence: int) -> Self:
        """The same engine, served by another promotion."""
        other = copy.copy(self)
        other.promotion = sequence
        return other

    def check(self) -> None:
        """Predict once. Raises CheckpointError for what is no chroma."""
        chroma = self.predict(probe(self._predictor.form))
        if chroma.shape[:1] != (2,) or not np.isfinite(chroma).all() or np.abs(chroma).max() > 0.5:
            raise CheckpointError(f"{self.card.name} {self.card.sha256[:12]} does not predict chroma")

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The size of the gray copy that the model wants of a photograph of height x width."""
        return self._predictor.form.input_size(height, width)

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        """Gray uint8 (h, w), of `input_size`, to chroma float32 (2, h', w') in -0.5..0.5, about the same part of it.

        `vividness`, 0..1, replaces the model's own. May be called from several threads. Raises OutOfMemoryFault, and
        WorkerFault for a device that fails.
        """
        if self._batcher:
            return self._batcher.predict(gray, vividness)
        return self._predictor([gray], vividness)[0]

    def describe(self) -> str:
        """In one line: device, precision, engine, and how many pictures at a time."""
        place, computing = self._predictor.device.place, self._predictor.computing
        where = torch.cuda.get_device_name(place) if place.type == "cuda" else "processor"
        images, wait, _ = self._batching
        how = (
            f"up to {images} pictures at a time, {1e3 * wait:g} ms waited for"
            if self._batcher
            else "one picture at a time"
        )
        return f"{where}, {computing.precision}, {computing.name}, {how}"

    def _warm_up(self, batcher: Batcher) -> None:
        sizes = {self.input_size(224 * height, 224 * width) for height, width in WARM_SHAPES}
        for size in sorted(sizes):
            for count in {1, self._batching.images}:
                for answer in [batcher.submit(np.zeros(size, np.uint8)) for _ in range(count)]:
                    answer.result()


def load_engine(model: str) -> Engine:
    """The engine of a model by the name that `weights_of` takes. Raises what that and loading raise."""
    return Engine.load(weights_of(model, settings()))


def prepare_process(threads: int) -> None:
    """Set up torch in a process that will predict. Never in a process that forks afterwards: its children hang."""
    keep_freed_memory()
    torch.set_num_threads(threads)
