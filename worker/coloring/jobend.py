"""One line in the log for each job that has ended: what became of its images, and where the time went."""

from __future__ import annotations

import logging
import threading

from photochrom.worker.coloring.runner import Leftover
from photochrom.worker.jobs.messages import Job
from photochrom.worker.telemetry.stages import Stage, spent

log = logging.getLogger("photochrom.worker")


class Meter:
    """Seconds of wall clock by stage between two looks, of all threads of this process: all looks add up to all."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._before: dict[Stage, float] = {}

    def look(self) -> dict[Stage, float]:
        """By stage, what was spent since the last look, or since the process began."""
        with self._reading:
            now = {stage: total.seconds for stage, total in spent().items()}
            before, self._before = self._before, now
        return {stage: round(seconds - before.get(stage, 0.0), 3) for stage, seconds in now.items()}


_METER = Meter()


def log_end(job: Job, left: Leftover, seconds: float) -> None:
    """Say that a job has ended after so many seconds, with what is left of it.

    Where several jobs are in hand at once, the seconds by stage are those of all of them since the last such line.
    """
    by_stage = _METER.look()
    ended = len(job.images) - len(left.images)
    log.info(
        "job of %s: %d images ended, %d left, %.1f s (%s)",
        job.submission,
        ended,
        len(left.images),
        seconds,
        ", ".join(f"{stage} {spent:.2f}" for stage, spent in by_stage.items()),
        extra={
            "action": "job_done",
            "submission": job.submission,
            "images": ended,
            "left": len(left.images),
            "seconds": round(seconds, 3),
            "stages": by_stage,
        },
    )
