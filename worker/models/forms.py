"""Folded networks: in which order their layers are applied, whatever computes them, and what comes out.

Two planes go in, the gray less a constant, and ones: a convolution pads with zeros what its network normalised before,
so that a constant in the normalisation has to be a plane of its own to be right along the borders.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from photochrom.worker.models.autoencoder import Autoencoder
from photochrom.worker.models.vgg_yuv import DistributionDecoder, ResidualDecoder, VggYuv
from photochrom.worker.photo.base import colorspace

CENTRE = 114.0
"""Taken off gray 0..255 on its way in: whole numbers stay exact in bfloat16, and rounding errors of weights small."""

X = TypeVar("X")
Enlarging = Literal["linear", "nearest"]


class Layer(NamedTuple):
    """Weights float32, and whether a ReLU follows.

    A kernel (out, in, k, k) of a convolution of odd k, padded to keep the size; a matrix (out, in) on what is flattened
    in the order channel, row, column; or one factor a channel (channels,). `bias`, (out,), is added in every case.
    """

    weight: Tensor
    bias: Tensor
    relu: bool = False


Layers = dict[str, Layer]


class Arithmetic(Protocol[X]):
    """What a form is computed with; X is a picture (n, channels, h, w) in the arithmetic's own kind."""

    def layer(self, name: str, x: X) -> X: ...
    def pool(self, x: X) -> X:
        """The largest of each 2x2."""

    def twice(self, x: X, how: Enlarging) -> X: ...
    def add(self, x: X, y: X) -> X: ...
    def picture(self, x: X, channels: int, side: int) -> X:
        """What a matrix gave, (n, channels * side * side), as a picture."""


class Form(Protocol):
    """The order in which a folded network's layers are applied, and what its output means."""

    def output(self, gray: X, by: Arithmetic[X]) -> X:
        """Gray less `CENTRE`, and ones, as (n, 2, h, w), to what the network gives."""

    def read_out(self, output: Tensor, vividness: float | None) -> Tensor:
        """What `output` gave, with its channels last, (n, h', w', channels), to chroma float32 (n, 2, h', w')."""

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """As the network's own."""


class _VggForm:
    """What both forms of VGG16-YUV begin with."""

    taps: tuple[str, ...]

    def __init__(self, network: VggYuv, encoder: list[str]) -> None:
        self.input_size = network.config.input_size
        self.encoder = encoder

    def _tapped(self, gray: X, by: Arithmetic[X]) -> dict[str, X]:
        """The tapped activations; a new block begins with a pooling."""
        taps = {}
        x = gray
        for name in self.encoder:
            if name.endswith("_1") and name != "conv1_1":
                x = by.pool(x)
            x = by.layer(name, x)
            if name in self.taps:
                taps[name] = x
        return taps


class DistributionForm(_VggForm):
    """VGG16-YUV with a distribution over chroma for every fourth pixel each way."""

    taps = DistributionDecoder.taps

    def __init__(self, network: VggYuv, encoder: list[str]) -> None:
        super().__init__(network, encoder)
        self.config = network.config
        self.centers = network.bins.centers  # (2, bins)
        self.log_rarity = network.bins.log_rarity

    def output(self, gray: X, by: Arithmetic[X]) -> X:
        taps = self._tapped(gray, by)
        x = by.layer("conv5", by.layer("lateral5", taps["conv5_3"]))
        x = by.layer("conv4", by.add(by.twice(x, "linear"), by.layer("lateral4", taps["conv4_3"])))
        x = by.layer("conv3", by.add(by.twice(x, "linear"), by.layer("lateral3", taps["conv3_3"])))
        return by.layer("to_bins", x)

    def read_out(self, output: Tensor, vividness: float | None) -> Tensor:
        wanted = self.config.vividness if vividness is None else vividness
        shift = (wanted - self.config.rebalance) / self.config.temperature * self.log_rarity
        logits = torch.add(shift.to(output.device), output.float(), alpha=1 / self.config.temperature)
        probability = functional.softmax(logits, dim=-1)
        return functional.linear(probability, self.centers.to(output.device)).permute(0, 3, 1, 2)


class ResidualForm(_VggForm):
    """VGG16-YUV in its published form."""

    taps = ResidualDecoder.taps

    def output(self, gray: X, by: Arithmetic[X]) -> X:
        taps = self._tapped(gray, by)
        x = by.layer("conv4", taps["conv4_3"])
        for name, tap in (("conv3", "conv3_3"), ("conv2", "conv2_2"), ("conv1", "conv1_2")):
            x = by.layer(name, by.add(by.twice(x, "linear"), by.layer(f"norm {tap}", taps[tap])))
        x = by.layer("conv0", by.add(x, by.layer("norm gray", gray)))
        return by.layer("conv_uv", x)

    def read_out(self, output: Tensor, vividness: float | None) -> Tensor:
        return output.float().sigmoid().permute(0, 3, 1, 2) - colorspace.CHROMA_OFFSET


class AutoencoderForm:
    """The autoencoder, which draws a picture, or its chroma alone."""

    def __init__(self, network: Autoencoder) -> None:
        self.draws, self.side = network.config.draws, network.config.side
        self.small, self.inner = network.small, network.config.filters[1]

    def output(self, gray: X, by: Arithmetic[X]) -> X:
        x = by.pool(by.layer("conv2", by.pool(by.layer("conv1", gray))))
        x = by.picture(by.layer("expand", by.layer("squeeze", x)), self.inner, self.small)
        return by.layer("conv4", by.twice(by.layer("conv3", by.twice(x, "nearest")), "nearest"))

    def read_out(self, output: Tensor, vividness: float | None) -> Tensor:
        drawn = output.float().sigmoid().permute(0, 3, 1, 2)
        if self.draws == "chroma":
            return drawn - colorspace.CHROMA_OFFSET
        return torch.stack(colorspace.split(drawn.unbind(1))[1:], 1)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        return self.side, self.side
