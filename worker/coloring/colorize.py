"""How one photograph is coloured: fetch, read, predict, compose, write, store.

Only a small gray copy goes through the model, and only chroma comes back; the photograph's own luma is joined to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from photochrom.worker.coloring.results import notes_if_left, put_result, result_there
from photochrom.worker.digest import sha256_of
from photochrom.worker.errors import AccessDeniedFault, ImageFault, RetryableError
from photochrom.worker.jobs.messages import MOST_KEY_BYTES, Image, Job, Task
from photochrom.worker.jobs.provenance import Provenance, provenance_of
from photochrom.worker.photo.base import luma, orientation
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.jpeg import chroma as jpeg_chroma
from photochrom.worker.photo.jpeg.source import GrayJpeg
from photochrom.worker.photo.metadata.xmp import Statement
from photochrom.worker.photo.read import Page, Photograph, read
from photochrom.worker.photo.write import Written, write
from photochrom.worker.process.exhaustion import shortages_translated
from photochrom.worker.s3.store import Location, NotFoundError, Store, Stored
from photochrom.worker.settings import Settings
from photochrom.worker.telemetry.stages import stage, staged

if TYPE_CHECKING:
    from photochrom.worker.inference.engine import Engine


class Source(NamedTuple):
    """A fetched source, to be read from its beginning, and what is to make its result.

    `provenance` is what the result will say of itself, `there` what was seen where it belongs.
    """

    file: BinaryIO
    provenance: Provenance
    there: Stored | None
    engine: Engine


class Coloured(NamedTuple):
    """A result, what it says of itself, where it belongs, and what was seen there."""

    written: Written
    provenance: Provenance
    place: Location
    there: Stored | None


class Current(NamedTuple):
    """Nothing is to be done. `notes` are those on the result that is there, and on why stale work left it so."""

    notes: tuple[str, ...]


def colour(image: Image, job: Job, source: Source, settings: Settings) -> Coloured:
    """Colour one fetched image of a job, and let go of its source. Raises ImageFault or WorkerFault."""
    with source.file:
        written = colorize_file(source.file, source.engine, settings, _options(job.task, image.key, settings))
    return Coloured(written, source.provenance, job.task.output(image.key), source.there)


@stage("store")
def store_result(coloured: Coloured, job: Job, store: Store) -> tuple[str, ...]:
    """Write a result to its place, as often as it takes; gives back the notes on what lies there in the end.

    Raises any of the error tree.
    """
    place, there, written = coloured.place, coloured.there, coloured.written
    return put_result(store, place, there, written, coloured.provenance, job.task.stale)


@stage("fetch")
def fetch(image: Image, job: Job, engine: Engine, store: Store, settings: Settings) -> Source | Current:
    """The source's bytes, unless its result is there already, or stale work is to leave it as it is.

    Raises ImageFault with the reason "vanished", "denied", "changed", "too-large", "name-too-long", "outside-source" or
    "destination-taken", and RetryableError while this worker still serves what stale work is to replace.
    """
    _check_followed(job.task, engine)
    place = job.task.output(image.key)
    if len(place.prefix.encode()) > MOST_KEY_BYTES:  # the source's own key is within that
        raise ImageFault("name-too-long", f"the result's key would have more than {MOST_KEY_BYTES} bytes")
    options = _options(job.task, image.key, settings)
    provenance = provenance_of(image, job, engine.card, engine.promotion, options.identity())
    there = result_there(store, place)
    left = notes_if_left(provenance, there, place, job.task.stale)
    if left is not None:
        return Current(left)
    stored, file = _download(image, job, store, settings)
    return Source(file, provenance.of_source(stored.etag, stored.size), there, engine)


def _check_followed(task: Task, engine: Engine) -> None:
    """A worker that serves the champion before the last would take its own results for the new one's."""
    if engine.promotion < task.promotion:
        raise RetryableError(f"this worker serves promotion {engine.promotion}, not yet {task.promotion}")


def _download(image: Image, job: Job, store: Store, settings: Settings) -> tuple[Stored, BinaryIO]:
    if image.size > settings.max_bytes:
        raise ImageFault("too-large", f"{image.size:,} bytes are more than the limit of {settings.max_bytes:,}")
    bucket = Location.parse(job.task.source).bucket
    try:
        source, file = store.fetch(bucket, image.key, settings.max_bytes)
    except NotFoundError as error:
        raise ImageFault("vanished", f"{image.key} was listed, but is not there any more") from error
    except AccessDeniedFault as error:
        next(store.list(Location.parse(job.task.source).folder()), None)  # denied for all: then this says so, too
        raise ImageFault("denied", f"{image.key} may not be read, though others beside it may") from error
    if source.size > settings.max_bytes:
        raise ImageFault("too-large", f"{source.size:,} bytes are more than the limit of {settings.max_bytes:,}")
    if job.task.on_change == "quarantine":
        _check_unchanged(image, source)
    return source, file


def _check_unchanged(image: Image, source: Stored) -> None:
    """Raises ImageFault ("changed") for another ETag or size than was listed, as far as either was."""
    if (image.etag and source.etag != image.etag) or (image.size and source.size != image.size):
        listed = f"{image.etag} of {image.size:,} bytes"
        raise ImageFault("changed", f"{image.key} is {source.etag} of {source.size:,} bytes; listed was {listed}")


def colorize_file(
    file: BinaryIO, engine: Engine, settings: Settings, options: Options, source_sha256: str | None = None
) -> Written:
    """An encoded photograph to its coloured counterpart. Raises ImageFault or WorkerFault.

    `source_sha256`, in hexadecimal, is the file's, where it is known already.
    """
    with shortages_translated():
        with stage("read"):
            statement = _statement(source_sha256 or sha256_of(file), engine, options)
            photograph = read(file, Limits.of(settings), options)
        with stage("write"):
            return write(photograph, _coloured(photograph, engine), statement, options)


def _statement(source_sha256: str, engine: Engine, options: Options) -> Statement:
    return Statement(
        model=engine.card.name,
        model_sha256=engine.card.sha256,
        source_sha256=source_sha256,
        how="",  # known once it is written
        digital_source_type=options.digital_source_type,
        options=options.identity(),
    )


def _coloured(photograph: Photograph, engine: Engine) -> Iterator[tuple[Page, Iterable[np.ndarray]]]:
    """Each page with its colour; nothing here holds on to a page while the next one is decoded."""
    for page in staged("read", photograph.pages):
        coloured = [(page, compose(page, predict(page, engine)))]
        del page
        yield coloured.pop()


@stage("predict")
def predict(page: Page, engine: Engine, vividness: float | None = None) -> np.ndarray:
    """Chroma float32 (2, h', w') for a page as it is stored, from a small upright copy."""
    gray = page.gray(*engine.input_size(*page.upright_size))
    return orientation.as_stored(engine.predict(gray, vividness), page.orientation)


def compose(page: Page, chroma: np.ndarray) -> Iterable[np.ndarray]:
    """Chroma (2, h', w') of any size brought to the page's luma, and within gamut.

    For a gray JPEG, whose luma is not touched: Cb and Cr, uint8 (2, ceil(h / 2), ceil(w / 2)). For any other page: RGB
    of its depth whose luma is exactly the page's, in strips.
    """
    if isinstance(page, GrayJpeg):
        with stage("compose"):
            return jpeg_chroma.planes(page.luma, chroma, page.height, page.frame.width)
    return staged("compose", luma.strips(page.luma, chroma))


def _options(task: Task, key: str, settings: Settings) -> Options:
    return Options.of(settings, task.output_format(key), task.jpeg)
