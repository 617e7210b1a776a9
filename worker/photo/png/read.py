"""PNG files as rasters."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base import resolution
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.raster import Metadata, Raster
from photochrom.worker.photo.metadata import exif, icc
from photochrom.worker.photo.png.chunks import XMP_KEYWORD, Allowance, Chunk, data_of, parse, texts
from photochrom.worker.photo.png.rows import Header, strips
from photochrom.worker.photo.png.tones import Tones

_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""Chunks without which a picture cannot be shown (5.4); a maker's own, as Apple's CgBI, change what the others mean."""


def read_png(data: bytes, limits: Limits) -> Raster:
    """Decode a PNG of any kind: gray, palette or colour, of 1 to 16 bits, interlaced or not.

    Gray is luma as it stands, 1, 2 and 4 bits spread to 0..255; 16 bits stay 16. A transparent colour or palette entry
    becomes alpha. Raises ImageFault: "damaged" for what is not whole, "unsupported" for an animation and for what only
    its maker understands, "profile", "too-many-pixels", "too-many-segments".
    """
    chunks = parse(data, limits)
    if any(chunk.name == b"acTL" for chunk in chunks):
        raise ImageFault("unsupported", "the PNG is an animation: only single pictures are supported")
    strange = [chunk.name for chunk in chunks if chunk.name[:1].isupper() and chunk.name not in _CRITICAL]
    if strange:
        raise ImageFault(
            "unsupported", f"the PNG has a critical chunk {strange[0]!r}, which the standard does not know"
        )
    luma, alpha = _planes(chunks)
    metadata, turn = _metadata(chunks)
    return Raster(luma, alpha, turn, metadata)


def _planes(chunks: list[Chunk]) -> tuple[np.ndarray, np.ndarray | None]:
    """Luma (h, w), uint8 or uint16, and alpha likewise or None; the picture is in memory only once."""
    header = Header.parse(data_of(chunks, b"IHDR"))
    tones = Tones(header, data_of(chunks, b"PLTE"), data_of(chunks, b"tRNS"))
    luma = np.empty((header.height, header.width), tones.dtype)
    alpha = np.empty_like(luma) if tones.has_alpha else None
    for rows, columns, samples in strips(header, (chunk.data for chunk in chunks if chunk.name == b"IDAT")):
        luma[rows, columns] = tones.luma(samples)
        if alpha is not None:
            alpha[rows, columns] = tones.alpha(samples)
    return luma, alpha


def _metadata(chunks: list[Chunk]) -> tuple[Metadata, int]:
    """The metadata and the orientation. ImageMagick's "Raw profile type" texts stay what they are, texts."""
    allowance = Allowance()
    parts = exif.take_apart(data_of(chunks, b"eXIf"))
    said = list(texts(chunks, allowance))
    metadata = Metadata(
        exif=parts.block,
        xmp=next((_bytes(text) for keyword, text in said if keyword == XMP_KEYWORD), b""),
        icc=icc.for_colour(_profile(data_of(chunks, b"iCCP"), allowance)),
        dpi=resolution.first_of(_resolution(data_of(chunks, b"pHYs")), parts.dpi),
        comments=tuple((word, _bytes(text).decode(errors="replace")) for word, text in said if word != XMP_KEYWORD),
    )
    return metadata, parts.orientation


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _profile(data: bytes, allowance: Allowance) -> bytes:
    """The profile out of an iCCP chunk (11.3.2.3): a name, one byte, a zlib stream."""
    try:
        return allowance.inflate(data.split(b"\0", 1)[1][1:]) if data else b""
    except (IndexError, zlib.error) as error:
        raise ImageFault("profile", f"the PNG's colour profile cannot be read: {error}") from error


def _resolution(data: bytes) -> resolution.Resolution | None:
    """Out of a pHYs chunk (11.3.4.3), whose other unit states nothing but the shape of a pixel."""
    if len(data) != 9 or data[8] != 1:
        return None
    return resolution.of_meters(*struct.unpack_from(">II", data))
