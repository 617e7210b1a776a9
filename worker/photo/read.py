"""From an encoded file to a photograph: which format it is, and its pages, decoded one by one when needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from photochrom.worker.errors import ImageFault
from photochrom.worker.formats import Format
from photochrom.worker.photo import jpeg2000, tiff
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.base.raster import Raster
from photochrom.worker.photo.jpeg import decode, source, transcode
from photochrom.worker.photo.jpeg.metadata import C2PA_INVALID, signed
from photochrom.worker.photo.jpeg.segments import MessyError, header
from photochrom.worker.photo.jpeg.source import GrayJpeg, UnsplicableError
from photochrom.worker.photo.png import chunks as png_chunks
from photochrom.worker.photo.png import read as png
from photochrom.worker.photo.png.chunks import Kept

Page = Raster | GrayJpeg

TRANSCODED, REENCODED = "transcoded", "reencoded"
"""Notes: the luma was taken losslessly out of a colour JPEG; the JPEG could not be spliced."""

C2PA_CHUNK = "caBX"

_MAGIC_BYTES = 16


class Photograph(NamedTuple):
    """The pages of a file, decoded as they are asked for, once; the format it is to be written as; and notes.

    `chunks` are those of a PNG that belong into a PNG again; `is_big` says that a TIFF has to be a BigTIFF.
    """

    pages: Iterator[Page]
    format: Format
    notes: tuple[str, ...] = ()
    chunks: Kept = Kept()
    is_big: bool = False


def read(file: BinaryIO, limits: Limits, options: Options) -> Photograph:
    """Open a photograph: JPEG, PNG, TIFF, WebP or JPEG 2000. Limits are checked before anything is decoded.

    Raises ImageFault: "empty", "not-a-photograph", "too-many-pixels", "too-many-pages", "too-many-segments",
    "too-much-metadata", "unsupported", "profile" or "damaged", the last also while pages are taken.
    """
    start = file.read(_MAGIC_BYTES)
    file.seek(0)
    kind = _kind(start)
    if kind == "tiff":
        return _read_tiff(file, limits, options)
    data = file.read()
    if kind == "jpeg":
        return _read_jpeg(data, limits, options)
    if kind == "png":
        return _read_png(data, limits, options)
    if kind == "webp":
        return Photograph(iter([decode.read_webp(data, limits)]), options.format or "png")
    return Photograph(iter([jpeg2000.read_jpeg2000(data, limits)]), options.format or "tiff")


def _kind(start: bytes) -> str:
    """Which format, by its first bytes."""
    if not start:
        raise ImageFault("empty", "the file has no bytes")
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return "jpeg2000"
    raise ImageFault("not-a-photograph", "the file is no JPEG, PNG, TIFF, WebP or JPEG 2000")


def _read_jpeg(data: bytes, limits: Limits, options: Options) -> Photograph:
    if options.format not in (None, "jpeg"):
        return Photograph(iter([decode.read_jpeg(data, limits)]), options.format, _signature(data, limits))
    if options.jpeg != "reencode":
        try:
            return Photograph(iter([source.read(data, limits)]), "jpeg")
        except UnsplicableError:
            gray = transcode.luma_of(data, limits)
            if gray:
                return Photograph(iter([gray]), "jpeg", (TRANSCODED,))
    return Photograph(iter([decode.read_jpeg(data, limits)]), "jpeg", (REENCODED, *_signature(data, limits)))


def _read_tiff(file: BinaryIO, limits: Limits, options: Options) -> Photograph:
    pages = tiff.pages(file, limits)
    notes, is_big = tiff.notes(file, limits), tiff.needs_big(file, limits)
    return Photograph(pages, options.format or "tiff", notes, is_big=is_big)


def _read_png(data: bytes, limits: Limits, options: Options) -> Photograph:
    raster = png.read_png(data, limits)
    chunks = png_chunks.kept(data, limits)
    return Photograph(iter([raster]), options.format or "png", _dropped(chunks), chunks)


def _dropped(chunks: Kept) -> tuple[str, ...]:
    return tuple(C2PA_INVALID if name == C2PA_CHUNK else f"dropped-{name}" for name in chunks.dropped)


def _signature(data: bytes, limits: Limits) -> tuple[str, ...]:
    """A note where a JPEG that is decoded is signed: the signature is not carried over."""
    try:
        return (C2PA_INVALID,) if signed(header(data, limits)) else ()
    except MessyError:
        return ()
