"""One photograph at a time, without a queue: colorized, restored, verified. Needs the extra `worker`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from photochrom.worker.coloring.colorize import colorize_file
from photochrom.worker.errors import ImageFault, UsageError
from photochrom.worker.formats import Format, JpegProfile
from photochrom.worker.inference.engine import Engine
from photochrom.worker.models.named import weights_of
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.jpeg import kept
from photochrom.worker.photo.stated import statement_in
from photochrom.worker.settings import Settings
from photochrom.worker.settings import settings as settings_of_process
from photochrom.worker.verify.compare import verify_bytes
from photochrom.worker.verify.finding import Finding

__all__ = ["Colorizer", "colorize", "restore", "verify"]

STARTER = "vgg16-yuv"
"""The default model: it ships with Photochrom."""

Photograph = bytes | bytearray | memoryview | str | PathLike[str] | BinaryIO
"""An encoded photograph: its bytes, the path of its file, or a binary file that can be read and sought."""


class Colorizer:
    """A loaded model, and how results are made. Loading takes seconds: keep it. Safe to use from several threads."""

    def __init__(
        self,
        model: str | None = None,
        *,
        format: Format | None = None,
        jpeg: JpegProfile | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Load a model: a starter by its name, a checkpoint by its path, "champion" or a version of the state bucket.

        The default is the starter that ships with Photochrom, which needs no S3. `format` is that of the results: by
        default the photograph's own, where it can be written. `jpeg` is how a gray JPEG is colorized.

        Raises UsageError for a model that does not exist, CheckpointError for one that does not load, RetryableError
        while S3 is away.
        """
        self._settings = settings or settings_of_process()
        self._options = Options.of(self._settings, format, jpeg)
        self._engine = Engine.load(weights_of(model or STARTER, self._settings), self._settings)

    def __call__(self, photograph: Photograph) -> bytes:
        """Colorize an encoded photograph; returns the encoded result, with the original's luma and metadata.

        Raises ImageFault, with its `reason`, for what cannot be colorized, and what is a result already.
        """
        with opened(photograph) as file:
            if statement_in(file, Limits.of(self._settings)):
                raise ImageFault("result", "it is a result of Photochrom already")
            file.seek(0)
            written = colorize_file(file, self._engine, self._settings, self._options)
        with written.body:
            return written.body.read()


@cache
def _default() -> Colorizer:
    return Colorizer()


def colorize(photograph: Photograph, *, settings: Settings | None = None) -> bytes:
    """Colorize one photograph with the starter model, which stays loaded.

    With `settings` it is loaded for this call: keep a `Colorizer` instead, as for another model or format. Raises what
    making and calling one raises.
    """
    colorizer = Colorizer(settings=settings) if settings else _default()
    return colorizer(photograph)


def restore(colorized: Photograph, *, settings: Settings | None = None) -> bytes:
    """The original gray JPEG, byte for byte, from a result of the profile "archive".

    Raises ImageFault for a file that keeps none.
    """
    with opened(colorized) as file:
        return kept.restore(file.read(), Limits.of(settings or settings_of_process()))


def verify(colorized: Photograph, original: Photograph, *, settings: Settings | None = None) -> list[Finding]:
    """Compare a result with its original by decoders that have no part in writing: luma, metadata, color profile.

    A finding's `ok` is False for what differs, None for what could not be compared.
    """
    most_pixels = (settings or settings_of_process()).max_pixels
    with opened(colorized) as result, opened(original) as source:
        return verify_bytes(result.read(), source.read(), most_pixels)


@contextmanager
def opened(photograph: Photograph) -> Iterator[BinaryIO]:
    """A binary file, at its beginning; the caller's own stays open. Raises UsageError for an unreadable path."""
    if isinstance(photograph, bytes | bytearray | memoryview):
        yield io.BytesIO(photograph)
    elif isinstance(photograph, str | PathLike):
        yield io.BytesIO(_content(Path(photograph)))
    else:
        photograph.seek(0)
        yield photograph


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
