"""How one photograph is coloured: fetch, read, predict, compose, write, store.

Only a small gray copy goes through the model, and only chroma comes back; the photograph's own luma is joined to it.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from worker.engine import Engine
from worker.errors import ImageFault, RetryableError, WorkerFault
from worker.job import Format, Image, Job
from worker.photo import luma, orientation
from worker.photo.read import Photograph, read
from worker.photo.write import CONTENT_TYPES, write
from worker.settings import Settings
from worker.store import ConflictError, Location, NotFoundError, Store, Stored
from worker.version import VERSION

CONFLICTS_BORNE = 5

MOST_KEY_BYTES = 1024
"""S3's own limit: a source's key can be within it, and its result's beyond."""


class Coloured(NamedTuple):
    """An encoded result."""

    data: bytes
    format: Format


def colorize(image: Image, job: Job, source: Stored, engine: Engine, store: Store, settings: Settings) -> None:
    """Colour one fetched image of a job and write the result to its place. Raises any of the error tree."""
    place = job.task.output(image.key)
    if len(place.prefix.encode()) > MOST_KEY_BYTES:
        raise ImageFault("name-too-long", f"the result's key would have more than {MOST_KEY_BYTES} bytes")
    coloured = colorize_bytes(source.data, engine, settings, job.task.format)
    provenance = {**provenance_of(engine), "source": source_name(image, job), "source-etag": source.etag.strip('"')}
    put_result(store, place, coloured, provenance)


def colorize_bytes(data: bytes, engine: Engine, settings: Settings, format: Format | None = None) -> Coloured:
    """An encoded photograph to its coloured counterpart, in `format` or its own. Raises ImageFault or WorkerFault."""
    try:
        photograph = read(data, settings.max_pixels)
        chroma = predict(photograph, engine)
        rgb = compose(photograph, chroma)
        wanted = format or photograph.format
        return Coloured(write(rgb, photograph, wanted, settings.jpeg_quality), wanted)
    except MemoryError as error:
        raise WorkerFault("out of memory") from error


def fetch(store: Store, image: Image, job: Job, settings: Settings) -> Stored:
    """The source's bytes. Raises ImageFault with the reason "vanished" or "too-large"."""
    if image.size > settings.max_bytes:
        raise ImageFault("too-large", f"{image.size:,} bytes are more than the limit of {settings.max_bytes:,}")
    bucket = Location.parse(job.task.source).bucket
    try:
        source = store.get(bucket, image.key, most=settings.max_bytes)
    except NotFoundError as error:
        raise ImageFault("vanished", f"{image.key} was listed, but is not there any more") from error
    if source.size > settings.max_bytes:
        raise ImageFault("too-large", f"{source.size:,} bytes are more than the limit of {settings.max_bytes:,}")
    return source


def predict(photograph: Photograph, engine: Engine, vividness: float | None = None) -> np.ndarray:
    """Chroma float32 (2, h', w') for the photograph as it is stored, from a small upright copy."""
    gray = photograph.gray(*engine.input_size(*photograph.upright_size))
    return orientation.as_stored(engine.predict(gray, vividness), photograph.orientation)


def compose(photograph: Photograph, chroma: np.ndarray) -> np.ndarray:
    """Chroma (2, h', w') of any size joined to the luma: RGB uint8 (h, w, 3) whose luma is exactly the photograph's."""
    return luma.join(photograph.luma, chroma)


def put_result(store: Store, place: Location, coloured: Coloured, provenance: dict[str, str]) -> None:
    """Write a result, but never over what did not come from the same source.

    Raises ImageFault ("destination-taken") when something else lies there.
    """
    bucket, key = place
    for _ in range(CONFLICTS_BORNE):
        try:
            there = store.head(bucket, key)
        except NotFoundError:
            there = None
        if there and there.metadata.get("source") != provenance["source"]:
            raise ImageFault("destination-taken", f"s3://{bucket}/{key} is there already, and not from this source")
        try:
            store.put(
                bucket,
                key,
                coloured.data,
                content_type=CONTENT_TYPES[coloured.format],
                metadata=provenance,
                if_match=there.etag if there else None,
                if_absent=there is None,
            )
            return
        except (ConflictError, NotFoundError):  # written, or taken away, since we looked
            continue
    raise RetryableError(f"s3://{bucket}/{key} is being written by others all the time")


def provenance_of(engine: Engine) -> dict[str, str]:
    """Object metadata (ASCII) that says what made a result."""
    return {"photochrom": VERSION, "model": engine.card.name, "model-sha256": engine.card.sha256}


def source_name(image: Image, job: Job) -> str:
    """A name of fixed length for bucket and key of a source: a key can be longer than metadata may be."""
    bucket = Location.parse(job.task.source).bucket
    return hashlib.sha256(f"{bucket}/{image.key}".encode()).hexdigest()
