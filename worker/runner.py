"""How a job is worked through: image after image, each with exactly one outcome, and what is left is given back."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from worker.allowed import check_allowed
from worker.colorize import Source, colorize, fetch
from worker.engine import Engine, engine_for
from worker.errors import ImageFault, OutOfMemoryFault, RetryableError, WorkerFault
from worker.job import Image, Job
from worker.ledger import Standing, Start
from worker.outcomes import poison, record_quarantined
from worker.resources import Resources

log = logging.getLogger("photochrom.worker")

TRIES = 3
FIRST_WAIT = 0.2
"""Tries of an image after a fault that may pass, and seconds before the second; doubled each time, with jitter."""


@dataclass
class Leftover:
    """Images of a job that have no outcome yet, and how they are to come back."""

    images: list[Image] = field(default_factory=list)
    fault: Exception | None = None
    """Why; None when there was only no time left."""
    singly: bool = False
    """Each in a job of its own: one of them may have killed a worker."""


def run_job(
    job: Job, held: Resources, may_go_on: Callable[[], bool], engines: Callable[[str], Engine] = engine_for
) -> Leftover:
    """Work through a job and say what is left of it. `may_go_on` is asked between two images.

    A fault of the image ends the image; one that may pass leaves it for later; one of the worker leaves all the rest.
    """
    ended = held.ledger.ended(job.submission, [image.ordinal for image in job.images])
    waiting = [image for image in job.images if image.ordinal not in ended]
    if len(waiting) > 1 and any(held.ledger.starts(job.submission, [image.ordinal for image in waiting]).values()):
        return Leftover(waiting, singly=True)
    left = Leftover()
    if not waiting:
        return left
    engine = engines(job.task.model)
    for place, (image, source) in enumerate(_fetched_ahead(waiting, job, engine, held)):
        if isinstance(left.fault, WorkerFault) or not may_go_on():
            left.images += waiting[place:]
            break
        start = held.ledger.start(job.submission, image.ordinal)
        if start.standing is Standing.CANCELLED:
            return Leftover()
        if start.standing is Standing.STARTED:
            _run_image(image, job, start, source, engine, held, left)
    return left


def _run_image(
    image: Image, job: Job, start: Start, source: Future[Source | None], engine: Engine, held: Resources, left: Leftover
) -> None:
    """One image to its outcome, or into what is left."""
    try:
        try:
            if start.number > held.settings.max_starts:
                raise poison(image, start.number - 1)
            _colorize_with_retries(image, job, source, engine, held)
            held.ledger.record_done(job.submission, image.ordinal)
            log.info("done %s", image.key, extra={"action": "image_done", "submission": job.submission})
        except ImageFault as fault:
            log.warning("quarantined %s: %s", image.key, fault, extra={"action": "image_quarantined"})
            record_quarantined(job.submission, image, fault, held.store, held.ledger, held.settings)
    except (RetryableError, WorkerFault) as fault:
        left.images.append(image)
        left.fault = fault
        if not isinstance(fault, OutOfMemoryFault):
            held.ledger.give_back(job.submission, image.ordinal, start)


def _colorize_with_retries(
    image: Image, job: Job, source: Future[Source | None], engine: Engine, held: Resources
) -> None:
    for attempt in range(TRIES):
        try:
            fetched = source.result() if attempt == 0 else _fetch(image, job, engine, held)
            if fetched:
                colorize(image, job, fetched, engine, held.store, held.settings)
            return
        except RetryableError as error:
            if attempt == TRIES - 1:
                raise
            log.info("again %s: %s", image.key, error, extra={"action": "image_retried"})
            time.sleep(FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.5))


def _fetch(image: Image, job: Job, engine: Engine, held: Resources) -> Source | None:
    check_allowed(job.task, held.settings)
    return fetch(image, job, engine, held.store, held.settings)


def _fetched_ahead(
    images: list[Image], job: Job, engine: Engine, held: Resources
) -> Iterator[tuple[Image, Future[Source | None]]]:
    """Each image with its bytes to come; the next one is fetched while the caller works on this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="fetch") as pool:
        ahead: Future[Source | None] | None = None
        for place, image in enumerate(images):
            current = ahead or pool.submit(_fetch, image, job, engine, held)
            following = images[place + 1 : place + 2]
            ahead = pool.submit(_fetch, following[0], job, engine, held) if following else None
            yield image, current
