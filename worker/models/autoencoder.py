"""The convolutional autoencoder: a gray picture of 80x80 through a dense bottleneck to a coloured one.

In its published form the output is a whole RGB picture, blurred by the bottleneck, and only the chroma of it is used;
the other form draws nothing but chroma.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator
from torch import Tensor, nn
from torch.nn import functional

from photochrom.worker.photo.base import colorspace


class AutoencoderConfig(BaseModel):
    """Sizes of the network; the defaults are the published ones (206 million parameters)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: int = Field(80, ge=8, multiple_of=4, description="pixels a side, in and out")
    kernel: int = Field(5, ge=1, description="side of every convolution's kernel; odd")
    filters: tuple[PositiveInt, PositiveInt] = (256, 128)
    dense: int = Field(2000, ge=1, description="units of the bottleneck")
    draws: Literal["rgb", "chroma"] = Field("rgb", description="what comes out, and what the loss looks at")

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("must be odd")
        return kernel


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class Autoencoder(nn.Module):
    """Two convolutions and poolings down, a dense bottleneck, two up-samplings and convolutions up."""

    architecture = "autoencoder"

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        outer, inner = config.filters
        self.small = config.side // 4
        flat = inner * self.small**2
        self.conv1 = _conv(3, outer, config.kernel)
        self.conv2 = _conv(outer, inner, config.kernel)
        self.squeeze = nn.Linear(flat, config.dense)
        self.expand = nn.Linear(config.dense, flat)
        self.conv3 = _conv(inner, inner, config.kernel)
        self.conv4 = _conv(inner, 3 if config.draws == "rgb" else 2, config.kernel)

    def forward(self, luma: Tensor) -> Tensor:
        """Luma (n, 1, side, side) in 0..1 to logits: of an RGB picture (n, 3, side, side), or of U and V, each plus a
        half (n, 2, side, side), by `AutoencoderConfig.draws`.
        """
        if luma.shape[-2:] != (self.config.side, self.config.side):
            raise ValueError(f"input of {tuple(luma.shape[-2:])}: this network is made for {self.config.side}")
        x = functional.max_pool2d(functional.relu(self.conv1(luma.expand(-1, 3, -1, -1))), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.squeeze(x.flatten(1)))
        x = functional.relu(self.expand(x)).view(len(x), -1, self.small, self.small)
        x = functional.relu(self.conv3(functional.interpolate(x, scale_factor=2)))
        return self.conv4(functional.interpolate(x, scale_factor=2))

    def read_out(self, output: Tensor, vividness: float | None = None) -> Tensor:
        """What `forward` gave, to chroma (n, 2, side, side) float32, centred on 0. It has no vividness to choose."""
        drawn = output.float().sigmoid()
        if self.config.draws == "chroma":
            return drawn - colorspace.CHROMA_OFFSET
        return torch.stack(colorspace.split(drawn.unbind(1))[1:], 1)

    def chroma(self, luma: Tensor, vividness: float | None = None) -> Tensor:
        """Luma (n, 1, side, side) in 0..1 to chroma (n, 2, side, side) in -0.5..0.5."""
        return self.read_out(self.forward(luma), vividness)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Every photograph is shown at the one size this network knows."""
        return self.config.side, self.config.side
