"""A checkpoint is two files: `NAME.safetensors`, the tensors, and `NAME.json`, the card that says what they are.

Loading believes nothing: the card is validated, the file's SHA-256 compared, every tensor's name, shape and finiteness
checked against the network that the card describes. What does not fit is a `CheckpointError` that names the file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from photochrom.worker.errors import CheckpointError
from photochrom.worker.models.autoencoder import Autoencoder, AutoencoderConfig
from photochrom.worker.models.card import Card, card_path, first_problem, read_card, read_weights
from photochrom.worker.models.card import TrainedOn as TrainedOn
from photochrom.worker.models.vgg_yuv import VggYuv, VggYuvConfig

Network = VggYuv | Autoencoder

ARCHITECTURES: dict[str, tuple[type[Any], type[Any]]] = {
    VggYuv.architecture: (VggYuv, VggYuvConfig),
    Autoencoder.architecture: (Autoencoder, AutoencoderConfig),
}


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
        raise CheckpointError(f"configuration of {architecture} is wrong: {first_problem(error)}") from error


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


def read(weights: Path) -> tuple[Network, Card]:
    """Load and verify a checkpoint. The network is float32, on the CPU, in evaluation mode.

    Raises CheckpointError when a file is missing or altered, or when card and tensors do not fit each other.
    """
    card = read_card(weights)
    try:
        tensors = load(read_weights(weights, card))
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
