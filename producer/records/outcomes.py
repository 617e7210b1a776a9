"""What S3 says of a submission: how far listing came, what has become of its images, whether it was cancelled.

Names of objects say nearly all of it. A quarantine record alone says little: it is written before the image counts as
quarantined, and in between another worker may have finished the image, or found another reason. What counts is what
the outcome object of its page says, and before there is one, the ledger.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from photochrom.producer.records.pages import read_page
from photochrom.worker.jobs.context import Resources
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.state_keys import FinishedPage
from photochrom.worker.s3.store import Location, NotFoundError


class Outcomes(NamedTuple):
    """Quarantined images are dictionaries of their reasons by ordinal."""

    finished: list[FinishedPage]
    """In order."""
    quarantined: dict[int, str]
    """Of finished pages; all their other images are done."""
    recorded: dict[int, str]
    """Of other pages: images with a record, which may be done all the same."""


def outcomes(name: str, held: Resources) -> Outcomes:
    """What S3 says has become of the images; it knows nothing of single images that are done."""
    place = Location(held.settings.state_bucket, state_keys.outcomes(name))
    parsed = (state_keys.parse_outcome(item.key) for item in held.store.list(place))
    pages = {page.number: page for page in parsed if page}
    finished = sorted(pages.values(), key=lambda page: page.first)
    firsts = [page.first for page in finished]
    recorded: dict[int, str] = {}
    by_page: defaultdict[FinishedPage, list[state_keys.QuarantinedImage]] = defaultdict(list)
    for image in _records(name, held):
        page = finished[max(0, bisect_right(firsts, image.ordinal) - 1)] if finished else None
        if page and page.first <= image.ordinal < page.first + page.images:
            by_page[page].append(image)
        else:
            recorded.setdefault(image.ordinal, image.reason)
    quarantined: dict[int, str] = {}
    for page in finished:
        quarantined |= _final(name, page, by_page[page], held)
    return Outcomes(finished, quarantined, recorded)


def quarantined_images(name: str, held: Resources) -> dict[int, str]:
    """The reasons of all quarantined images by ordinal, in order."""
    return reasons(name, outcomes(name, held), held)


def reasons(name: str, said: Outcomes, held: Resources) -> dict[int, str]:
    """The same, of what S3 has said already."""
    recorded = said.recorded
    if recorded and held.ledger.cursor(name):
        counted, faults = held.ledger.quarantined(name, recorded), held.ledger.faults(name)
        recorded = {ordinal: faults.get(ordinal, recorded[ordinal]) for ordinal in counted}
    return dict(sorted((said.quarantined | recorded).items()))


def notes(name: str, page: FinishedPage, held: Resources) -> dict[int, str]:
    """What is to be known of the done images of a finished page beside that they are done, by ordinal."""
    said = held.store.record(state_keys.outcome(name, page), dict)
    return {int(ordinal): words for ordinal, words in said.get("notes", {}).items()}


def _final(
    name: str, page: FinishedPage, records: list[state_keys.QuarantinedImage], held: Resources
) -> dict[int, str]:
    """Of a finished page; its object is read only where the records' names do not say it all."""
    if len(records) == page.quarantined == len({image.ordinal for image in records}):
        return {image.ordinal: image.reason for image in records}
    said = held.store.record(state_keys.outcome(name, page), dict)
    return {int(ordinal): reason for ordinal, reason in said["quarantined"].items()}


def _records(name: str, held: Resources) -> Iterator[state_keys.QuarantinedImage]:
    for item in held.store.list(Location(held.settings.state_bucket, state_keys.quarantines(name))):
        if image := state_keys.parse_quarantine(item.key):
            yield image


class Listing(NamedTuple):
    """How far a source has been listed: so many pages with `total` images, where to go on, and whether that is all."""

    pages: int
    total: int
    after: str
    listed: bool


def listing(name: str, held: Resources) -> Listing:
    """What the pages say, and behind the last one the note of where listing stood."""
    pages = sum(1 for _ in held.store.list(Location(held.settings.state_bucket, state_keys.pages(name))))
    if not pages:
        return Listing(0, 0, _noted_cursor(name, 0, held) or "", False)
    last = with_images = read_page(name, pages - 1, held.store)
    if not last.images and pages > 1:  # an empty last page stands behind a full one
        with_images = read_page(name, pages - 2, held.store)
    total = with_images.images[-1].ordinal + 1 if with_images.images else 0
    after = last.after if last.last else _noted_cursor(name, pages, held) or last.after
    return Listing(pages, total, after, last.last)


def _noted_cursor(name: str, pages: int, held: Resources) -> str | None:
    """Where listing stood behind that many pages, when it was last noted; None for a note of earlier ones."""
    try:
        note = held.store.record(state_keys.cursor(name), dict)
    except NotFoundError:
        return None
    return note["after"] if note.get("pages") == pages and isinstance(note.get("after"), str) else None


def cancelled_since(name: str, held: Resources) -> datetime | None:
    """When it was cancelled; None when it is not."""
    try:
        said = held.store.record(state_keys.cancelled(name), dict)
    except NotFoundError:
        return None
    return datetime.fromisoformat(said["time"]) if said["cancelled"] else None
