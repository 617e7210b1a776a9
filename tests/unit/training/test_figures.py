"""What training counts."""

import pytest
from prometheus_client import REGISTRY

from photochrom.training.recipe import RECIPES
from photochrom.training.runs.metrics import count_step
from photochrom.training.runs.records import Position, Run, Verdict
from photochrom.training.runs.request import Request

REQUEST = Request(name="r", model="vgg16-yuv", recipe=RECIPES["vgg16-yuv"], source="s3://archive/")


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


def run(**position):
    return Run(REQUEST, Position(**position), "etag")


def test_a_step_is_counted_with_its_seconds_under_the_phase_that_it_began_in():
    before = value("photochrom_training_steps_total", phase="prepare")
    seconds = value("photochrom_training_step_seconds_total", phase="prepare")
    count_step(run(phase="prepare"), run(phase="train"), 12.5)
    assert value("photochrom_training_steps_total", phase="prepare") == before + 1
    assert value("photochrom_training_step_seconds_total", phase="prepare") == seconds + 12.5


def test_the_last_figures_are_told():
    count_step(run(phase="train"), run(phase="train", history=[{"psnr": 1.0}, {"psnr": 23.5, "epoch": 2}]), 1)
    assert value("photochrom_training_figure", model="vgg16-yuv", figure="psnr") == 23.5


def verdict(sequence):
    return Verdict(challenger="a" * 64, champion="b" * 64, sequence=sequence, reasons=[])


@pytest.mark.parametrize(
    ("position", "outcome"),
    [
        ({"status": "failed"}, "failed"),
        ({"status": "ended", "verdict": verdict(None)}, "kept"),
        ({"status": "ended", "verdict": verdict(4)}, "promoted"),
    ],
)
def test_a_run_that_ends_is_counted_by_how(position, outcome):
    before = {name: value("photochrom_training_runs_total", outcome=name) for name in ("failed", "kept", "promoted")}
    count_step(run(phase="judge"), run(phase="judge", **position), 1)
    gained = {name: value("photochrom_training_runs_total", outcome=name) - was for name, was in before.items()}
    assert gained == {"failed": 0, "kept": 0, "promoted": 0} | {outcome: 1}


def test_a_run_that_goes_on_has_not_ended():
    before = sum(value("photochrom_training_runs_total", outcome=name) for name in ("failed", "kept", "promoted"))
    count_step(run(phase="train"), run(phase="train"), 1)
    after = sum(value("photochrom_training_runs_total", outcome=name) for name in ("failed", "kept", "promoted"))
    assert after == before
