"""What a file says of itself as a result, read without decoding it."""

from __future__ import annotations

import os
from typing import BinaryIO

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg import kept
from photochrom.worker.photo.jpeg.metadata import XMP
from photochrom.worker.photo.jpeg.segments import APP1, EOI, MessyError, header
from photochrom.worker.photo.metadata.xmp import Statement, statement_of
from photochrom.worker.photo.png import chunks as png_chunks
from photochrom.worker.photo.tiff.directory import Tiff
from photochrom.worker.photo.tiff.tags import XMP as XMP_TAG

MOST_BYTES = 2**31

END = bytes((0xFF, EOI))
"""Of every JPEG that we write: one that was cut off is no result any more."""


def statement_in(file: BinaryIO, limits: Limits) -> Statement | None:
    """What a result says of itself; None for any other file. The file stands at its beginning before and afterwards.

    Nothing is said by a JPEG or PNG of more than MOST_BYTES, which would have to be read whole. A JPEG whose XMP had no
    room for a statement still keeps its original and the SHA-256 of that: all else is then "".
    """
    start = file.read(8)
    file.seek(0)
    try:
        if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return statement_of(_tiff_packet(file, limits))
        if start == png_chunks.SIGNATURE:
            return statement_of(_png_packet(_whole(file), limits))
        if start[:3] == b"\xff\xd8\xff":
            return _in_jpeg(_whole(file), limits)
    except (ImageFault, MessyError):
        return None
    finally:
        file.seek(0)
    return None


def _whole(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return file.read() if size <= MOST_BYTES else b""


def _tiff_packet(file: BinaryIO, limits: Limits) -> bytes:
    """Of the first page: all pages say the same."""
    tiff = Tiff(file, limits)
    field = tiff.first().fields.get(XMP_TAG)
    return tiff.value(field).rstrip(b"\0") if field else b""


def _png_packet(data: bytes, limits: Limits) -> bytes:
    texts = png_chunks.texts(png_chunks.parse(data, limits), png_chunks.Allowance())
    found = next((text for keyword, text in texts if keyword == png_chunks.XMP_KEYWORD), "")
    return found.encode(errors="surrogateescape")


def _in_jpeg(data: bytes, limits: Limits) -> Statement | None:
    if not data.endswith(END):
        return None
    segments = header(data, limits)
    packets = (one.payload[len(XMP) :] for one in segments if one.marker == APP1 and one.payload.startswith(XMP))
    stated = statement_of(next(packets, b""))
    if stated:
        return stated
    source = kept.sha256_of_original(segments)
    return Statement(model="", model_sha256="", source_sha256=source, how="", version="") if source else None
