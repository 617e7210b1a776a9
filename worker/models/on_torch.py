"""A folded network on torch: one kind of number throughout, channels last, weights laid out once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from photochrom.worker.inference.device import Device
from photochrom.worker.models.forms import CENTRE, Enlarging, Form, Layer, Layers

PACKED_FOR = 56
"""Side of the picture that kernels are laid out for on a processor; another size is computed as well, and as fast."""


class OnTorch:
    """Computes a form's output on a device. Safe to use from several threads on a processor."""

    name = "torch"

    def __init__(self, form: Form, layers: Layers, device: Device) -> None:
        self.form, self.device = form, device
        self.precision = device.precision
        self._layers = {name: _prepared(layer, device) for name, layer in layers.items()}

    @torch.inference_mode()
    def output(self, gray: Tensor) -> Tensor:
        """Gray uint8 (n, h, w), in any memory, to what the form gives, channels last: (n, h', w', channels)."""
        x = gray.to(self.device.place, non_blocking=True).to(self.device.numbers) - CENTRE
        x = torch.stack([x, torch.ones_like(x)], -1).permute(0, 3, 1, 2)
        return self.form.output(x, self).permute(0, 2, 3, 1)

    def layer(self, name: str, x: Tensor) -> Tensor:
        return self._layers[name](x)

    def pool(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, 2)

    def twice(self, x: Tensor, how: Enlarging) -> Tensor:
        if how == "nearest":
            return functional.interpolate(x, scale_factor=2)
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x.add_(y)

    def picture(self, x: Tensor, channels: int, side: int) -> Tensor:
        return x.view(len(x), channels, side, side).contiguous(memory_format=torch.channels_last)


def _prepared(layer: Layer, device: Device) -> Any:
    weight = layer.weight.to(device.place, device.numbers)
    bias = layer.bias.to(device.place, device.numbers)
    if weight.dim() == 1:
        return _Factor(weight.view(1, -1, 1, 1), bias.view(1, -1, 1, 1))
    if weight.dim() == 2:
        return _Matrix(weight, bias, layer.relu)
    if device.is_processor and device.numbers in _packed_numbers() and _can_pack():
        return _PackedKernel(weight, bias, layer.relu)
    return _Kernel(weight.contiguous(memory_format=torch.channels_last), bias, layer.relu)


def _can_pack() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def _packed_numbers() -> tuple[torch.dtype, ...]:
    """float16 is for accelerators, few processors multiply it; those before AVX-512 have no packed bfloat16."""
    return (torch.float32, torch.bfloat16) if torch.ops.mkldnn._is_mkldnn_bf16_supported() else (torch.float32,)


class _Factor:
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, x, self.weight)


class _Matrix:
    def __init__(self, weight: Tensor, bias: Tensor, relu: bool) -> None:
        self.weight, self.bias, self.relu = weight, bias, relu

    def __call__(self, x: Tensor) -> Tensor:
        x = functional.linear(x.flatten(1), self.weight, self.bias)
        return x.relu_() if self.relu else x


class _Kernel:
    """A convolution as torch has it for every device."""

    def __init__(self, weight: Tensor, bias: Tensor, relu: bool) -> None:
        self.weight, self.bias, self.relu = weight, bias, relu
        self.padding = weight.shape[-1] // 2

    def __call__(self, x: Tensor) -> Tensor:
        x = functional.conv2d(x, self.weight, self.bias, padding=self.padding)
        return x.relu_() if self.relu else x


class _PackedKernel:
    """A convolution and its ReLU as one operation of oneDNN's, whose weights are laid out once and not at every call.

    The operations are those that torch's own compiler puts in the place of a convolution.
    """

    def __init__(self, weight: Tensor, bias: Tensor, relu: bool) -> None:
        padding = [weight.shape[-1] // 2] * 2
        size = [1, weight.shape[1], PACKED_FOR, PACKED_FOR]
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, padding, [1, 1], [1, 1], 1, size)
        self.bias = bias
        self.settings: tuple[Any, ...] = (padding, [1, 1], [1, 1], 1, "relu" if relu else "none", [], "")

    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.settings)
