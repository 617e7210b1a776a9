"""A folded network on OpenVINO (the extra `photochrom[openvino]`): one graph for pictures of all sizes."""

from __future__ import annotations

import threading

import numpy as np
import openvino
import torch
from openvino import Node
from openvino import opset13 as operations
from torch import Tensor

from photochrom.worker.models.forms import CENTRE, Enlarging, Form, Layers

_HINTS = {torch.bfloat16: "bf16", torch.float32: "f32"}


class OnOpenVino:
    """Computes a form's output on the processor, on as many threads as torch has.

    Safe to use from several threads, each with buffers of its own.
    """

    name = "openvino"

    def __init__(self, form: Form, layers: Layers, numbers: torch.dtype) -> None:
        self.precision = str(numbers).removeprefix("torch.")
        hints = {
            "INFERENCE_PRECISION_HINT": _HINTS[numbers],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        self._compiled = openvino.Core().compile_model(_graph(form, layers), "CPU", hints)
        self._of_thread = threading.local()

    def output(self, gray: Tensor) -> Tensor:
        """Gray uint8 (1, h, w) to what the form gives, float32, channels last: (1, h', w', channels)."""
        if not hasattr(self._of_thread, "request"):
            self._of_thread.request = self._compiled.create_infer_request()
        x = gray.numpy().astype(np.float32) - CENTRE
        planes = np.stack([x, np.ones_like(x)], 1)
        found = self._of_thread.request.infer([planes], share_inputs=True, share_outputs=True)
        return torch.from_numpy(np.array(found[0]))


def _graph(form: Form, layers: Layers) -> openvino.Model:
    gray = operations.parameter([1, 2, -1, -1], np.float32)
    output = form.output(gray, _Nodes(layers))
    last = operations.transpose(output, np.array([0, 2, 3, 1]))
    return openvino.Model([last], [gray])


class _Nodes:
    """The arithmetic of `photochrom.worker.models.forms` on nodes of a graph."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers

    def layer(self, name: str, x: Node) -> Node:
        layer = self._layers[name]
        weight, bias = layer.weight.numpy(), layer.bias.numpy()
        wide = bias.reshape(1, -1, *[1] * (2 if weight.ndim != 2 else 0))
        if weight.ndim == 1:
            x = operations.multiply(x, weight.reshape(wide.shape))
        elif weight.ndim == 2:
            x = operations.matmul(operations.reshape(x, np.array([1, -1]), False), weight, False, True)
        else:
            padding = [weight.shape[-1] // 2] * 2
            x = operations.convolution(x, weight, [1, 1], padding, padding, [1, 1])
        x = operations.add(x, wide)
        return operations.relu(x) if layer.relu else x

    def pool(self, x: Node) -> Node:
        return operations.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)

    def twice(self, x: Node, how: Enlarging) -> Node:
        scales, axes = np.array([2.0, 2.0], np.float32), np.array([2, 3])
        mode = {"linear": "linear_onnx", "nearest": "nearest"}[how]
        return operations.interpolate(
            x,
            scales,
            mode,
            "scales",
            axes=axes,
            coordinate_transformation_mode="half_pixel",
            nearest_mode="round_prefer_ceil",
        )

    def add(self, x: Node, y: Node) -> Node:
        return operations.add(x, y)

    def picture(self, x: Node, channels: int, side: int) -> Node:
        return operations.reshape(x, np.array([1, channels, side, side]), False)
