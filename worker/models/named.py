"""A model by the name that people give it on a command line, as a checkpoint on this machine."""

from __future__ import annotations

from pathlib import Path

from photochrom.worker.models.registry import CHAMPION, Registry, starter, starters
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings


def weights_of(model: str, settings: Settings) -> Path:
    """The weights of a starter by its name, of a checkpoint by its path, or of the state bucket: `champion`, a version.

    Only the last two ask S3. Raises CheckpointError, UsageError, RetryableError.
    """
    if model.endswith(".safetensors"):
        return Path(model)
    if model in starters():
        return starter(model)
    registry = Registry(Store(settings), settings)
    found = registry.pointer().promotion.sha256 if model == CHAMPION else registry.resolve(model)
    return registry.weights(found)
