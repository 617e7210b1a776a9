"""VGG16-YUV: a VGG16 encoder that reads a gray photograph, and a top-down decoder that gives U and V.

Two decoders, chosen by `VggYuvConfig.decoder`:

- "residual": the published form (R. Dahl, "Automatic Colorization", tinyclouds.org 2016): each step adds the next
  finer encoder layer, down to the gray itself, and ends in two sigmoid planes at full resolution.
- "distribution": at a quarter of the resolution, a distribution over quantised chroma for every pixel (Zhang, Isola and
  Efros, "Colorful Image Colorization", 2016), read out as an annealed mean whose vividness can be chosen when decoding.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from photochrom.worker.photo.base.colorspace import CHROMA_OFFSET

STRIDE = 16
"""Input sides are multiples of this, by which the deepest tap divides."""

LONGEST_SIDE = 2048

Normalization = Literal["vgg-bgr", "imagenet-rgb"]
"""What the encoder's weights were trained on: BGR 0..255 less its mean, or RGB 0..1 less the mean, by the deviation."""

_NORMALIZATIONS: dict[str, tuple[float, tuple[float, float, float], tuple[float, float, float]]] = {
    "vgg-bgr": (255.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "imagenet-rgb": (1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

_WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
_TAPS = {3: "conv1_2", 8: "conv2_2", 15: "conv3_3", 22: "conv4_3", 29: "conv5_3"}
"""torchvision's index of the ReLU behind each tapped convolution."""

_CHANNELS = {"conv1_2": 64, "conv2_2": 128, "conv3_3": 256, "conv4_3": 512, "conv5_3": 512}


class VggYuvConfig(BaseModel):
    """What decides the tensors' shapes and what they mean; it stands in the checkpoint's card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decoder: Literal["residual", "distribution"] = "distribution"
    normalization: Normalization = "vgg-bgr"
    width: int = Field(256, ge=8, description="channels of the distribution decoder")
    grid: float = Field(0.04, gt=0, description="spacing of the chroma bins")
    grid_side: int = Field(15, ge=3, description="bins a side: grid_side^2 in all, centred on gray")
    rebalance: float = Field(0.5, ge=0, le=1, description="exponent of the rebalancing weights in training")
    temperature: float = Field(0.38, gt=0, description="below 1 sharpens the distribution before its mean is taken")
    vividness: float = Field(0.2, ge=0, le=1, description="0: colours as likely as they are; 1: rare ones as common")
    working_side: int = Field(224, ge=STRIDE, le=LONGEST_SIDE, description="side of a square photograph, when served")

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """At what size a photograph of height x width is shown: as nearly as may be in its shape, and as large.

        Sides are multiples of 16, and there are no more pixels than `working_side`^2, but for very long photographs.
        """
        shape, side = (height / width) ** 0.5, self.working_side

        def distortion(size: tuple[int, int]) -> tuple[float, int]:
            return abs(math.log(size[0] / size[1] / shape**2)), -size[0] * size[1]

        sizes = sorted(product(_multiples(side * shape), _multiples(side / shape)))
        return min([size for size in sizes if size[0] * size[1] <= side**2] or sizes[:1], key=distortion)


def _multiples(side: float) -> tuple[int, int]:
    """The multiples of STRIDE about a side, as far as they are within the limits."""
    below = int(side // STRIDE) * STRIDE
    return min(LONGEST_SIDE, max(STRIDE, below)), min(LONGEST_SIDE, below + STRIDE)


class Vgg16Encoder(nn.Module):
    """The convolutions of VGG16 as far as the deepest tap, under torchvision's key names (`features.N.*`)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, taps: tuple[str, ...], normalization: Normalization) -> None:
        super().__init__()
        self.taps = taps
        last = max(index for index, name in _TAPS.items() if name in taps)
        self.features = nn.Sequential(*_vgg16_layers()[: last + 1])
        self.range, mean, deviation = _NORMALIZATIONS[normalization]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1), persistent=False)

    def forward(self, luma: Tensor) -> dict[str, Tensor]:
        """Luma (n, 1, h, w) in 0..1 to the tapped activations, each (n, channels, h / 2^k, w / 2^k)."""
        x = (luma * self.range - self.mean) / self.deviation
        x = x.contiguous(memory_format=torch.channels_last)
        found = {}
        for index, layer in enumerate(self.features):
            x = layer(x)
            if (name := _TAPS.get(index, "")) in self.taps:
                found[name] = x
        return found

    def freeze(self, *, trainable: tuple[str, ...] = ()) -> None:
        """Stop gradients in every block but the named ones ("conv5", ...)."""
        block = 1
        for layer in self.features:
            layer.requires_grad_(f"conv{block}" in trainable)
            block += isinstance(layer, nn.MaxPool2d)


def _vgg16_layers() -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for width in _WIDTHS:
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, int(width), 3, padding=1), nn.ReLU(inplace=True)]
            channels = int(width)
    return layers


def _conv_norm_relu(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class ResidualDecoder(nn.Module):
    """The published decoder: BN(conv4_3), 1x1, then up, add, 3x3 down to the gray; no biases beside batch norm."""

    taps = ("conv1_2", "conv2_2", "conv3_3", "conv4_3")

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({tap: nn.BatchNorm2d(_CHANNELS[tap]) for tap in self.taps})
        self.norm_gray = nn.BatchNorm2d(3)
        self.conv4 = nn.Sequential(nn.Conv2d(512, 256, 1, bias=False), nn.ReLU())
        self.conv3 = _conv_norm_relu(256, 128, 3)
        self.conv2 = _conv_norm_relu(128, 64, 3)
        self.conv1 = _conv_norm_relu(64, 3, 3)
        self.conv0 = _conv_norm_relu(3, 3, 3)
        self.conv_uv = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.Sigmoid())

    def forward(self, luma: Tensor, taps: dict[str, Tensor]) -> Tensor:
        """To U and V as (n, 2, h, w), each in 0..1 with gray at 0.5."""
        x = self.conv4(self.norms["conv4_3"](taps["conv4_3"]))
        x = self.conv3(_twice(x) + self.norms["conv3_3"](taps["conv3_3"]))
        x = self.conv2(_twice(x) + self.norms["conv2_2"](taps["conv2_2"]))
        x = self.conv1(_twice(x) + self.norms["conv1_2"](taps["conv1_2"]))
        x = self.conv0(x + self.norm_gray(luma.expand(-1, 3, -1, -1)))
        return self.conv_uv(x)


class DistributionDecoder(nn.Module):
    """From conv5_3, conv4_3 and conv3_3 to one logit for each chroma bin, at a quarter of the input's resolution."""

    taps = ("conv3_3", "conv4_3", "conv5_3")

    def __init__(self, width: int, bins: int) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({tap: nn.BatchNorm2d(_CHANNELS[tap]) for tap in self.taps})
        self.lateral5 = nn.Conv2d(512, width, 1)
        self.lateral4 = nn.Conv2d(512, width, 1)
        self.lateral3 = nn.Conv2d(256, width, 1)
        self.conv5 = _conv_norm_relu(width, width, 3)
        self.conv4 = _conv_norm_relu(width, width, 3)
        self.conv3 = _conv_norm_relu(width, width, 3)
        self.to_bins = nn.Conv2d(width, bins, 1)

    def forward(self, taps: dict[str, Tensor]) -> Tensor:
        x = self.conv5(self.lateral5(self.norms["conv5_3"](taps["conv5_3"])))
        x = self.conv4(_twice(x) + self.lateral4(self.norms["conv4_3"](taps["conv4_3"])))
        x = self.conv3(_twice(x) + self.lateral3(self.norms["conv3_3"](taps["conv3_3"])))
        return self.to_bins(x)


class ChromaBins(nn.Module):
    """A square grid of chroma values, gray in the middle, and how rare each of them is in the training photographs."""

    centers: Tensor
    log_rarity: Tensor

    def __init__(self, side: int, spacing: float) -> None:
        super().__init__()
        self.side, self.spacing = side, spacing
        axis = (torch.arange(side) - (side - 1) / 2) * spacing
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).reshape(2, -1)
        self.register_buffer("centers", grid, persistent=False)  # (2, side^2): U, V
        self.register_buffer("log_rarity", torch.zeros(side * side))

    def mean(self, logits: Tensor, temperature: float) -> Tensor:
        """Logits (n, bins, h, w) to the mean chroma (n, 2, h, w) of the distribution sharpened by `temperature`."""
        probability = functional.softmax(logits.float() / temperature, dim=1)
        return torch.einsum("nbhw,cb->nchw", probability, self.centers)

    def add_rarity(self, logits: Tensor, share: float) -> Tensor:
        """Shift logits towards rare chroma (share > 0) or back to what is likely (share < 0)."""
        return logits.float() + share * self.log_rarity.view(1, -1, 1, 1)


class VggYuv(nn.Module):
    """Gray in, chroma out. `forward` is what training works on, `chroma` what everybody else calls."""

    architecture = "vgg16-yuv"

    def __init__(self, config: VggYuvConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder: ResidualDecoder | DistributionDecoder
        if config.decoder == "residual":
            self.decoder = ResidualDecoder()
        else:
            self.bins = ChromaBins(config.grid_side, config.grid)
            self.decoder = DistributionDecoder(config.width, config.grid_side**2)
        self.encoder = Vgg16Encoder(self.decoder.taps, config.normalization)

    def forward(self, luma: Tensor) -> Tensor:
        """Luma (n, 1, h, w) in 0..1, sides multiples of 32, to what the decoder gives.

        "residual": U and V (n, 2, h, w) in 0..1; "distribution": logits (n, bins, h / 4, w / 4), of chroma as
        frequent as training made it (see `VggYuvConfig.rebalance`).
        """
        height, width = luma.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"input of {height} x {width}: both sides must be multiples of {STRIDE}")
        taps = self.encoder(luma)
        if isinstance(self.decoder, ResidualDecoder):
            return self.decoder(luma, taps)
        return self.decoder(taps)

    def read_out(self, output: Tensor, vividness: float | None = None) -> Tensor:
        """What `forward` gave, to chroma (n, 2, h', w') float32, centred on 0."""
        if isinstance(self.decoder, ResidualDecoder):
            return output.float() - CHROMA_OFFSET
        wanted = self.config.vividness if vividness is None else vividness
        logits = self.bins.add_rarity(output, wanted - self.config.rebalance)
        return self.bins.mean(logits, self.config.temperature)

    def chroma(self, luma: Tensor, vividness: float | None = None) -> Tensor:
        """Luma (n, 1, h, w) in 0..1 to chroma (n, 2, h', w') in -0.5..0.5; h' is h, or h / 4 from a distribution."""
        return self.read_out(self.forward(luma), vividness)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The size of the gray copy that the network is shown of a photograph of height x width."""
        return self.config.input_size(height, width)
