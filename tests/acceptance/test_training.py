"""What people who retrain the model rely on: a run that is killed again and again ends as if it had not been."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photochrom.deploy.stack.stack import Stack
from photochrom.training.recipe import recipe_for
from photochrom.training.runs.records import Position, Runs
from photochrom.training.runs.request import FROM_ENCODER, Request
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings
from tests.acceptance.test_submission import wait_until

pytestmark = pytest.mark.integration

KILLS = int(os.environ.get("PHOTOCHROM_TEST_KILLS", "3"))

SETTINGS = {
    "epochs": 6 + KILLS,
    "patience": 1000,
    "images_per_epoch": 600,
    "batch": 4,
    "sides": (32,),
    "validation_side": 32,
    "config": {"side": 32, "kernel": 3, "filters": [16, 12], "dense": 16},
    "low_precision": False,
}
ENVIRONMENT = {
    "PHOTOCHROM_RECONCILE_INTERVAL": "0.5",
    "PHOTOCHROM_LOCK_SECONDS": "2",
    "PHOTOCHROM_TRAINING_STEP_SECONDS": "1",
    "PHOTOCHROM_CONCURRENCY": "1",
}


def colour_jpeg(seed: int) -> bytes:
    """A colourful picture of its own kind."""
    colours = np.random.default_rng(seed).integers(0, 255, (3, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).resize((96, 72), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("training")
    environment = {**ENVIRONMENT, "PHOTOCHROM_TRAINING_FOLDER": str(folder)}
    with Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, environment=environment) as stack:
        yield stack


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Iterator[Settings]:
    with stack.exported() as settings:
        store = Store(settings)
        for number in range(60):
            store.put("archive", f"colour/{number:02d}.jpg", colour_jpeg(number))
        yield settings


@pytest.fixture
def runs(settings: Settings) -> Runs:
    return Runs(Store(settings), settings)


def begin(runs: Runs, name: str) -> None:
    recipe = recipe_for("autoencoder", [], SETTINGS)
    runs.start(Request(name=name, model="autoencoder", recipe=recipe, source="s3://archive/colour", start=FROM_ENCODER))


def ended(runs: Runs, name: str) -> bool:
    position = runs.load(name).position
    assert position.status in ("running", "ended"), position.why
    return position.status == "ended"


def result(position: Position) -> tuple[list[dict[str, float]], str]:
    assert position.verdict
    return position.history, position.verdict.challenger


def test_a_run_killed_again_and_again_ends_with_the_same_metrics_and_the_same_weights(stack: Stack, runs: Runs) -> None:
    training = stack.start_training()
    begin(runs, "whole")
    wait_until(stack, lambda: ended(runs, "whole"))
    begin(runs, "killed")
    moments = random.Random(0)
    for _ in range(KILLS):
        before = runs.load("killed").position
        wait_until(stack, lambda before=before: runs.load("killed").position != before)
        until = time.monotonic() + moments.uniform(0, 1.5)  # anywhere in the step that follows
        wait_until(stack, lambda until=until: time.monotonic() > until)
        assert not ended(runs, "killed")
        stack.stop(training, signal.SIGKILL)
        training = stack.start_training()
    wait_until(stack, lambda: ended(runs, "killed"))
    whole, killed = runs.load("whole").position, runs.load("killed").position
    assert len(whole.history) == SETTINGS["epochs"]
    assert result(killed) == result(whole)


def test_a_training_process_that_is_told_to_stop_leaves_its_run_in_s3_for_another_machine(
    stack: Stack, runs: Runs, tmp_path: Path
) -> None:
    assert stack.training
    begin(runs, "moved")
    wait_until(stack, lambda: runs.load("moved").position.epoch >= 2)
    stack.stop(stack.training)
    [copy, *_] = runs.load("moved").position.copies
    assert copy.epoch >= 2
    stack.environment["PHOTOCHROM_TRAINING_FOLDER"] = str(tmp_path)  # another machine: nothing on its disk
    stack.start_training()
    wait_until(stack, lambda: ended(runs, "moved"))
    assert result(runs.load("moved").position) == result(runs.load("whole").position)
    assert json.loads(json.dumps(runs.load("moved").position.history[1])) == runs.load("whole").position.history[1]
