"""Advancing one submission: pages are closed when they have ended, and with the last one the submission ends."""

from __future__ import annotations

import logging
from contextlib import suppress

from photochrom.producer.records.progress import Progress, progress
from photochrom.producer.records.submission import Submission
from photochrom.worker.jobs.context import Resources
from photochrom.worker.ledger.ledger import PageInFlight
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError

log = logging.getLogger("photochrom.control")


def advance(submission: Submission, held: Resources) -> bool:
    """One tick for one submission; gives back whether its source is to be listed on.

    The ledger decides that: behind a last page that it does not know, a control process was killed before the jobs.
    """
    name = submission.name
    close_pages(name, held)
    now = progress(name, held.settings, held.ledger, held.store)
    held.ledger.note_sample(name, now.with_outcome)
    if now.ended and not held.ledger.pages(name):
        end(name, now, held)
    is_listed = held.ledger.cursor(name).get("listed") == "1"
    return not is_listed and not now.ended and now.in_flight < held.settings.window


def close_pages(name: str, held: Resources) -> None:
    """Write the outcome object of every page all of whose images have ended: with it their outcomes are final."""
    pages = held.ledger.pages(name)
    ended = zip(pages, held.ledger.ended_in(name, pages), strict=True)
    finished_pages = [page for page, images in ended if images == page.images]
    all_faults = held.ledger.faults(name) if finished_pages else {}
    all_notes = held.ledger.notes(name) if finished_pages else {}
    for page in finished_pages:
        faults, notes = _of_page(page, all_faults), _of_page(page, all_notes)
        finished = state_keys.FinishedPage(page.number, page.first, page.images, len(faults))
        said = {**finished._asdict(), "quarantined": faults, "notes": notes}
        held.store.put_record(state_keys.outcome(name, finished), said)
        held.ledger.remove_page(name, page.number, faults, notes)


def _of_page(page: PageInFlight, found: dict[int, str]) -> dict[int, str]:
    return {ordinal: words for ordinal, words in found.items() if page.first <= ordinal < page.first + page.images}


def end(name: str, now: Progress, held: Resources) -> None:
    """Note in S3, once, that a submission has ended, with its counts and time, and let Redis forget it in time."""
    with suppress(ConflictError):  # a control process was killed behind this
        held.store.put_record(state_keys.ended(name), now.record(), if_absent=True)
    held.ledger.retire(name)
    said = {"action": "submission_ended", "submission": name}
    log.info("submission %s ended: %d done, %d quarantined", name, now.done, now.quarantined, extra=said)
