"""The manifest of a submission: pages of keys with ordinals, each written to S3 before its jobs are enqueued."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from producer.submission import Submission
from worker import paths
from worker.job import SUFFIXES, Image, Job
from worker.settings import Settings
from worker.store import ConflictError, Listed, Location, Store

JOBS_A_PAGE = 64
"""At least so many jobs are made of a page, as far as it has images."""


class Page(BaseModel):
    """One page: images with consecutive ordinals. `last` says that nothing comes behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    images: tuple[Image, ...]
    last: bool


def photographs(store: Store, source: Location, after: str = "") -> Iterator[Listed]:
    """Keys in a folder and below whose name looks like a photograph's, those behind `after`."""
    for listed in store.list(source.folder(), after):
        if PurePosixPath(listed.key).suffix.lower() in SUFFIXES:
            yield listed


def next_page(
    submission: Submission, number: int, first_ordinal: int, after: str, store: Store, settings: Settings
) -> Page:
    """List and write page `number`, or read it when it was written before: an ordinal is given once and for all."""
    found = photographs(store, Location.parse(submission.task.source), after)
    listed = list(islice(found, settings.page_images))
    images = tuple(
        Image(ordinal=first_ordinal + place, key=item.key, etag=item.etag, size=item.size)
        for place, item in enumerate(listed)
    )
    page = Page(number=number, images=images, last=len(listed) < settings.page_images)
    key = paths.page(submission.name, number)
    try:
        data = page.model_dump_json().encode()
        store.put(settings.state_bucket, key, data, content_type="application/json", if_absent=True)
    except ConflictError:
        return Page.model_validate_json(store.get(settings.state_bucket, key).data)
    return page


def jobs_of(submission: Submission, images: Sequence[Image], settings: Settings) -> Iterator[Job]:
    """The images of a page, in order, cut into jobs: at most so many, and so many bytes by listed size.

    A larger image goes alone, and a short page is cut finer, so that every worker has something of it.
    """
    most = min(settings.job_images, -(-len(images) // JOBS_A_PAGE))
    batch: list[Image] = []
    size = 0
    for image in images:
        if batch and (len(batch) == most or size + image.size > settings.job_bytes):
            yield Job(submission=submission.name, task=submission.task, images=tuple(batch))
            batch, size = [], 0
        batch.append(image)
        size += image.size
    if batch:
        yield Job(submission=submission.name, task=submission.task, images=tuple(batch))
