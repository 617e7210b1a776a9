"""Several processes at many files: the order of outcomes, what a process dies of, and the end with whoever began it."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photochrom.worker.cli.local.attempt import Request
from photochrom.worker.cli.local.processes import Interruption, outcomes, processes
from photochrom.worker.cli.local.targets import Pair
from photochrom.worker.errors import CheckpointError, WorkerFault
from photochrom.worker.photo.base.options import Options
from photochrom.worker.settings import Settings
from tests.stand_in import StandInEngine

MODEL = "5" * 64


class DeadlyEngine(StandInEngine):
    """Kills its process with a white photograph."""

    def predict(self, gray, vividness=None):
        if gray.min() == 255:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(gray, vividness)


def missing(sha256):
    raise CheckpointError(f"no model {sha256[:4]}")


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def pairs(tmp_path):
    """Makes photographs, white where the number is among those given."""

    def make(count, white=()):
        made = []
        for number in range(count):
            path = tmp_path / f"{number}.png"
            Image.fromarray(np.full((8, 8), 255 if number in white else number, np.uint8)).save(path)
            made.append(Pair(path, tmp_path / "out" / path.name, None))
        return made

    return make


def pool(load, settings=None):
    return processes(Request(MODEL, Options(), overwrite=False), settings or Settings(), partial(load, MODEL))


def test_outcomes_come_in_the_order_of_the_files(pairs, no_settings):
    made = pairs(20)
    found = list(outcomes(made, pool(StandInEngine), 2, Interruption()))
    assert [(one.file, one.state) for one in found] == [(str(one.source), "new") for one in made]


@pytest.mark.parametrize("white", [{0}, {3, 9}])
def test_a_file_that_kills_its_process_takes_no_other_with_it(pairs, no_settings, white):
    made = pairs(12, white)
    found = list(outcomes(made, pool(DeadlyEngine), 2, Interruption()))
    assert [one.file for one in found] == [str(one.source) for one in made]
    assert {number for number, one in enumerate(found) if one.reason == "poison"} == white
    assert {one.state for one in found} <= {"new", "there", "failed"}  # there: written, and its outcome lost


def test_a_model_that_does_not_load_is_an_error_and_no_file_s_fault(pairs, no_settings):
    with pytest.raises(CheckpointError, match="no model 5555"):
        list(outcomes(pairs(3), pool(missing), 2, Interruption()))


def test_processes_that_cannot_start_are_an_error_and_no_file_s_fault(pairs, no_settings):
    with pytest.raises(WorkerFault, match="cannot be started"):
        list(outcomes(pairs(3), _dying_pool, 2, Interruption()))


def _dying_pool(jobs):
    return ProcessPoolExecutor(jobs, get_context("spawn"), die)


def test_after_an_interruption_what_is_in_hand_is_finished_and_nothing_else_begun(pairs, no_settings):
    made, interruption = pairs(200), Interruption()
    found = []
    for one in outcomes(made, pool(StandInEngine), 1, interruption):
        interruption.signal = signal.SIGTERM  # a real one would end the process of the tests, should it come too late
        found.append(one)
    assert [one.file for one in found] == [str(one.source) for one in made[: len(found)]]
    assert {Path(one.output).name for one in found} == {path.name for path in made[0].target.parent.iterdir()}
    assert len(found) < len(made)
