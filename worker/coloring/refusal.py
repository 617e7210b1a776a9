"""Requests that S3 refuses by a code that is not known: that may pass, or be the doing of one photograph's name or key.

It counts as passing at first. It is the photograph's own once it was refused in several deliveries of its job, minutes
apart, while others beside it are given out, or may be written; and in any case after a day, so that no submission stays
open for ever.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice

from photochrom.worker.errors import ImageFault, RefusedError, RetryableError
from photochrom.worker.jobs.messages import Image, Job
from photochrom.worker.s3.errors import NotFoundError
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings

DAY_OF_ATTEMPTS = 24 * 12
"""Deliveries of a job within a day: they come five minutes apart."""

OTHERS_ASKED = 5
"""Objects that are asked for, to see whether it is this one alone."""

AMONG = 1000
"""Objects of which those are drawn: a page of a listing."""


@contextmanager
def refusals_judged(image: Image, job: Job, store: Store, settings: Settings) -> Iterator[None]:
    """Raises ImageFault ("denied") in place of a RefusedError that is the image's own."""
    try:
        yield
    except RefusedError as error:
        if _is_own(error, image, job, store, settings):
            raise ImageFault("denied", f"it alone is refused: {error}") from error
        raise


def _is_own(error: RefusedError, image: Image, job: Job, store: Store, settings: Settings) -> bool:
    """Raises any of the error tree where the folder cannot be listed: then it is not for this image alone."""
    task = job.task
    if job.attempt >= DAY_OF_ATTEMPTS:
        return True
    odd = not _is_plain(image.key)
    if not odd and job.attempt < settings.refused_attempts:
        return False
    if error.url == str(task.output(image.key)):
        return _is_written(Location.parse(task.destination).folder(), store)
    folder = Location.parse(task.source).folder()
    if error.url != str(Location(folder.bucket, image.key)):  # a model, say
        return False
    others = [item.key for item in islice(store.list(folder), AMONG) if item.key != image.key]
    return odd or _are_given_out(folder.bucket, others, store)


def _is_written(folder: Location, store: Store) -> bool:
    """Whether S3 answers for another key of a folder, and takes bytes for it. What lies there already says nothing."""
    another = folder.prefix + f"photochrom-{secrets.token_hex(6)}"
    try:
        with suppress(NotFoundError):
            store.head(folder.bucket, another)
        store.try_to_write(folder.bucket, another)
    except RetryableError:
        return False
    return True


def _is_plain(key: str) -> bool:
    """Without control characters, which many a server refuses in a name."""
    return all(ord(letter) >= 32 and ord(letter) != 127 for letter in key)


def _are_given_out(bucket: str, keys: list[str], store: Store) -> bool:
    """Whether one of some objects can be had now; so it is said, too, where there is none."""
    drawn = random.sample(keys, min(OTHERS_ASKED, len(keys)))
    return not keys or any(_is_given_out(bucket, key, store) for key in drawn)


def _is_given_out(bucket: str, key: str, store: Store) -> bool:
    try:
        store.get(bucket, key, most=0)  # the answer's beginning is enough
    except (NotFoundError, RetryableError):
        return False
    return True
