"""A turn of listing: for some seconds keys are looked at, and what is found becomes pages and jobs.

The lock under which a submission is advanced and reconciled is held for the pages alone: while S3 is slow to list,
what was found before goes on.
"""

from __future__ import annotations

import logging
import time

from photochrom.producer.control.dispatch import dispatch
from photochrom.producer.control.listing import Listing, Listings, is_over
from photochrom.producer.control.metrics import KEYS_LISTED
from photochrom.producer.records.pages import write_page
from photochrom.producer.records.submission import Submission
from photochrom.worker.errors import PhotochromError
from photochrom.worker.jobs.context import Resources
from photochrom.worker.ledger.ledger import PageInFlight
from photochrom.worker.s3 import state_keys

log = logging.getLogger("photochrom.control")

TURN_SECONDS = 2.0
"""After which another listing has its turn; one answer of S3 may take longer."""

PATIENCE = 2.0
"""Seconds that a page waits for whoever closes or reconciles the submission just now; then for the next turn."""

NOTED_EVERY = 60.0
"""Seconds after which S3 notes where a listing stands that has found nothing for a page: so much is listed again, at
most, when Redis is lost."""


def take_turn(submission: Submission, listings: Listings, held: Resources) -> None:
    """List on for some seconds, unless another process does, all is listed, or the window is full.

    Raises what `sources.entries` does, and RetryableError when S3 or Redis is away.
    """
    until = time.monotonic() + TURN_SECONDS
    with held.ledger.lock(f"list:{submission.name}") as mine:
        if mine:
            listing = listings.take(submission, held.ledger.cursor(submission.name), held.store)
            before = _next_page(listing)
            while _has_room(listing, held) and _find_page(submission, listing, until, held) and not is_over(until):
                pass
            if _next_page(listing) != before:
                listings.note(submission.name)
            if not listing.is_listed:
                listings.keep(listing)
                _note_in_s3(listing, listings, held)


def _has_room(listing: Listing, held: Resources) -> bool:
    """Whether there is more to list, and the window is not full."""
    counts = held.ledger.counts(listing.name)
    in_flight = int(listing.cursor.get("total", 0)) - counts.done - counts.quarantined
    return not listing.is_listed and in_flight < held.settings.window


def _find_page(submission: Submission, listing: Listing, until: float, held: Resources) -> bool:
    """Look for the images of a page. What was found when time is up, or before a fault, is a smaller page."""
    try:
        KEYS_LISTED.inc(listing.look(held.settings.page_images, until))
    finally:
        goes_on = enqueue_found(submission, listing, held)
    return goes_on


def enqueue_found(submission: Submission, listing: Listing, held: Resources) -> bool:
    """Make a page of what was found, or note how far it is that nothing was found.

    False when the listing does not stand where the ledger's cursor does: it is held or was moved by somebody else.
    """
    name = submission.name
    with held.ledger.lock(f"advance:{name}", PATIENCE) as mine:
        if not mine or held.ledger.cursor(name) != listing.cursor or held.ledger.is_cancelled(name):
            return False
        if listing.found or listing.at_end:
            return _enqueue_page(submission, listing, held)
        if listing.after != listing.cursor.get("after", ""):
            number, ordinal = _next_page(listing)
            listing.go_on_from(_move_cursor(name, number, ordinal, listing.after, False, held))
        return True


def _enqueue_page(submission: Submission, listing: Listing, held: Resources) -> bool:
    """The page is in S3 before its jobs are in the queue; the cursor moves last, so that a page may come twice."""
    name, (number, ordinal) = submission.name, _next_page(listing)
    page = write_page(name, number, ordinal, listing.found, listing.after, listing.at_end, held.store)
    if page.images:
        sent = held.ledger.now()
        held.ledger.add_page(name, PageInFlight(number, ordinal, len(page.images), sent))
        dispatch(submission, page.images, sent, held)
    cursor = _move_cursor(name, number + 1, ordinal + len(page.images), page.after, page.last, held)
    said = {"action": "page_enqueued", "submission": name, "images": len(page.images)}
    log.info("enqueued page %d of %s: %d images", number, name, len(page.images), extra=said)
    if page.after != listing.after:  # it was written before, and ends elsewhere
        return False
    listing.go_on_from(cursor)
    return True


def _next_page(listing: Listing) -> tuple[int, int]:
    """The number of the next page and the ordinal of its first image."""
    return int(listing.cursor.get("pages", 0)), int(listing.cursor.get("total", 0))


def _move_cursor(name: str, pages: int, total: int, after: str, last: bool, held: Resources) -> dict[str, str]:
    """All of it at once: whatever a process writes that was held up, pages and place belong together."""
    cursor = {"pages": str(pages), "total": str(total), "after": after, "listed": str(int(last))}
    held.ledger.move_cursor(name, **cursor)
    return cursor


def _note_in_s3(listing: Listing, listings: Listings, held: Resources) -> None:
    """Now and then: Redis may be lost, and millions of keys without photographs make no page that says so."""
    if listings.seconds_since_note(listing.name) < NOTED_EVERY:
        return
    pages, total = _next_page(listing)
    said = {"action": "listing_goes_on", "submission": listing.name, "images": total}
    try:
        note = {"pages": pages, "after": listing.cursor.get("after", "")}
        held.store.put_record(state_keys.cursor(listing.name), note)
        log.info("still listing %s, with %d images so far", listing.name, total, extra=said)
    except PhotochromError as error:  # older policies do not allow it, and listing does not need it
        log.warning("where the listing of %s stands is not in S3: %s", listing.name, error, extra=said)
    listings.note(listing.name)
