"""OpenVINO computes where it is faster by far and gives the same; everywhere else torch does."""

import builtins
import logging

import numpy as np
import pytest
import torch

from photochrom.worker.errors import UsageError
from photochrom.worker.inference import backends
from photochrom.worker.inference.backends import predictor
from photochrom.worker.inference.device import Device
from photochrom.worker.models.predictor import Predictor, probe

CPU = torch.device("cpu")
DEVICE = Device(CPU, torch.float32, batched=False)


class Form:
    """Chroma is what is computed; `probe` asks for its size."""

    def input_size(self, height, width):
        return 32, 64

    def read_out(self, output, vividness):
        return output.permute(0, 3, 1, 2)


class Computing:
    precision = "float32"

    def __init__(self, name, seconds, clock, off=0.0):
        self.name, self.seconds, self.clock, self.off = name, seconds, clock, off

    def output(self, gray):
        self.clock.now += self.seconds
        return torch.stack([gray.float() / 512, gray.float() / 512 + self.off], -1)


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(backends, "time", clock)
    monkeypatch.setattr(backends, "_torch_is_faster", set())
    return clock


@pytest.fixture
def engines(monkeypatch, clock):
    """Let torch and OpenVINO take these seconds, and OpenVINO's chroma be off by so much; gives what was made."""

    def put(by_torch, by_openvino, off=0.0):
        made = []

        def second(form, layers, device):
            made.append("openvino")
            return Predictor(form, Computing("openvino", by_openvino, clock, off), device)

        monkeypatch.setattr(backends, "OnTorch", lambda *_: Computing("torch", by_torch, clock))
        monkeypatch.setattr(backends, "_by_openvino", second)
        return made

    return put


def chosen(wanted="auto", device=DEVICE):
    return predictor(Form(), {}, device, wanted).computing.name


@pytest.mark.parametrize(("seconds", "name"), [(0.05, "openvino"), (0.08, "openvino"), (0.09, "torch"), (0.2, "torch")])
def test_the_faster_one_is_chosen_by_a_margin_and_it_is_said(engines, caplog, seconds, name):
    engines(0.1, seconds)
    with caplog.at_level(logging.INFO):
        assert chosen() == name
    (record,) = [record for record in caplog.records if getattr(record, "action", "") == "engine_chosen"]
    assert (
        record.getMessage() == f"{name} is chosen: a picture takes torch 100.0 ms and openvino {1e3 * seconds:.1f} ms"
    )


def test_what_was_found_slower_is_not_tried_again_in_this_process(engines):
    made = engines(0.1, 0.2)
    assert [chosen(), chosen()] == ["torch", "torch"]
    assert made == ["openvino"]


def test_one_that_is_asked_for_is_taken_however_slow_it_is(engines):
    engines(0.1, 0.5)
    assert chosen("openvino") == "openvino"
    engines(0.5, 0.1)
    assert chosen("torch") == "torch"


@pytest.mark.parametrize("wanted", ["auto", "openvino"])
@pytest.mark.parametrize(("off", "name"), [(0.00003, "openvino"), (0.0001, "torch"), (float("nan"), "torch")])
def test_chroma_that_differs_is_not_taken_and_it_is_said(engines, caplog, wanted, off, name):
    engines(0.5, 0.1, off)
    assert chosen(wanted) == name
    assert ("engine_refused" in [getattr(record, "action", "") for record in caplog.records]) == (name == "torch")


def test_where_openvino_is_not_installed_torch_computes_and_asking_for_it_is_an_error(monkeypatch, networks, clock):
    load = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("openvino") or name == "photochrom.worker.models.on_openvino":
            raise ImportError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(backends, "OnTorch", lambda *_: Computing("torch", 1, clock))
    assert chosen() == "torch"
    with pytest.raises(UsageError, match=r"from the extra photochrom\[openvino\]"):
        chosen("openvino")


@pytest.mark.parametrize(
    "device", [Device(CPU, torch.float32, batched=True), Device(CPU, torch.float16, batched=False)]
)
def test_openvino_is_for_processors_one_picture_at_a_time(monkeypatch, clock, device):
    monkeypatch.setattr(backends, "OnTorch", lambda *_: Computing("torch", 1, clock))
    assert chosen(device=device) == "torch"


def test_the_probe_is_a_picture_of_many_tones_and_edges():
    picture = probe(Form())
    assert (picture.shape, picture.dtype) == ((32, 64), np.uint8)
    assert np.ptp(picture) > 150
    assert abs(np.diff(picture.astype(int), axis=1)).max() > 50
