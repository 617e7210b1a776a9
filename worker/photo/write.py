"""From coloured pages back to an encoded file, with a statement in it of what it is and what made it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from typing import BinaryIO, NamedTuple

import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.formats import Format
from photochrom.worker.photo import tiff
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.base.raster import Raster
from photochrom.worker.photo.jpeg import jpegtran, metadata
from photochrom.worker.photo.jpeg.segments import MOST_PAYLOAD
from photochrom.worker.photo.jpeg.source import GrayJpeg
from photochrom.worker.photo.jpeg.splice import splice
from photochrom.worker.photo.jpeg.write import write_jpeg
from photochrom.worker.photo.metadata import xmp
from photochrom.worker.photo.metadata.xmp import Statement
from photochrom.worker.photo.png.write import write_png
from photochrom.worker.photo.read import REENCODED, TRANSCODED, Page, Photograph
from photochrom.worker.process.scratch import scratch

CONTENT_TYPES: dict[Format, str] = {"jpeg": "image/jpeg", "png": "image/png", "tiff": "image/tiff"}

SPLICED, EXACT = "spliced", "exact"

COMMENTS_DROPPED, CHUNKS_DROPPED = "comments-dropped", "png-chunks-dropped"
"""Notes: a TIFF has no place for JPEG's comments and PNG's texts, nor any format for PNG's own chunks."""

Coloured = Iterable[tuple[Page, Iterable[np.ndarray]]]
"""Pages with their colour: strips of RGB for a raster, the planes Cb and Cr for a gray JPEG."""


class Written(NamedTuple):
    """An encoded result, to be read from its beginning; how its luma came there; and notes on what was not kept."""

    body: BinaryIO
    format: Format
    how: str
    notes: tuple[str, ...] = ()


def write(photograph: Photograph, coloured: Coloured, statement: Statement, options: Options) -> Written:
    """Encode the coloured pages of a photograph.

    TIFF and PNG keep luma exactly, and so does a spliced JPEG; a JPEG that is encoded anew does not. Raises ImageFault
    ("unsupported") for what the format cannot hold: alpha in a JPEG, several pages in anything but TIFF.
    """
    if photograph.format == "tiff":
        return _write_tiff(photograph, coloured, statement)
    (page, colour), *others = coloured
    if others:
        raise ImageFault("unsupported", f"{photograph.format} holds one page only: ask for TIFF")
    if isinstance(page, GrayJpeg):
        return _write_spliced(photograph, page, np.asarray(colour), statement, options)
    stated = _Stated(photograph, replace(statement, how=EXACT if photograph.format == "png" else REENCODED))
    raster = stated(page)
    if photograph.format == "png":
        if raster.alpha is not None and tiff.has_associated_alpha(raster):
            raise ImageFault("unsupported", "PNG holds no alpha that colours were multiplied by: ask for TIFF")
        data = write_png(raster, colour, photograph.chunks)
    else:
        data = write_jpeg(raster, np.concatenate(list(colour)), options.jpeg_quality)
    return Written(io.BytesIO(data), photograph.format, stated.how, stated.notes)


def _write_tiff(photograph: Photograph, coloured: Coloured, statement: Statement) -> Written:
    stated = _Stated(photograph, replace(statement, how=EXACT))
    body = scratch()
    tiff.write_pages(body, map(stated.pair, coloured), photograph.is_big)
    body.seek(0)
    return Written(body, "tiff", stated.how, stated.notes)


def _write_spliced(
    photograph: Photograph, jpeg: GrayJpeg, chroma: np.ndarray, statement: Statement, options: Options
) -> Written:
    how = TRANSCODED if TRANSCODED in photograph.notes else SPLICED
    changes = metadata.changes(jpeg.segments, replace(statement, how=how))
    keep_original = options.jpeg == "archive" and how == SPLICED
    sha256 = statement.source_sha256 if keep_original else None  # the file and the gray JPEG are one then
    data = splice(jpeg, chroma, changes, options.chroma_quality, keep_original=keep_original, sha256=sha256)
    if options.jpeg == "compatible":
        data = jpegtran.interleave(data)
    return Written(io.BytesIO(data), "jpeg", how, photograph.notes + changes.notes)


class _Stated:
    """Puts the statement into the XMP of each page, and notes what of a page the format has no place for."""

    def __init__(self, photograph: Photograph, statement: Statement) -> None:
        self._format = photograph.format
        self._statement = statement
        self.how = statement.how
        self.notes = photograph.notes
        if photograph.chunks.chunks and self._format != "png":
            self._note(CHUNKS_DROPPED)

    def __call__(self, page: Page) -> Raster:
        assert isinstance(page, Raster)
        most = MOST_PAYLOAD - len(metadata.XMP) if self._format == "jpeg" else None
        merged = xmp.merge(page.metadata.xmp, self._statement, most)
        if merged is None:
            self._note(metadata.XMP_TOO_LARGE)
            merged = xmp.Merged(page.metadata.xmp, replaced=False)
        if merged.replaced:
            self._note(metadata.XMP_UNREADABLE)
        if self._format == "tiff" and page.metadata.comments:
            self._note(COMMENTS_DROPPED)
        return replace(page, metadata=replace(page.metadata, xmp=merged.packet))

    def pair(self, coloured: tuple[Page, Iterable[np.ndarray]]) -> tuple[Raster, Iterable[np.ndarray]]:
        """A page with its colour, likewise."""
        return self(coloured[0]), coloured[1]

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes = (*self.notes, note)
