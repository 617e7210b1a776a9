"""A checkpoint is two files: `NAME.safetensors`, the tensors, and `NAME.json`, the card that says what they are.

Loading believes nothing: the card is validated, the file's SHA-256 compared, every tensor's name, shape and finiteness
checked against the network that the card describes. What does not fit is a `CheckpointError` that names the file.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from worker.errors import CheckpointError
from worker.models import color
from worker.models.autoencoder import Autoencoder, AutoencoderConfig
from worker.models.vgg_yuv import VggYuv, VggYuvConfig
from worker.version import VERSION

Network = VggYuv | Autoencoder

ARCHITECTURES: dict[str, tuple[type[Any], type[Any]]] = {
    VggYuv.architecture: (VggYuv, VggYuvConfig),
    Autoencoder.architecture: (Autoencoder, AutoencoderConfig),
}


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
    color: dict[str, Any] = Field(default_factory=lambda: dict(color.CONSTANTS))
    trained_on: TrainedOn
    recipe: dict[str, Any] = Field(default_factory=dict, description="the settings of the training run")
    steps: int
    images_seen: int
    metrics: dict[str, float] = Field(default_factory=dict, description="on the run's own validation photographs")
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$")
    code_version: str = VERSION
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def build(architecture: str, config: dict[str, Any]) -> Network:
    """A network of that architecture with fresh weights.

    Raises CheckpointError for an unknown architecture or a configuration that is not its own.
    """
    if architecture not in ARCHITECTURES:
        raise CheckpointError(f"unknown architecture {architecture!r}: this version knows {', '.join(ARCHITECTURES)}")
    network, config_type = ARCHITECTURES[architecture]
    try:
        return network(config_type(**config))
    except ValidationError as error:
        raise CheckpointError(f"configuration of {architecture} is wrong: {_first(error)}") from error


def write(network: Network, card: Card, weights: Path, *, half: bool = True) -> Card:
    """Write `weights` (*.safetensors) and, behind it, its card; give back the card with its SHA-256 filled in.

    With `half`, matrices and kernels are stored as float16. One-dimensional tensors stay float32: running variances of
    batch norm reach millions, which float16 turns into infinity.
    """
    tensors = {name: _stored(tensor, half) for name, tensor in network.state_dict().items()}
    data = save(tensors)
    card = card.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(data)
    card_path(weights).write_text(card.model_dump_json(indent=2) + "\n")
    return card


def _stored(tensor: Tensor, half: bool) -> Tensor:
    shrink = half and tensor.dim() > 1 and tensor.is_floating_point()
    return (tensor.half() if shrink else tensor).detach().cpu().contiguous()


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
        raise CheckpointError(f"card {path} is malformed: {_first(error)}") from error
    if card.color != color.CONSTANTS:
        raise CheckpointError(f"card {path}: colour constants {card.color} are not this version's {color.CONSTANTS}")
    return card


def read(weights: Path) -> tuple[Network, Card]:
    """Load and verify a checkpoint. The network is float32, on the CPU, in evaluation mode.

    Raises CheckpointError when a file is missing or altered, or when card and tensors do not fit each other.
    """
    card = read_card(weights)
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise CheckpointError(f"no weights at {weights}: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise CheckpointError(f"{weights} was altered: its SHA-256 is {found}, its card says {card.sha256}")
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{weights} is not a safetensors file: {error}") from error
    network = build(card.architecture, card.config)
    _check_fit(weights, tensors, network.state_dict())
    network.load_state_dict(tensors)
    return network.eval(), card


def _check_fit(weights: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    missing, surplus = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or surplus:
        raise CheckpointError(
            f"{weights} does not fit its card: {len(missing)} tensors missing {sorted(missing)[:3]}, "
            f"{len(surplus)} unknown {sorted(surplus)[:3]}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, its card wants {tuple(expected[name].shape)}"
            raise CheckpointError(f"{weights}: {name} has shape {shapes}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{weights}: {name} has values that are not finite")


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'JSON'}: {problem['msg']}"


def summary(card: Card) -> str:
    """One line for people: name, first digits of the hash, what it was trained on."""
    return f"{card.name} ({card.architecture}, {card.sha256[:12]}, {card.images_seen:,} images seen)"
