"""The manifest of a submission: pages of keys with ordinals, each written to S3 before its jobs are enqueued."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from photochrom.producer.records.submission import Submission
from photochrom.worker.jobs.messages import Image, Job
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError, Listed, Store
from photochrom.worker.settings import Settings

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


def write_page(
    name: str, number: int, first_ordinal: int, found: Sequence[Listed], after: str, last: bool, store: Store
) -> Page:
    """Write page `number`, or read it when it was written before: an ordinal is given once and for all."""
    images = tuple(
        Image(ordinal=first_ordinal + place, key=listed.key, etag=listed.etag, size=listed.size or 0)
        for place, listed in enumerate(found)
    )
    page = Page(number=number, images=images, after=after, last=last)
    try:
        store.put_record(state_keys.page(name, number), page, if_absent=True)
    except ConflictError:
        return read_page(name, number, store)
    return page


def read_page(name: str, number: int, store: Store) -> Page:
    """A page that was written before. Raises NotFoundError, WorkerFault for a broken one."""
    return store.record(state_keys.page(name, number), Page)


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
