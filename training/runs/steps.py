"""One step of a training run: a few minutes of work that may be lost, and is then done again.

A step begins with what the last one left and ends by moving the run's position in S3, which only he can who read the
position that is there. So two that work at one run, however that came about, never mix their work.
"""

from __future__ import annotations

import logging

from training.runs import copies
from training.runs.desk import Desk, Interrupted
from training.runs.phases import PHASES
from training.runs.records import LateError, Position, Run
from worker.errors import UsageError, WorkerFault

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
        log.info("run %s: step %d, %s", name, run.position.steps + 1, run.position.phase, extra={"action": "step"})
        try:
            position = PHASES[run.position.phase](run, desk)
        except Interrupted:
            return True
        except (UsageError, WorkerFault) as error:
            log.error("run %s failed: %s", name, error, extra={"action": "run_failed"})
            position = run.position.moved(status="failed", why=str(error))
        return _move(run, position.moved(steps=position.steps + 1), desk)


def leave_copy(name: str, desk: Desk) -> None:
    """Copy the state of a run to S3 if that is behind the run: this machine may be gone in a moment."""
    with desk.board.work(name) as mine:
        run = desk.runs.load(name)
        if mine and copies.is_behind(run):
            desk.runs.move(
                run, run.position.moved(copies=copies.save(run, desk.folder(run), desk.store, desk.settings))
            )


def _move(run: Run, position: Position, desk: Desk) -> bool:
    try:
        desk.runs.move(run, position)
    except LateError:
        there = desk.runs.load(run.name)
        if there.position.steps != run.position.steps:
            log.warning("run %s went on elsewhere meanwhile", run.name, extra={"action": "step_late"})
            return False
        if position.status == "running":  # it was stopped during the step, which counts all the same
            position = position.moved(status=there.position.status, why=there.position.why)
        return _move(there, position, desk)
    return position.status == "running"
