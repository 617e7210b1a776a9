"""The control process: takes submissions and advances them page by page. Every tick may run twice; a lock lets one."""

from __future__ import annotations

import json
import logging
import time
from functools import cache
from typing import NamedTuple

from celery import signals

from producer.pages import jobs_of, next_page
from producer.progress import Progress, progress
from producer.submission import Submission, load, submit
from worker import paths
from worker.app import ADVANCE, COLORIZE, SUBMIT, app, mark_ready
from worker.errors import PhotochromError, RetryableError
from worker.job import Format
from worker.ledger import Ledger
from worker.settings import Settings, settings
from worker.store import Store

log = logging.getLogger("photochrom.control")

TICK_SECONDS = 20
"""How long one tick works at one submission before the next one has its turn; well below the lock's life."""


class Resources(NamedTuple):
    settings: Settings
    store: Store
    ledger: Ledger


@cache
def resources() -> Resources:
    chosen = settings()
    return Resources(chosen, Store(chosen), Ledger(chosen))


@signals.worker_ready.connect
def _ready(**_: object) -> None:
    mark_ready()


@app.task(name=SUBMIT, autoretry_for=(RetryableError,), retry_backoff=True, max_retries=None)
def submit_task(
    source: str, destination: str, model: str | None = None, format: Format | None = None, name: str | None = None
) -> None:
    """Make a submission, as `producer.submission.submit` does. A refused one is logged."""
    try:
        submit(source, destination, model=model, format=format, name=name, settings=resources().settings)
    except RetryableError:
        raise
    except PhotochromError as error:
        log.error("submission refused: %s", error, extra={"action": "submission_refused"})


@app.task(name=ADVANCE, ignore_result=True)
def advance_all() -> None:
    """One tick: enqueue what there is room for, end what is finished."""
    held = resources()
    for name in held.ledger.active():
        with held.ledger.lock(f"advance:{name}") as mine:
            if not mine:
                continue
            try:
                advance(load(name, held.store, held.settings), held)
            except PhotochromError as error:
                log.warning("submission %s waits: %s", name, error, extra={"action": "submission_waits"})


def advance(submission: Submission, held: Resources) -> None:
    """Write and enqueue pages while the window has room; end the submission when every image has its outcome."""
    until = time.monotonic() + TICK_SECONDS
    now = progress(submission.name, held.settings, held.ledger, held.store)
    while not now.listed and now.in_flight < held.settings.window and time.monotonic() < until:
        enqueue_next_page(submission, held)
        now = progress(submission.name, held.settings, held.ledger, held.store)
    if now.ended:
        _end(submission, now, held)


def enqueue_next_page(submission: Submission, held: Resources) -> None:
    """The page is in S3 before its jobs are in the queue; the cursor moves last, so that a page may come twice."""
    cursor = held.ledger.cursor(submission.name)
    number, ordinal = int(cursor.get("pages", 0)), int(cursor.get("total", 0))
    page = next_page(submission, number, ordinal, cursor.get("after", ""), held.store, held.settings)
    for job in jobs_of(submission, page.images, held.settings):
        app.send_task(COLORIZE, args=[job.message()])
    held.ledger.move_cursor(
        submission.name,
        pages=number + 1,
        total=ordinal + len(page.images),
        after=page.images[-1].key if page.images else cursor.get("after", ""),
        listed=int(page.last),
    )
    log.info("enqueued page %d of %s: %d images", number, submission.name, len(page.images))


def _end(submission: Submission, now: Progress, held: Resources) -> None:
    data = json.dumps(now.summary()).encode()
    held.store.put(held.settings.state_bucket, paths.ended(submission.name), data, content_type="application/json")
    held.ledger.retire(submission.name)
    log.info("submission %s ended: %d done, %d quarantined", submission.name, now.done, now.quarantined)
