"""The task `photochrom.train_step` of the training processes: one step of a run, and the message for the next one."""

from __future__ import annotations

import logging
import threading
from functools import cache

import torch
from celery import signals

from photochrom.training.runs.context import Desk
from photochrom.training.runs.records import LateError
from photochrom.training.runs.steps import leave_copy, take_step
from photochrom.worker.errors import PhotochromError, RetryableError
from photochrom.worker.inference.cpu import keep_freed_memory
from photochrom.worker.process import shutdown
from photochrom.worker.queue.app import TRAIN_STEP, app, send_step
from photochrom.worker.queue.readiness import ready_later
from photochrom.worker.settings import settings

log = logging.getLogger("photochrom.training")

PAUSE_SECONDS = 10.0
"""After a fault that may pass, before the step is tried again."""

_draining = threading.Event()
_worked_at: set[str] = set()


@signals.worker_shutting_down.connect
def _drain(**_: object) -> None:
    _draining.set()


@signals.worker_ready.connect
def _ready(**_: object) -> None:
    keep_freed_memory()
    torch.set_num_threads(settings().concurrency)
    ready_later(lambda: desk().registry.pointer())


@signals.worker_shutdown.connect
def _leave(**_: object) -> None:
    """A step in hand has made its copy; one that had just ended has not."""
    for run in _worked_at:
        try:
            leave_copy(run, desk())
        except (PhotochromError, LateError) as error:
            log.warning("no copy of run %s: %s", run, error, extra={"action": "run_not_copied", "run": run})


@cache
def desk() -> Desk:
    """That of this process."""
    return Desk.of(settings(), shutdown.is_draining)


@app.task(name=TRAIN_STEP, acks_late=False)
def train_step(run: str) -> None:
    """Take a run step by step, for as long as no other run's step waits; then send for its next one.

    The message is acknowledged at once: the control process sees that nobody works at a run and sends another.
    """
    try:
        while take_step(run, desk()):
            _worked_at.add(run)
            if shutdown.is_draining() or desk().board.waits():  # another process, or another run, has its turn
                send_step(run)
                return
    except RetryableError as error:
        log.warning("run %s waits: %s", run, error, extra={"action": "run_waits", "run": run})
        _draining.wait(PAUSE_SECONDS)
    except PhotochromError as error:
        log.error("run %s: %s", run, error, extra={"action": "run_unknown", "run": run})
