"""The task `photochrom.colorize`: a job's images one after another, each with exactly one outcome."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

from celery import Task, signals
from celery.exceptions import Reject

from worker.allowed import check_allowed
from worker.app import COLORIZE, app, mark_ready
from worker.colorize import colorize, fetch
from worker.engine import engine_for, prepare_process
from worker.errors import ImageFault, RetryableError, UsageError, WorkerFault
from worker.job import Image, Job
from worker.ledger import Ledger
from worker.outcomes import record_quarantined
from worker.settings import Settings, settings
from worker.store import Store, Stored

log = logging.getLogger("photochrom.worker")

RETRY_SECONDS, MOST_RETRY_SECONDS = 5, 300
"""Wait before a job is tried again; doubled each time, up to the second."""


class Resources(NamedTuple):
    """What one worker process holds on to."""

    settings: Settings
    store: Store
    ledger: Ledger


@cache
def resources() -> Resources:
    """Made once in each process, never before a fork: connections cannot be shared with a parent."""
    chosen = settings()
    return Resources(chosen, Store(chosen), Ledger(chosen))


@signals.worker_process_init.connect
def _start_child(**_: object) -> None:
    """Load the model in the child; the forking parent never calls torch."""
    prepare_process(threads=1)
    engine_for(resources().settings.model)
    mark_ready()


@app.task(name=COLORIZE, bind=True, max_retries=None)
def colorize_job(self: Task, message: dict[str, Any]) -> None:
    """Colour the images of a job (see `worker.job.Job`). One bad image ends alone; the others are written.

    What could not be finished, for a fault that may pass or that is this worker's own, comes back later as a new job.
    """
    try:
        job = Job.parse(message)
    except UsageError as error:
        log.error("job refused: %s", error, extra={"action": "job_refused"})
        raise Reject(str(error), requeue=False) from error
    try:
        unfinished, fault = run_job(job, resources())
    except (RetryableError, WorkerFault) as error:
        unfinished, fault = list(job.images), error
    if unfinished:
        wait = min(MOST_RETRY_SECONDS, RETRY_SECONDS * 2**self.request.retries)
        log.warning("job %s: %d images again in %d s: %s", job.submission, len(unfinished), wait, fault)
        raise self.retry(args=[job.only(unfinished).message()], countdown=wait)


def run_job(job: Job, held: Resources) -> tuple[list[Image], Exception | None]:
    """Work through a job; give back the images that have no outcome yet, and the last reason for that.

    After a fault of the worker itself the rest of the job is handed back untouched.
    """
    ended = held.ledger.ended(job.submission, [image.ordinal for image in job.images])
    waiting = [image for image in job.images if image.ordinal not in ended]
    if not waiting:
        return [], None
    engine = engine_for(job.task.model)
    unfinished: list[Image] = []
    fault: Exception | None = None
    for image, source in _fetched_ahead(waiting, job, held):
        if isinstance(fault, WorkerFault):
            unfinished.append(image)
            continue
        try:
            colorize(image, job, source.result(), engine, held.store, held.settings)
            held.ledger.record_done(job.submission, image.ordinal)
            log.info("done %s", image.key, extra={"action": "image_done", "submission": job.submission})
        except ImageFault as error:
            log.warning("quarantined %s: %s", image.key, error, extra={"action": "image_quarantined"})
            record_quarantined(job.submission, image, error, held.store, held.ledger, held.settings)
        except (RetryableError, WorkerFault) as error:
            unfinished.append(image)
            fault = error
    return unfinished, fault


def _fetched_ahead(images: list[Image], job: Job, held: Resources) -> Iterator[tuple[Image, Future[Stored]]]:
    """Each image with its bytes to come; the next one is fetched while the caller works on this one."""

    def load(image: Image) -> Stored:
        check_allowed(job.task, held.settings)
        return fetch(held.store, image, job, held.settings)

    with ThreadPoolExecutor(1, thread_name_prefix="fetch") as pool:
        ahead: Future[Stored] | None = None
        for place, image in enumerate(images):
            current = ahead or pool.submit(load, image)
            following = images[place + 1 : place + 2]
            ahead = pool.submit(load, following[0]) if following else None
            yield image, current
