"""The task `photochrom.colorize`: takes a job from the queue and sends back what is left of it."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import signals
from celery.exceptions import Reject

from worker import drain
from worker.app import COLORIZE, app, mark_ready, send_job
from worker.engine import prepare_process
from worker.errors import RetryableError, UsageError, WorkerFault
from worker.job import Job
from worker.resources import Resources, resources
from worker.runner import Leftover, run_job
from worker.serving import engine_for, serving
from worker.shortage import shortages_translated

log = logging.getLogger("photochrom.worker")

RETRY_SECONDS, MOST_RETRY_SECONDS = 5, 300
"""Wait before images are tried again after a fault that may pass; doubled each time, up to the second."""


@signals.worker_process_init.connect
def _start_child(**_: object) -> None:
    """Load the model in the child; the forking parent never calls torch."""
    drain.outlive_the_group()
    prepare_process(threads=1)
    settings = resources().settings
    engine_for(settings.model)
    serving().follow(settings.model_interval)
    mark_ready()


@app.task(name=COLORIZE)
def colorize_job(message: dict[str, Any]) -> None:
    """Colour the images of a job (see `worker.job.Job`), until they have ended, time is up, or this worker stops."""
    try:
        job = Job.parse(message)
    except UsageError as error:
        log.error("job refused: %s", error, extra={"action": "job_refused"})
        raise Reject(str(error), requeue=False) from error
    held = resources()
    until = time.monotonic() + held.settings.job_seconds
    try:
        with shortages_translated():
            left = run_job(job, held, lambda: not drain.is_draining() and time.monotonic() < until)
        send_back(job, left, held)
    except (RetryableError, WorkerFault) as fault:
        # The ledger could not be asked, or no model loaded: the message itself goes back, or is redelivered in time.
        _stop_after(fault)
        raise Reject(str(fault), requeue=True) from fault
    _stop_after(left.fault)


def send_back(job: Job, left: Leftover, held: Resources) -> None:
    """Put what is left of a job back into the queue, before the job itself is acknowledged."""
    if not left.images:
        return
    now = held.ledger.note_sent(job.submission, [image.ordinal for image in left.images])
    passing = isinstance(left.fault, RetryableError)
    attempt = job.attempt + 1 if passing else job.attempt
    wait = min(MOST_RETRY_SECONDS, RETRY_SECONDS * 2**job.attempt) if passing else 0
    for images in [[image] for image in left.images] if left.singly else [left.images]:
        send_job(job.only(images, sent=now, attempt=attempt), wait)
    log.info("gave back %d images of %s: %s", len(left.images), job.submission, left.fault or "no time left")


def _stop_after(fault: Exception | None) -> None:
    """A worker that cannot work takes no more: it would only send good images round in circles."""
    if isinstance(fault, WorkerFault):
        log.critical("this worker stops: %s", fault, extra={"action": "worker_stopped"})
        drain.stop_this_worker()
