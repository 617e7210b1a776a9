"""The engine of a study's entry: a trained checkpoint, read out as the entry says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from photochrom.training.study.variant import Decode, Entry
from photochrom.worker.errors import UsageError
from photochrom.worker.inference.engine import Engine
from photochrom.worker.models import checkpoint
from photochrom.worker.models.vgg_yuv import VggYuv

BEST = "best.safetensors"


class MirroredEngine(Engine):
    """Looks at every photograph twice, as it is and mirrored; the chroma is the mean of the two."""

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        """Gray uint8 (h, w) to chroma float32 (2, h', w') in -0.5..0.5."""
        mirrored = super().predict(np.ascontiguousarray(gray[:, ::-1]), vividness)
        return (super().predict(gray, vividness) + mirrored[..., ::-1]) / 2


def engine_of(entry: Entry, out: Path) -> Engine:
    """The engine of an entry whose variant was trained into `out`.

    Raises CheckpointError where it was not, UsageError for a decode of a network that gives no distribution.
    """
    if not isinstance(entry, Decode):
        return Engine.load(out / entry.name / BEST)
    network, card = checkpoint.read(out / entry.of / BEST)
    if not isinstance(network, VggYuv) or network.config.decoder != "distribution":
        raise UsageError(f"{entry.of} gives no distribution that could be read in another way")
    changes = {"vividness": entry.vividness, "temperature": entry.temperature}
    network.config = network.config.model_copy(
        update={name: value for name, value in changes.items() if value is not None}
    )
    return (MirroredEngine if entry.mirrored else Engine)(network, card)
