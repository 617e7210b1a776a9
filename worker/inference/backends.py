"""Which engine computes a network: torch anywhere, or OpenVINO on a processor where that measures faster."""

from __future__ import annotations

import logging
import time
from typing import Literal

import numpy as np
import torch

from photochrom.worker.errors import UsageError
from photochrom.worker.inference.device import Device
from photochrom.worker.models.forms import Form, Layers
from photochrom.worker.models.on_torch import OnTorch
from photochrom.worker.models.predictor import Predictor, probe

log = logging.getLogger("photochrom.worker")

EngineName = Literal["auto", "torch", "openvino"]

MARGIN = 1.2
"""OpenVINO is taken where it is so many times as fast: the processes of one machine are not to choose by chance."""

LOOKS = 3
"""Predictions by which two engines are compared, after a first one; the fastest counts."""

TOLERANCE = {torch.float32: (0.01 / 255, 0.1 / 255), torch.bfloat16: (1 / 255, 8 / 255)}
"""By which OpenVINO's chroma may differ from torch's of the same numbers: on average, and at worst."""


def predictor(form: Form, layers: Layers, device: Device, wanted: EngineName) -> Predictor:
    """The predictor by the engine that is wanted; by "auto", the fastest.

    Raises UsageError for OpenVINO where it is not installed, or not for a processor.
    """
    by_torch = Predictor(form, OnTorch(form, layers, device), device)
    if wanted == "torch" or (wanted == "auto" and _kind(form, device) in _torch_is_faster):
        return by_torch
    by_openvino = _by_openvino(form, layers, device)
    if by_openvino is None:
        if wanted == "openvino":
            raise UsageError(
                "PHOTOCHROM_ENGINE is openvino: that is for processors, from the extra photochrom[openvino]"
            )
        return by_torch
    if _differs(by_torch, by_openvino) or (wanted == "auto" and not _is_faster(by_torch, by_openvino)):
        return by_torch
    return by_openvino


_torch_is_faster: set[tuple[str, Device]] = set()
"""What a process has found out once: forms and devices."""


def _kind(form: Form, device: Device) -> tuple[str, Device]:
    return type(form).__name__, device


def _by_openvino(form: Form, layers: Layers, device: Device) -> Predictor | None:
    if not device.is_processor or device.batched or device.numbers not in TOLERANCE:
        return None
    try:
        from photochrom.worker.models.on_openvino import OnOpenVino
    except ImportError:
        return None
    return Predictor(form, OnOpenVino(form, layers, device.numbers), device)


def _differs(by_torch: Predictor, other: Predictor) -> bool:
    """Whether the other's result is outside of the tolerance; then it says so."""
    picture = [probe(by_torch.form)]
    distance = np.abs(by_torch(picture) - other(picture))
    mean, most = TOLERANCE[by_torch.device.numbers]
    within = float(distance.mean()) <= mean and float(distance.max()) <= most  # not where there is a NaN
    if not within:
        said = "%s is not used: its chroma is %.3f on average and %.3f at most from that of %s"
        found = (other.computing.name, distance.mean(), distance.max(), by_torch.computing.name)
        log.error(said, *found, extra={"action": "engine_refused"})
    return not within


def _is_faster(by_torch: Predictor, other: Predictor) -> bool:
    """Whether the other is faster, by a margin; it says what it found, and remembers."""
    picture = [probe(by_torch.form)]
    seconds: dict[str, float] = {}
    for each in [by_torch, other] * LOOKS:
        started = time.perf_counter()
        each(picture)
        name = each.computing.name
        seconds[name] = min(time.perf_counter() - started, seconds.get(name, float("inf")))
    mine, others = seconds[by_torch.computing.name], seconds[other.computing.name]
    faster = others * MARGIN <= mine
    if not faster:
        _torch_is_faster.add(_kind(by_torch.form, by_torch.device))
    chosen = other if faster else by_torch
    said = "%s is chosen: a picture takes %s %.1f ms and %s %.1f ms"
    names = (chosen.computing.name, by_torch.computing.name, 1e3 * mine, other.computing.name, 1e3 * others)
    log.info(said, *names, extra={"action": "engine_chosen"})
    return faster
