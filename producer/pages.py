"""The manifest of a submission: pages of keys with ordinals, each written to S3 before its jobs are enqueued."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from pydantic import BaseModel, ConfigDict

from producer.sources import Entry, entries
from producer.submission import Submission
from worker import paths
from worker.job import Image, Job
from worker.settings import Settings
from worker.store import ConflictError, Store

LISTINGS_KEPT = 8

JOBS_A_PAGE = 32
"""At least so many jobs are made of a page, as far as it has images."""


class Page(BaseModel):
    """One page: images with consecutive ordinals, and where listing goes on behind them.

    `last` says that nothing comes behind it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    images: tuple[Image, ...]
    after: str
    last: bool


def next_page(
    submission: Submission, number: int, first_ordinal: int, after: str, store: Store, settings: Settings
) -> Page:
    """List and write page `number`, or read it when it was written before: an ordinal is given once and for all."""
    listing = _listing(submission, store, after)
    found = list(islice(listing, settings.page_images))
    images = tuple(
        Image(ordinal=first_ordinal + place, key=entry.listed.key, etag=entry.listed.etag, size=entry.listed.size or 0)
        for place, entry in enumerate(found)
    )
    behind = found[-1].cursor if found else after
    page = Page(number=number, images=images, after=behind, last=len(found) < settings.page_images)
    try:
        store.put_record(paths.page(submission.name, number), page, if_absent=True)
    except ConflictError:
        return read_page(submission.name, number, store)
    if not page.last:
        _listings[submission.name] = (behind, listing)
    return page


_listings: dict[str, tuple[str, Iterator[Entry]]] = {}
"""By submission, a cursor and a listing that stands there: a long manifest is not read again from its beginning."""


def _listing(submission: Submission, store: Store, after: str) -> Iterator[Entry]:
    cursor, listing = _listings.pop(submission.name, ("", None))
    while len(_listings) > LISTINGS_KEPT:
        _listings.pop(next(iter(_listings)))
    return listing if listing and cursor == after else entries(submission, store, after)


def read_page(name: str, number: int, store: Store) -> Page:
    """A page that was written before. Raises NotFoundError, WorkerFault for a broken one."""
    return store.record(paths.page(name, number), Page)


def jobs_of(submission: Submission, images: Sequence[Image], sent: float, settings: Settings) -> Iterator[Job]:
    """Images, in order, cut into jobs: at most so many, and so many bytes by listed size.

    A larger image goes alone, and few images are cut finer, so that every worker has something of them.
    """
    most = min(settings.job_images, -(-len(images) // JOBS_A_PAGE))
    batch: list[Image] = []
    size = 0
    for image in images:
        if batch and (len(batch) == most or size + image.size > settings.job_bytes):
            yield Job(submission=submission.name, task=submission.task, images=tuple(batch), sent=sent)
            batch, size = [], 0
        batch.append(image)
        size += image.size
    if batch:
        yield Job(submission=submission.name, task=submission.task, images=tuple(batch), sent=sent)
