"""What each network is trained to make small. Luma, chroma and pictures as in `worker/photo/base/colorspace.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from photochrom.worker.models.autoencoder import Autoencoder
from photochrom.worker.models.checkpoint import Network
from photochrom.worker.models.vgg_yuv import ChromaBins
from photochrom.worker.photo.base import colorspace

BLUR_SIDES = (3, 5)
BIN_SPREAD = 0.5
"""Standard deviation of a soft label, in bins (0.02 of chroma at the default grid of 0.04)."""


def loss(network: Network, output: Tensor, rgb: Tensor) -> Tensor:
    """The loss (a scalar) of what `network.forward` gave, against the truth (n, 3, h, w) in 0..1."""
    if isinstance(network, Autoencoder) and network.config.draws == "rgb":
        return functional.binary_cross_entropy_with_logits(output.float(), rgb)
    chroma = true_chroma(rgb)
    if isinstance(network, Autoencoder):
        return blurred_distance(network.read_out(output), chroma)
    if network.config.decoder == "residual":
        return blurred_distance(output.float() - colorspace.CHROMA_OFFSET, chroma)
    small = functional.adaptive_avg_pool2d(chroma, (output.shape[-2], output.shape[-1]))
    return distribution_cross_entropy(network.bins, output, small, network.config.rebalance)


def true_chroma(rgb: Tensor) -> Tensor:
    """RGB (n, 3, h, w) in 0..1 to chroma (n, 2, h, w) in -0.5..0.5."""
    return torch.stack(colorspace.split(rgb.unbind(1))[1:], dim=1)


def blurred_distance(predicted: Tensor, truth: Tensor) -> Tensor:
    """The seed's loss: mean Euclidean UV distance, plain and behind Gaussians of 3 and 5 pixels, averaged.

    The blur is depthwise: U and V do not mix.
    """
    error = predicted - truth
    parts = [error, *(_blur(error, side) for side in BLUR_SIDES)]
    return torch.stack([(part.square().sum(1) + 1e-8).sqrt().mean() for part in parts]).mean()


def _blur(planes: Tensor, side: int) -> Tensor:
    sigma = 0.3 * ((side - 1) / 2 - 1) + 0.8  # OpenCV's choice for a kernel of this side
    axis = torch.arange(side, dtype=planes.dtype, device=planes.device) - side // 2
    line = torch.exp(-(axis**2) / (2 * sigma**2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    channels = planes.shape[1]
    return functional.conv2d(planes, kernel.expand(channels, 1, side, side), padding=side // 2, groups=channels)


def distribution_cross_entropy(bins: ChromaBins, logits: Tensor, chroma: Tensor, rebalance: float) -> Tensor:
    """Cross-entropy of logits (n, bins, h, w) with soft labels around the true chroma (n, 2, h, w).

    Rare colours weigh more: each label by exp(log_rarity) to the power of `rebalance`.
    """
    index, share = soft_labels(bins, chroma)
    logits = logits.float()
    weight = share * torch.exp(rebalance * bins.log_rarity)[index]
    log_probability = logits.gather(1, index) - logits.logsumexp(1, keepdim=True)
    return -(weight * log_probability).sum(1).mean()


def soft_labels(bins: ChromaBins, chroma: Tensor) -> tuple[Tensor, Tensor]:
    """Chroma (n, 2, h, w) to the nine bins around it: indices (n, 9, h, w) and shares that sum to 1.

    Chroma outside the grid is moved to its edge.
    """
    place = (chroma / bins.spacing + (bins.side - 1) / 2).clamp(0, bins.side - 1)
    nearest = place.round().clamp(1, bins.side - 2)
    step = torch.tensor([-1.0, 0.0, 1.0], device=chroma.device).view(1, 3, 1, 1)
    lines = []
    for axis in range(2):
        near = nearest[:, axis : axis + 1] + step
        fall = torch.exp(-((near - place[:, axis : axis + 1]) ** 2) / (2 * BIN_SPREAD**2))
        lines.append((near.long(), fall / fall.sum(1, keepdim=True)))
    (row, in_row), (column, in_column) = lines
    index = (row[:, :, None] * bins.side + column[:, None]).flatten(1, 2)
    return index, (in_row[:, :, None] * in_column[:, None]).flatten(1, 2)


def measure_rarity(bins: ChromaBins, chroma_samples: Tensor, uniform: float = 0.5) -> None:
    """Fill `bins.log_rarity` from true chroma (n, 2, h, w): log of 1 / ((1 - uniform) p + uniform / bins).

    Normalised so that the weights average to 1 over the photographs (Zhang et al. 2016, section 2.2).
    """
    index, share = soft_labels(bins, chroma_samples)
    frequency = torch.zeros(bins.side**2).scatter_add_(0, index.flatten(), share.flatten())
    frequency /= frequency.sum()
    weight = 1 / ((1 - uniform) * frequency + uniform / len(frequency))
    bins.log_rarity.copy_((weight / (weight * frequency).sum()).log())
