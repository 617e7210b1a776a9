"""How one photograph is coloured: fetch, read, predict, compose, write, store.

Only a small gray copy goes through the model, and only chroma comes back; the photograph's own luma is joined to it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worker.engine import Engine
from worker.errors import AccessDeniedFault, ImageFault, OutOfMemoryFault, RetryableError
from worker.job import Format, Image, Job
from worker.photo import luma, orientation
from worker.photo.read import Photograph, read
from worker.photo.write import CONTENT_TYPES, write
from worker.provenance import Provenance, Standing, provenance_of
from worker.settings import Settings
from worker.store import ConflictError, Location, NotFoundError, Store, Stored

CONFLICTS_BORNE = 5

MOST_KEY_BYTES = 1024
"""S3's own limit: a source's key can be within it, and its result's beyond."""

PROMOTION = 0
"""Sequence number of the promoted model; starter models have none."""


class Coloured(NamedTuple):
    """An encoded result."""

    data: bytes
    format: Format


class Source(NamedTuple):
    """A fetched source, and what a result made of it will say of itself."""

    stored: Stored
    provenance: Provenance


def colorize(image: Image, job: Job, source: Source, engine: Engine, store: Store, settings: Settings) -> None:
    """Colour one fetched image of a job and write the result to its place. Raises any of the error tree."""
    coloured = colorize_bytes(source.stored.data, engine, settings, job.task.format)
    put_result(store, job.task.output(image.key), coloured, source.provenance)


def fetch(image: Image, job: Job, engine: Engine, store: Store, settings: Settings) -> Source | None:
    """The source's bytes, or None when its result is there already and nothing is to be done.

    Raises ImageFault with the reason "vanished", "denied", "changed", "too-large", "name-too-long", "outside-source" or
    "destination-taken".
    """
    place = job.task.output(image.key)
    if len(place.prefix.encode()) > MOST_KEY_BYTES:
        raise ImageFault("name-too-long", f"the result's key would have more than {MOST_KEY_BYTES} bytes")
    options = {"format": job.task.format, "jpeg_quality": settings.jpeg_quality}
    provenance = provenance_of(image, job, engine.card, PROMOTION, options)
    if not wanted(provenance, result_there(store, place), place):
        return None
    stored = _fetch(image, job, store, settings)
    if image.etag and stored.etag != image.etag and job.task.on_change == "quarantine":
        raise ImageFault("changed", f"{image.key} is not what was listed: its ETag is {stored.etag}, not {image.etag}")
    return Source(stored, provenance.of_source(stored.etag, stored.size))


def _fetch(image: Image, job: Job, store: Store, settings: Settings) -> Stored:
    if image.size > settings.max_bytes:
        raise ImageFault("too-large", f"{image.size:,} bytes are more than the limit of {settings.max_bytes:,}")
    bucket = Location.parse(job.task.source).bucket
    try:
        source = store.get(bucket, image.key, most=settings.max_bytes)
    except NotFoundError as error:
        raise ImageFault("vanished", f"{image.key} was listed, but is not there any more") from error
    except AccessDeniedFault as error:
        next(store.list(Location.parse(job.task.source).folder()), None)  # denied for all: then this says so, too
        raise ImageFault("denied", f"{image.key} may not be read, though others beside it may") from error
    if source.size > settings.max_bytes:
        raise ImageFault("too-large", f"{source.size:,} bytes are more than the limit of {settings.max_bytes:,}")
    return source


def colorize_bytes(data: bytes, engine: Engine, settings: Settings, format: Format | None = None) -> Coloured:
    """An encoded photograph to its coloured counterpart, in `format` or its own. Raises ImageFault or WorkerFault."""
    try:
        photograph = read(data, settings.max_pixels)
        chroma = predict(photograph, engine)
        rgb = compose(photograph, chroma)
        wanted = format or photograph.format
        return Coloured(write(rgb, photograph, wanted, settings.jpeg_quality), wanted)
    except MemoryError as error:
        raise OutOfMemoryFault("out of memory") from error


def predict(photograph: Photograph, engine: Engine, vividness: float | None = None) -> np.ndarray:
    """Chroma float32 (2, h', w') for the photograph as it is stored, from a small upright copy."""
    gray = photograph.gray(*engine.input_size(*photograph.upright_size))
    return orientation.as_stored(engine.predict(gray, vividness), photograph.orientation)


def compose(photograph: Photograph, chroma: np.ndarray) -> np.ndarray:
    """Chroma (2, h', w') of any size joined to the luma: RGB uint8 (h, w, 3) whose luma is exactly the photograph's."""
    return luma.join(photograph.luma, chroma)


def put_result(store: Store, place: Location, coloured: Coloured, provenance: Provenance) -> None:
    """Write a result under the condition that what was seen at its place is still what is there.

    Newer work and the same work are left as they are. Raises ImageFault ("destination-taken") for what did not come
    from the same source, and RetryableError when others write there all the time.
    """
    for _ in range(CONFLICTS_BORNE):
        there = result_there(store, place)
        if not wanted(provenance, there, place):
            return
        try:
            store.put(
                place.bucket,
                place.prefix,
                coloured.data,
                content_type=CONTENT_TYPES[coloured.format],
                metadata=provenance.metadata(),
                if_match=there.etag if there else None,
                if_absent=there is None,
            )
            return
        except (ConflictError, NotFoundError):  # written, or taken away, since we looked
            continue
    raise RetryableError(f"{place} is being written by others all the time")


def result_there(store: Store, place: Location) -> Stored | None:
    """What lies at a result's place, without its bytes."""
    try:
        return store.head(place.bucket, place.prefix)
    except NotFoundError:
        return None


def wanted(provenance: Provenance, there: Stored | None, place: Location) -> bool:
    """Whether a result is still to be written. Raises ImageFault ("destination-taken")."""
    if there is None:
        return True
    standing = provenance.standing(there.metadata)
    if standing is Standing.FOREIGN:
        raise ImageFault("destination-taken", f"{place} is there already, and not from this source")
    return standing is Standing.OLDER
