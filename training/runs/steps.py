"""One step of a training run: a few minutes of work that may be lost, and is then done again.

A step begins with what the last one left and ends by moving the run's position in S3, which only he can who read the
position that is there. So two that work at one run, however that came about, never mix their work.
"""

from __future__ import annotations

import logging
import shutil
import time

from photochrom.training.fit.state import FILE, read_position
from photochrom.training.runs import snapshots
from photochrom.training.runs.context import Desk, Interrupted
from photochrom.training.runs.metrics import count_step
from photochrom.training.runs.phases import PHASES
from photochrom.training.runs.records import LateError, Position, Run
from photochrom.worker.errors import RetryableError, UsageError, WorkerFault

MOST_STARTS = 10
"""Of one step, in a row, without an end: a process that is killed each time is not started for ever."""

log = logging.getLogger("photochrom.training")


def take_step(name: str, desk: Desk) -> bool:
    """Do one step of a run and move its position; gives back whether there is more to do.

    Nothing is done where the run may not go on, or somebody else works at it. A run that cannot go on by its own or
    this machine's fault is noted as failed. Raises RetryableError.
    """
    with desk.board.work(name) as mine:
        run = desk.runs.load(name)
        if not mine or not desk.runs.is_active(run):
            return False
        log.info("run %s: step %d, %s", name, run.position.steps + 1, run.position.phase, extra=_extra("step", run))
        begun = time.monotonic()
        try:
            position = _position_behind(run, desk)
        except Interrupted:
            return desk.runs.is_active(desk.runs.load(name))
        moved = _move(run, position.moved(steps=position.steps + 1), desk)
        if moved:
            count_step(run, run._replace(position=position), time.monotonic() - begun)
        if moved and position.status == "ended":
            shutil.rmtree(desk.folder(run), ignore_errors=True)  # all that is of use lies in S3
        return moved and position.status == "running"


def _position_behind(run: Run, desk: Desk) -> Position:
    """Where the run stands when its step is done. What no second try would mend fails it. Raises RetryableError."""
    if desk.board.begin(run.name, run.position.steps) > MOST_STARTS:
        return _failed(run, f"{MOST_STARTS} starts of a step never ended: the process is killed each time, for memory?")
    try:
        position = PHASES[run.position.phase](run, desk)
    except (UsageError, WorkerFault) as error:
        position = _failed(run, str(error))
    except (RetryableError, Interrupted):
        desk.board.give_back(run.name, run.position.steps)
        raise
    except Exception as error:
        log.exception("run %s: not foreseen", run.name, extra=_extra("run_failed", run))
        position = _failed(run, f"{type(error).__name__}: {error}")
    return position


def _extra(action: str, run: Run) -> dict[str, object]:
    position = run.position
    return {"action": action, "run": run.name, "step": position.steps + 1, "phase": position.phase}


def _failed(run: Run, why: str) -> Position:
    log.error("run %s failed: %s", run.name, why, extra=_extra("run_failed", run))
    return run.position.moved(status="failed", why=why)


def leave_copy(name: str, desk: Desk) -> None:
    """Copy the state of a run to S3 if that is behind the run: this machine may be gone in a moment."""
    with desk.board.work(name) as mine:
        run = desk.runs.load(name)
        state = read_position(desk.folder(run) / FILE)
        if mine and state and (state.epoch, state.step) == (run.position.epoch, run.position.step):
            saved = snapshots.save(run, desk.folder(run), desk.store, desk.settings)
            desk.runs.move(run, run.position.moved(copies=saved))


def _move(run: Run, position: Position, desk: Desk) -> bool:
    """Move the run; whether that is its position now. A run that was stopped during the step stays so."""
    try:
        desk.runs.move(run, position)
    except LateError:
        there = desk.runs.load(run.name)
        if there.position.steps != run.position.steps:
            log.warning("run %s went on elsewhere meanwhile", run.name, extra=_extra("step_late", run))
            return False
        if position.status == "running":
            position = position.moved(status=there.position.status, why=there.position.why)
        return _move(there, position, desk) and position.status == "running"
    return True
