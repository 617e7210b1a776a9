"""Advancing one submission: pages are written and enqueued while the window has room, and closed when they ended."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from producer.dispatch import dispatch
from producer.pages import next_page
from producer.progress import Progress, progress
from producer.submission import Submission
from worker import paths
from worker.ledger import PageInFlight
from worker.resources import Resources
from worker.store import ConflictError

log = logging.getLogger("photochrom.control")

TICK_SECONDS = 5
"""How long one tick works at one submission before the next one has its turn; well below the lock's life."""


def advance(submission: Submission, held: Resources) -> None:
    """One tick for one submission."""
    until = time.monotonic() + TICK_SECONDS
    close_pages(submission.name, held)
    now = progress(submission.name, held.settings, held.ledger, held.store)
    held.ledger.note_sample(submission.name, now.with_outcome)
    while not now.listed and now.in_flight < held.settings.window and time.monotonic() < until:
        enqueue_next_page(submission, held)
        now = progress(submission.name, held.settings, held.ledger, held.store)
    if now.ended and not held.ledger.pages(submission.name):
        end(submission.name, now, held)


def enqueue_next_page(submission: Submission, held: Resources) -> None:
    """The page is in S3 before its jobs are in the queue; the cursor moves last, so that a page may come twice."""
    cursor = held.ledger.cursor(submission.name)
    number, ordinal = int(cursor.get("pages", 0)), int(cursor.get("total", 0))
    page = next_page(submission, number, ordinal, cursor.get("after", ""), held.store, held.settings)
    if page.images:
        sent = held.ledger.now()
        held.ledger.add_page(submission.name, PageInFlight(number, ordinal, len(page.images), sent))
        dispatch(submission, page.images, sent, held)
    held.ledger.move_cursor(
        submission.name, pages=number + 1, total=ordinal + len(page.images), after=page.after, listed=int(page.last)
    )
    said = {"action": "page_enqueued", "submission": submission.name, "images": len(page.images)}
    log.info("enqueued page %d of %s: %d images", number, submission.name, len(page.images), extra=said)


def close_pages(name: str, held: Resources) -> None:
    """Write the outcome object of every page all of whose images have ended: with it their outcomes are final."""
    pages = held.ledger.pages(name)
    ended = zip(pages, held.ledger.ended_in(name, pages), strict=True)
    finished_pages = [page for page, images in ended if images == page.images]
    all_faults = held.ledger.faults(name) if finished_pages else {}
    all_notes = held.ledger.notes(name) if finished_pages else {}
    for page in finished_pages:
        faults, notes = _of_page(page, all_faults), _of_page(page, all_notes)
        finished = paths.FinishedPage(page.number, page.first, page.images, len(faults))
        said = {**finished._asdict(), "quarantined": faults, "notes": notes}
        held.store.put_record(paths.outcome(name, finished), said)
        held.ledger.remove_page(name, page.number, faults, notes)


def _of_page(page: PageInFlight, found: dict[int, str]) -> dict[int, str]:
    return {ordinal: words for ordinal, words in found.items() if page.first <= ordinal < page.first + page.images}


def end(name: str, now: Progress, held: Resources) -> None:
    """Note in S3, once, that a submission has ended, with its counts and time, and let Redis forget it in time."""
    with suppress(ConflictError):  # a control process was killed behind this
        held.store.put_record(paths.ended(name), now.record(), if_absent=True)
    held.ledger.retire(name)
    said = {"action": "submission_ended", "submission": name}
    log.info("submission %s ended: %d done, %d quarantined", name, now.done, now.quarantined, extra=said)
