"""The card of a checkpoint, `NAME.json` beside its weights: what the model is and what it has learnt from.

Who lists, promotes or rolls back models reads cards alone, and needs no torch.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from photochrom.worker.errors import CheckpointError
from photochrom.worker.photo.base import colorspace
from photochrom.worker.version import VERSION


class TrainedOn(BaseModel):
    """Which photographs a model has seen."""

    source: str
    photographs: int
    validation_photographs: int
    mean_chroma: tuple[float, float] = Field(description="mean U and V of the training photographs, centred on 0")


class Card(BaseModel):
    """What a checkpoint says of itself."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    name: str
    architecture: str
    config: dict[str, Any]
    color: dict[str, Any] = Field(default_factory=lambda: dict(colorspace.CONSTANTS))
    trained_on: TrainedOn
    recipe: dict[str, Any] = Field(default_factory=dict, description="the settings of the training run")
    steps: int
    images_seen: int
    metrics: dict[str, float] = Field(default_factory=dict, description="on the run's own validation photographs")
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$")
    code_version: str = VERSION
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def card_path(weights: Path) -> Path:
    return weights.with_suffix(".json")


def read_card(weights: Path) -> Card:
    """The card beside `weights`, validated. Raises CheckpointError when it is missing or malformed."""
    path = card_path(weights)
    try:
        card = Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"no card at {path}: {error.strerror}") from error
    except ValidationError as error:
        raise CheckpointError(f"card {path} is malformed: {first_problem(error)}") from error
    if card.color != colorspace.CONSTANTS:
        raise CheckpointError(
            f"card {path}: colour constants {card.color} are not this version's {colorspace.CONSTANTS}"
        )
    return card


def read_weights(weights: Path, card: Card) -> bytes:
    """The bytes of `weights`, which its card vouches for. Raises CheckpointError when they are missing or altered."""
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise CheckpointError(f"no weights at {weights}: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise CheckpointError(f"{weights} was altered: its SHA-256 is {found}, its card says {card.sha256}")
    return data


def first_problem(error: ValidationError) -> str:
    """The first thing that a record lacks, with its place."""
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'JSON'}: {problem['msg']}"
