"""How a job is worked through: image after image, each with exactly one outcome, and what is left is given back.

While an image is coloured, the next one is fetched and the result of the one before it is stored. A start lasts only
while the image is decoded, computed and encoded: what fails or dies while S3 is asked is never held against it.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from photochrom.worker.coloring.colorize import Coloured, Current, Source, colour, fetch, store_result
from photochrom.worker.coloring.company import Company
from photochrom.worker.coloring.concurrency import Behind, brought_ahead
from photochrom.worker.coloring.refusal import refusals_judged
from photochrom.worker.errors import (
    CheckpointError,
    ImageFault,
    OutOfMemoryFault,
    RefusedError,
    RetryableError,
    WorkerFault,
)
from photochrom.worker.inference.engine import Engine
from photochrom.worker.inference.served_models import engine_for
from photochrom.worker.jobs.allowed import check_allowed
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Image, Job
from photochrom.worker.jobs.quarantine import poison, record_quarantined
from photochrom.worker.ledger.ledger import Standing, Start
from photochrom.worker.process.exhaustion import shortages_translated
from photochrom.worker.process.scratch import IN_MEMORY
from photochrom.worker.s3.store import Location
from photochrom.worker.telemetry import metrics

log = logging.getLogger("photochrom.worker")

TRIES = 3
FIRST_WAIT = 0.2
"""Tries of an image after a fault that may pass, and seconds before the second; doubled each time, with jitter."""

MOST_BEHIND = IN_MEMORY
"""Bytes of a result beyond which the next image waits until it is stored: memory and disk hold one such at a time."""

COMPANY = Company()
"""Of all jobs of this process: threads have several in hand."""

Result = TypeVar("Result")


@dataclass
class Leftover:
    """Images of a job that have no outcome yet, and how they are to come back."""

    images: list[Image] = field(default_factory=list)
    fault: Exception | None = None
    """Why; None when there was only no time left."""
    singly: bool = False
    """Each in a job of its own: one of them may have killed a worker."""

    def add(self, image: Image, fault: Exception) -> None:
        self.images.append(image)
        if not isinstance(self.fault, WorkerFault):  # that one says what becomes of the worker
            self.fault = fault


@dataclass(frozen=True)
class _Run:
    """A job that is being worked through, with what, and what is left of it so far."""

    job: Job
    engines: Callable[[str], Engine]
    held: Resources
    may_go_on: Callable[[], bool]
    beside: Callable[[], AbstractContextManager[None]]
    left: Leftover = field(default_factory=Leftover)
    versions: dict[int, str] = field(default_factory=dict)
    """SHA-256 of the model by ordinal, once it is known."""

    @property
    def is_over(self) -> bool:
        return isinstance(self.left.fault, WorkerFault) or not self.may_go_on()

    def fetch(self, image: Image) -> Source | Current:
        """Tried as often as it takes, within bounds. Raises any of the error tree, and nothing else."""
        with _asking_s3(image, self):
            return _with_retries(partial(self._fetch, image), image, self)

    def _fetch(self, image: Image) -> Source | Current:
        check_allowed(self.job.task, self.held.settings)
        engine = self.engines(self.job.task.model)  # for each image: a champion may change in the middle of a job
        self.versions[image.ordinal] = engine.card.sha256
        return fetch(image, self.job, engine, self.held.store, self.held.settings)

    def fetch_ahead(self, image: Image) -> Source | Current:
        if not self.may_go_on():
            raise RetryableError(f"{image.key} is left for later")
        return self.fetch(image)


def run_job(
    job: Job, held: Resources, may_go_on: Callable[[], bool], engines: Callable[[str], Engine] = engine_for
) -> Leftover:
    """Work through a job and say what is left of it. `may_go_on` is asked between two images, and before every try.

    A fault of the image ends the image; one that may pass leaves it for later; one of the worker leaves all the rest.
    """
    ended = held.ledger.ended(job.submission, [image.ordinal for image in job.images])
    waiting = [image for image in job.images if image.ordinal not in ended]
    suspect = any(held.ledger.starts(job.submission, [image.ordinal for image in waiting]).values())
    if suspect and len(waiting) > 1:
        return Leftover(waiting, singly=True)
    if not waiting:
        return Leftover()
    try:
        engines(job.task.model)
    except ImageFault:
        pass  # every image will say so
    except (CheckpointError, RetryableError) as fault:  # no image's fault, and this worker may serve other jobs
        return Leftover(waiting, fault)
    run = _Run(job, engines, held, may_go_on, COMPANY.alone if suspect else COMPANY.shared)
    with Behind("store") as storing:
        cancelled = not _work_through(waiting, run, storing)
    if cancelled:
        return Leftover()
    run.left.images.sort(key=waiting.index)  # a result that could not be stored is known after its successor
    return run.left


def _work_through(images: list[Image], run: _Run, storing: Behind) -> bool:
    """One image after another, until all have been begun or the run is over; False when the submission is cancelled."""
    sources = brought_ahead(images, run.fetch, run.fetch_ahead, run.may_go_on)
    for place, (image, source) in enumerate(sources):
        with ExitStack() as in_hand:
            in_hand.enter_context(run.beside())
            in_hand.enter_context(metrics.IN_HAND.track_inprogress())
            if run.is_over:
                run.left.images += images[place:]
                return True
            wait([source])
            start = run.held.ledger.start(run.job.submission, image.ordinal)
            if start.standing is Standing.CANCELLED:
                return False
            if start.standing is Standing.STARTED:
                _run_image(image, start, source, run, storing, in_hand)
    return True


def _run_image(
    image: Image, start: Start, source: Future[Source | Current], run: _Run, storing: Behind, in_hand: ExitStack
) -> None:
    """One fetched image to its outcome, or into what is left; or to its result, which takes what is in hand along."""
    with _outcome(image, start, run):
        with _in_turn(image, run, storing):
            if start.number > run.held.settings.max_starts:
                raise poison(image, start.number - 1)
            result = _colour(image, source.result(), run)
        if isinstance(result, Current):
            _record_done(image, result.notes, run)
            return
        in_hand.enter_context(result.written.body)
        with suppress(RetryableError):  # Redis is away; the image's end will take the start away
            run.held.ledger.give_back(run.job.submission, image.ordinal, start)
        size = result.written.body.seek(0, os.SEEK_END)
        _store_behind(partial(_store, image, start, result, run), in_hand, storing)
        if size > MOST_BEHIND:
            storing.wait()


@contextmanager
def _in_turn(image: Image, run: _Run, storing: Behind) -> Iterator[None]:
    """What becomes of the image is said once the one before it is stored, and not if that showed that this worker
    cannot work: a verdict on the image would not be worth much.
    """
    try:
        with shortages_translated():
            yield
    finally:
        storing.wait()
        if isinstance(run.left.fault, WorkerFault):
            raise RetryableError(f"{image.key} is left for another worker")


def _colour(image: Image, fetched: Source | Current, run: _Run) -> Coloured | Current:
    return fetched if isinstance(fetched, Current) else colour(image, run.job, fetched, run.held.settings)


def _store_behind(work: Callable[[], None], in_hand: ExitStack, storing: Behind) -> None:
    """Let what is in hand go when the work has ended, or could not be begun."""
    kept = in_hand.pop_all()

    def finish() -> None:
        with kept:
            work()

    try:
        storing.hand_over(finish)
    except BaseException:
        kept.close()
        raise


def _store(image: Image, start: Start, result: Coloured, run: _Run) -> None:
    """From a result to the image's outcome, or into what is left."""
    with _outcome(image, start, run):
        with _asking_s3(image, run):
            notes = _with_retries(partial(store_result, result, run.job, run.held.store), image, run)
        _record_done(image, notes, run, result.provenance.model_sha256)


@contextmanager
def _asking_s3(image: Image, run: _Run) -> Iterator[None]:
    """What fails within says nothing about what the image holds: it may pass, or is the worker's fault.

    What nobody foresaw passes, too; where it stays so for this image alone, it is judged like a refusal of S3.
    """
    with refusals_judged(image, run.job, run.held.store, run.held.settings):
        try:
            with shortages_translated():
                yield
        except OutOfMemoryFault as fault:
            raise WorkerFault(f"{fault} while S3 was asked") from fault
        except (ImageFault, RetryableError, WorkerFault):
            raise
        except Exception as error:  # of the error tree, too: a conflict at what is only read
            log.exception("not foreseen at %s", image.key, extra=_extra("image_retried", image, run))
            url = str(Location.parse(run.job.task.source)._replace(prefix=image.key))
            raise RefusedError(f"not foreseen: {type(error).__name__}", url) from error


@contextmanager
def _outcome(image: Image, start: Start, run: _Run) -> Iterator[None]:
    """What is raised within becomes the image's outcome, or puts it among what is left."""
    submission, held = run.job.submission, run.held
    try:
        try:
            with shortages_translated():
                yield
        except ImageFault as fault:
            log.warning(
                "quarantined %s: %s",
                image.key,
                fault,
                extra=_extra("image_quarantined", image, run, reason=fault.reason),
            )
            if record_quarantined(submission, image, fault, held.store, held.ledger, held.settings):
                metrics.IMAGES.labels("quarantined", fault.reason).inc()
    except (RetryableError, WorkerFault) as fault:
        run.left.add(image, fault)
        if not isinstance(fault, OutOfMemoryFault):
            held.ledger.give_back(submission, image.ordinal, start)


def _record_done(image: Image, notes: tuple[str, ...], run: _Run, version: str | None = None) -> None:
    """`version` is that of the model that made the result; None where there was one already."""
    if run.held.ledger.record_done(run.job.submission, image.ordinal, notes):
        metrics.IMAGES.labels("done", "").inc()
    said = f" ({', '.join(notes)})" if notes else ""
    log.info("done %s%s", image.key, said, extra=_extra("image_done", image, run, version=version))


def _extra(action: str, image: Image, run: _Run, **more: object) -> dict[str, object]:
    job = run.job
    named = {"submission": job.submission, "ordinal": image.ordinal, "key": image.key, "model": job.task.model}
    return {"action": action, **named, "version": run.versions.get(image.ordinal), **more}


def _with_retries(work: Callable[[], Result], image: Image, run: _Run) -> Result:
    """What the work gives back; a fault that may pass is waited for, some times, while the run may go on."""
    for seconds in (FIRST_WAIT * 2**attempt for attempt in range(TRIES - 1)):
        try:
            return work()
        except RetryableError as error:
            if not run.may_go_on():
                raise
            metrics.RETRIES.inc()
            log.info("again %s: %s", image.key, error, extra=_extra("image_retried", image, run))
            time.sleep(seconds * random.uniform(0.5, 1.5))
    return work()
