"""Where the VGG16 encoder's first weights come from: a local file, a checkpoint of ours, or torchvision's hub."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from photochrom.worker.errors import UsageError
from photochrom.worker.models import checkpoint
from photochrom.worker.models.card import card_path, read_card
from photochrom.worker.models.vgg_yuv import Normalization, Vgg16Encoder, VggYuv

HUB = "torchvision"


def normalization_of(encoder: str) -> Normalization:
    """The input normalisation that the weights named by `--encoder` were trained with.

    torchvision's want RGB 0..1; a plain file of VGG16 convolutions is taken for the original Caffe training (BGR, mean
    only); a checkpoint of ours says it in its card.
    """
    if encoder == HUB:
        return "imagenet-rgb"
    if card_path(Path(encoder)).exists():
        return read_card(Path(encoder)).config.get("normalization", "vgg-bgr")
    return "vgg-bgr"


def load_encoder(encoder: Vgg16Encoder, source: str) -> None:
    """Fill `encoder` from `source`: "torchvision", a checkpoint's .safetensors, or a file of `features.N.*` tensors.

    Raises UsageError when the source cannot be had or does not hold the layers that are needed.
    """
    tensors = _tensors(source)
    wanted = encoder.state_dict()
    missing = [name for name in wanted if name not in tensors or tensors[name].shape != wanted[name].shape]
    if missing:
        raise UsageError(f"{source} lacks VGG16 layers that the encoder needs: {', '.join(missing[:3])}")
    encoder.load_state_dict({name: tensors[name].float() for name in wanted})


def _tensors(source: str) -> dict[str, Tensor]:
    if source == HUB:
        return _from_hub()
    path = Path(source)
    if card_path(path).exists():
        network, card = checkpoint.read(path)
        if not isinstance(network, VggYuv):
            raise UsageError(f"{source} is an {card.architecture}: it has no VGG16 encoder")
        return network.encoder.state_dict()
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"cannot read encoder weights from {source}: {error}") from error


def _from_hub() -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights

    try:
        state: dict[str, Tensor] = VGG16_Weights.IMAGENET1K_V1.get_state_dict(
            progress=True,
            check_hash=True,  # only of what is downloaded now
            weights_only=True,  # the file is a pickle: nothing but tensors may come out of it
        )
    except (URLError, OSError, RuntimeError, UnpicklingError) as error:  # RuntimeError: of another hash than expected
        raise UsageError(
            f"torchvision's VGG16 weights cannot be fetched ({error}); give a local file: --encoder FILE.safetensors"
        ) from error
    return {name: tensor.to(torch.float32) for name, tensor in state.items() if name.startswith("features.")}
