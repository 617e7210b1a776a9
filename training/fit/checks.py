"""What ends a training run: told in one line, and before it has cost anything where that can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from photochrom.training.data.collection import Collection
from photochrom.training.recipe import Recipe
from photochrom.worker.errors import OutOfMemoryFault, UsageError
from photochrom.worker.models.autoencoder import Autoencoder
from photochrom.worker.models.checkpoint import Network
from photochrom.worker.process.exhaustion import shortages_translated

NO_MEMORY = "can't allocate memory"
"""Said by torch in a plain RuntimeError; an accelerator's lack of memory has a class of its own."""


def check_photographs(photographs: Collection, recipe: Recipe) -> None:
    """Raises UsageError where there is nothing to learn from in an epoch, or nothing to validate with."""
    if not photographs.training:
        raise UsageError(f"there are no photographs to learn from in {photographs.source}")
    if not photographs.validation:
        raise UsageError(f"there are no photographs to validate with in {photographs.source}")
    if recipe.chunks > len(photographs.training):
        raise UsageError(f"{len(photographs.training)} photographs are too few for {recipe.chunks} chunks")


def check_sides(network: Network, recipe: Recipe) -> None:
    """Raises UsageError for crops of another size than an autoencoder's only one."""
    for side in (*recipe.sides, recipe.validation_side):
        if isinstance(network, Autoencoder) and side != network.config.side:
            raise UsageError(f"crops of {side} pixels are not for this network: its side is {network.config.side}")


def check_finite(figures: Mapping[str, float]) -> None:
    """Raises UsageError for a validation figure that is no number: nothing can be chosen by it."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise UsageError(f"training diverged: {name} is {value} in validation; try a lower --rate")


@contextmanager
def training_shortages_translated() -> Iterator[None]:
    """As `shortages_translated`; OutOfMemoryFault also for what torch raises, of an accelerator or of the machine."""
    with shortages_translated():
        try:
            yield
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and NO_MEMORY not in str(error):
                raise
            raise OutOfMemoryFault(f"out of memory; try a smaller --batch ({str(error).splitlines()[0]})") from error
