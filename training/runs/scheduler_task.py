"""The control process's part of training: begins what the schedule says, and sends steps to runs left alone."""

from __future__ import annotations

import logging
from functools import cache

from photochrom.training.runs import metrics
from photochrom.training.runs.records import Runs
from photochrom.training.runs.run_board import Board
from photochrom.training.runs.schedule import start_what_is_due
from photochrom.worker.errors import PhotochromError
from photochrom.worker.jobs.context import resources
from photochrom.worker.queue.app import TRAINING, app, send_step

log = logging.getLogger("photochrom.control")


@cache
def board() -> Board:
    """That of this process."""
    return Board(resources().settings)


@app.task(name=TRAINING)
def training() -> None:
    """One tick. It may come twice, and in two processes: a step that is sent twice is taken once."""
    for part in (_begin, _send):
        try:
            part()
        except PhotochromError as error:
            log.error("training waits: %s", error, extra={"action": "training_waits"})
        except Exception:  # the other part is not to wait for it
            log.exception("not foreseen", extra={"action": "training_waits"})


def _begin() -> None:
    held = resources()
    start_what_is_due(held.store, held.settings)


def _send() -> None:
    held = resources()
    active = list(Runs(held.store, held.settings).active())
    metrics.ACTIVE.set(len(active))
    for run in active:
        if board().is_left_alone(run.name):
            send_step(run.name)
