"""The task `photochrom.colorize`: takes a job from the queue and sends back what is left of it."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import signals
from celery.exceptions import Reject
from celery.worker import state

from photochrom.worker.coloring.jobend import log_end
from photochrom.worker.coloring.runner import Leftover, run_job
from photochrom.worker.errors import CheckpointError, RetryableError, UsageError, WorkerFault
from photochrom.worker.inference.engine import prepare_process
from photochrom.worker.inference.served_models import engine_for, serving
from photochrom.worker.jobs.context import Resources, resources
from photochrom.worker.jobs.messages import MOST_ATTEMPTS, Job
from photochrom.worker.models.registry import Registry
from photochrom.worker.process import shutdown
from photochrom.worker.process.background import in_one_line
from photochrom.worker.process.exhaustion import shortages_translated
from photochrom.worker.queue.app import COLORIZE, app, send_job
from photochrom.worker.queue.readiness import doubt, ready_later, ready_once
from photochrom.worker.settings import settings
from photochrom.worker.telemetry import metrics

log = logging.getLogger("photochrom.worker")

RETRY_SECONDS, MOST_RETRY_SECONDS = 5, 300
"""Wait before images are tried again after a fault that may pass; doubled each time, up to the second."""


PASSING = (RetryableError, CheckpointError)
"""After these another try, later, may do better."""

UNSERVED_SECONDS = 1.0
"""For which a worker that cannot load a job's model takes no other: those that can are to be first."""


@signals.worker_process_init.connect
def _start_child(**_: object) -> None:
    """Load the model in the child; the forking parent never calls torch."""
    shutdown.outlive_the_group()
    _start_serving()
    ready_once(_ask_s3, _have_model)


@signals.celeryd_after_setup.connect
def _start_threads(instance: Any, **_: object) -> None:
    """Where threads do the work, their process loads the model, before it takes a message."""
    if settings().pool == "threads":
        shutdown.work_in_threads(lambda: _give_back_all(instance.hub))
        _start_serving()


@signals.worker_ready.connect
def _threads_ready(**_: object) -> None:
    if settings().pool == "threads":
        ready_later(_ask_s3, _have_model)


def _start_serving() -> None:
    chosen = resources().settings
    prepare_process(threads=chosen.torch_threads or 1)
    serving().follow(chosen.model_interval)
    try:
        engine_for(chosen.model)
    except Exception as error:  # until the first job comes it may have passed
        log.error("no model yet: %s", in_one_line(error), extra={"action": "model_unknown"})


def _ask_s3() -> None:
    """Raises any of the error tree while S3 does not answer."""
    held = resources()
    Registry(held.store, held.settings).pointer()


def _have_model() -> None:
    """Raises any of the error tree while there is no model."""
    engine_for(resources().settings.model)


def _give_back_all(hub: Any) -> None:
    """At the end of this process: put the messages of all jobs in hand back into the queue."""
    for request in list(state.reserved_requests):
        request.reject(requeue=True)
    hub.close()  # does what waits for Celery's main thread: these, and the acknowledgements of what has just ended


@app.task(name=COLORIZE)
def colorize_job(message: dict[str, Any]) -> None:
    """Colour the images of a job (see `Job`), until they have ended, time is up, or this worker stops."""
    try:
        job = Job.parse(message)
    except UsageError as error:
        metrics.JOBS.labels("refused").inc()
        log.error("job refused: %s", error, extra={"action": "job_refused"})
        raise Reject(str(error), requeue=False) from error
    held, begun = resources(), time.monotonic()
    until = begun + held.settings.job_seconds
    try:
        with shortages_translated():
            left = run_job(job, held, lambda: not shutdown.is_draining() and time.monotonic() < until)
        send_back(job, left, held)
    except (RetryableError, WorkerFault) as fault:
        # The ledger could not be asked, or there was no memory: the message itself goes back, or comes again in time.
        metrics.JOBS.labels("returned").inc()
        _stop_after(fault)
        raise Reject(str(fault), requeue=True) from fault
    metrics.JOBS.labels("ended").inc()
    log_end(job, left, time.monotonic() - begun)
    if isinstance(left.fault, CheckpointError):
        time.sleep(UNSERVED_SECONDS)
    _stop_after(left.fault)


def send_back(job: Job, left: Leftover, held: Resources) -> None:
    """Put what is left of a job back into the queue, before the job itself is acknowledged."""
    if not left.images:
        return
    now = held.ledger.note_sent(job.submission, [image.ordinal for image in left.images])
    passing = isinstance(left.fault, PASSING)
    attempt = min(job.attempt + 1, MOST_ATTEMPTS) if passing else job.attempt
    wait = min(MOST_RETRY_SECONDS, RETRY_SECONDS * 2**job.attempt) if passing else 0
    for images in [[image] for image in left.images] if left.singly else [left.images]:
        again = job.only(images, sent=now, attempt=attempt)
        if not (wait and held.ledger.put_off(job.submission, again.model_dump_json(), wait)):
            send_job(again)
    metrics.GIVEN_BACK.labels(_why(left)).inc(len(left.images))
    log.info(
        "gave back %d images of %s: %s",
        len(left.images),
        job.submission,
        left.fault or ("each for itself, one may have killed a worker" if left.singly else "no time left"),
        extra={"action": "images_given_back", "submission": job.submission, "images": len(left.images)},
    )


def _why(left: Leftover) -> str:
    if left.singly:
        return "singly"
    return "time" if left.fault is None else "passing" if isinstance(left.fault, PASSING) else "worker"


def _stop_after(fault: Exception | None) -> None:
    """A worker that cannot work takes no more: it would only send good images round in circles.

    One that cannot load a model may serve others.
    """
    if fault is not None:
        doubt()  # whether S3 answers is found out before the next job is taken
    if isinstance(fault, WorkerFault) and not isinstance(fault, CheckpointError):
        log.critical("this worker stops: %s", fault, extra={"action": "worker_stopped"})
        shutdown.stop_this_worker()
