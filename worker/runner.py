"""How a job is worked through: image after image, each with exactly one outcome, and what is left is given back."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from worker.allowed import check_allowed
from worker.colorize import Current, Source, colorize, fetch
from worker.engine import Engine
from worker.errors import ImageFault, OutOfMemoryFault, RetryableError, WorkerFault
from worker.job import Image, Job
from worker.ledger import Standing, Start
from worker.outcomes import poison, record_quarantined
from worker.resources import Resources
from worker.serving import engine_for
from worker.shortage import shortages_translated

log = logging.getLogger("photochrom.worker")

TRIES = 3
FIRST_WAIT = 0.2
"""Tries of an image after a fault that may pass, and seconds before the second; doubled each time, with jitter."""


@dataclass(frozen=True)
class _Run:
    """A job that is being worked through, and with what."""

    job: Job
    engines: Callable[[str], Engine]
    held: Resources
    may_go_on: Callable[[], bool]

    def fetch(self, image: Image) -> Source | Current:
        check_allowed(self.job.task, self.held.settings)
        engine = self.engines(self.job.task.model)  # for each image: a champion may change in the middle of a job
        return fetch(image, self.job, engine, self.held.store, self.held.settings)

    def fetch_ahead(self, image: Image) -> Source | Current:
        if not self.may_go_on():
            raise RetryableError(f"{image.key} is left for later")
        return self.fetch(image)


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
    """Work through a job and say what is left of it. `may_go_on` is asked between two images, and before every try.

    A fault of the image ends the image; one that may pass leaves it for later; one of the worker leaves all the rest.
    """
    ended = held.ledger.ended(job.submission, [image.ordinal for image in job.images])
    waiting = [image for image in job.images if image.ordinal not in ended]
    if len(waiting) > 1 and any(held.ledger.starts(job.submission, [image.ordinal for image in waiting]).values()):
        return Leftover(waiting, singly=True)
    left = Leftover()
    if not waiting:
        return left
    with suppress(ImageFault):  # every image will say so
        engines(job.task.model)  # one that does not load is no image's fault: the job goes back as it is
    run = _Run(job, engines, held, may_go_on)
    for place, (image, source) in enumerate(_fetched_ahead(waiting, run)):
        if isinstance(left.fault, WorkerFault) or not may_go_on():
            left.images += waiting[place:]
            break
        start = held.ledger.start(job.submission, image.ordinal)
        if start.standing is Standing.CANCELLED:
            return Leftover()
        if start.standing is Standing.STARTED:
            _run_image(image, start, source, run, left)
    return left


def _run_image(image: Image, start: Start, source: Future[Source | Current], run: _Run, left: Leftover) -> None:
    """One image to its outcome, or into what is left."""
    submission, held = run.job.submission, run.held
    try:
        try:
            if start.number > held.settings.max_starts:
                raise poison(image, start.number - 1)
            with shortages_translated():
                notes = _colorize_with_retries(image, source, run)
            held.ledger.record_done(submission, image.ordinal, notes)
            said = f" ({', '.join(notes)})" if notes else ""
            log.info("done %s%s", image.key, said, extra={"action": "image_done", "submission": submission})
        except ImageFault as fault:
            log.warning("quarantined %s: %s", image.key, fault, extra={"action": "image_quarantined"})
            record_quarantined(submission, image, fault, held.store, held.ledger, held.settings)
    except (RetryableError, WorkerFault) as fault:
        left.images.append(image)
        left.fault = fault
        if not isinstance(fault, OutOfMemoryFault):
            held.ledger.give_back(submission, image.ordinal, start)


def _colorize_with_retries(image: Image, source: Future[Source | Current], run: _Run) -> tuple[str, ...]:
    """Gives back what is to be known of the result beside that it is there."""
    get = source.result
    for wait in (FIRST_WAIT * 2**attempt for attempt in range(TRIES - 1)):
        try:
            return _colorize(image, get(), run)
        except RetryableError as error:
            if not run.may_go_on():
                raise
            log.info("again %s: %s", image.key, error, extra={"action": "image_retried"})
            time.sleep(wait * random.uniform(0.5, 1.5))
        get = partial(run.fetch, image)
    return _colorize(image, get(), run)


def _colorize(image: Image, fetched: Source | Current, run: _Run) -> tuple[str, ...]:
    if isinstance(fetched, Current):
        return fetched.notes
    return colorize(image, run.job, fetched, run.held.store, run.held.settings).notes


def _fetched_ahead(images: list[Image], run: _Run) -> Iterator[tuple[Image, Future[Source | Current]]]:
    """Each image with its bytes to come; the next one is fetched while the caller works on this one.

    When the run may not go on, the next one's fetch is not begun, and the end of one that was begun is not awaited.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")
    try:
        ahead: Future[Source | Current] | None = None
        for place, image in enumerate(images):
            current = ahead or pool.submit(run.fetch, image)
            following = images[place + 1 : place + 2]
            ahead = pool.submit(run.fetch_ahead, following[0]) if following else None
            yield image, current
    finally:
        pool.shutdown(wait=run.may_go_on(), cancel_futures=True)
