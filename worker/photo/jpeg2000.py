"""JPEG 2000 files (ISO 15444-1: T.800): JP2 boxes and bare codestreams, decoded by OpenJPEG."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import imagecodecs
import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base import resolution
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.raster import Metadata, Raster
from photochrom.worker.photo.base.samples import luma_of, replicated
from photochrom.worker.photo.metadata import exif, icc

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
"""The markers SOC and SIZ, with which a codestream begins."""

_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_EXIF = b"JpgTiffExif->JP2"
"""Identifiers of UUID boxes: XMP part 3, 1.1.4; the others by usage, of Adobe and ExifTool."""

_SUPERBOXES = (b"jp2h", b"res ")
_SRGB, _GRAY, _YCC = 16, 17, 18
"""Enumerated colour spaces (I.5.3.3)."""


class _Size(NamedTuple):
    """Of the SIZ segment (A.5.1): the picture, and the bits a sample of its components, all alike."""

    width: int
    height: int
    components: int
    bits: int


def read_jpeg2000(data: bytes, limits: Limits) -> Raster:
    """Decode a JPEG 2000 file: gray or RGB of 1 to 16 bits, palette, Y of YCC, each with or without alpha.

    9 to 16 bits a sample become 16. Raises ImageFault: "damaged" for what is not whole, "unsupported" for other colour
    spaces and for components of different kinds, "profile", "too-many-pixels", "too-many-segments".
    """
    boxes = list(_boxes(data, limits)) if data.startswith(SIGNATURE) else [(b"jp2c", data)]
    found = dict(reversed(boxes))  # the first of each name
    codestream = found.get(b"jp2c", b"")
    size = _size(codestream)
    limits.check_size(size.width, size.height)
    if sum(name == b"jp2c" for name, _ in boxes) > 1:
        raise ImageFault("unsupported", "the JPEG 2000 file has several pictures: only single ones are supported")
    space = _colour_space([content for name, content in boxes if name == b"colr"], size)
    if space == _YCC and b"pclr" in found:
        raise ImageFault("unsupported", "the JPEG 2000 file has a palette of YCC")
    samples = _decoded(codestream if space == _YCC else data)  # whose colour space would be changed to RGB
    luma, alpha = _planes(samples, size, space, palette=found.get(b"pclr", b""))
    metadata, turn = _metadata(boxes)
    return Raster(luma, alpha, turn, metadata)


def _boxes(data: bytes, limits: Limits) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of all boxes (I.4), those inside superboxes too. Only headers are trusted to be whole."""
    spans = [(0, len(data))]
    count = 0
    while spans:
        at, end = spans.pop()
        while at + 8 <= end:
            count += 1
            limits.check_segments(count)
            length, name = struct.unpack_from(">I4s", data, at)
            start = at + 8
            if length == 1 and start + 8 <= end:
                length = int.from_bytes(data[start : start + 8], "big")
                start += 8
            following = at + length if length else end
            if following < start or following > end:
                raise ImageFault("damaged", f"the JPEG 2000 file is cut off in its box {name!r}")
            if name in _SUPERBOXES:
                spans.append((start, following))
            else:
                yield name, data[start:following]
            at = following


def _size(codestream: bytes) -> _Size:
    if not codestream.startswith(CODESTREAM) or len(codestream) < 42:
        raise ImageFault("damaged", "the JPEG 2000 file has no codestream")
    right, bottom, left, top = struct.unpack_from(">4I", codestream, 8)
    count = int.from_bytes(codestream[40:42], "big")
    if len(codestream) < 42 + 3 * count:
        raise ImageFault("damaged", "the JPEG 2000 file is cut off in its first segment")
    kinds = {codestream[at : at + 3] for at in range(42, 42 + 3 * count, 3)}
    if len(kinds) != 1:
        raise ImageFault("unsupported", "the JPEG 2000 file has components of different sizes or depths")
    kind = kinds.pop()
    bits = kind[0] + 1
    if bits > 16 or kind[1:] != b"\1\1":  # above 128: signed
        raise ImageFault("unsupported", "the JPEG 2000 file has signed, subsampled or more than 16-bit components")
    return _Size(right - left, bottom - top, count, bits)


def _colour_space(specifications: list[bytes], size: _Size) -> int:
    """One of the enumerated ones, of colour specification boxes (I.5.3.3), or by the count of components.

    Raises ImageFault ("unsupported") for others.
    """
    usual = _GRAY if size.components <= 2 else _SRGB
    stated = {icc.colour_space(_restricted(one)) for one in specifications if _restricted(one)}
    enumerated = [int.from_bytes(one[3:7], "big") for one in specifications if one[:1] == b"\1"]
    if stated - {"GRAY", "RGB"} or (enumerated and enumerated[0] not in (_SRGB, _GRAY, _YCC)):
        raise ImageFault("unsupported", "the JPEG 2000 file is neither gray nor RGB nor YCC")
    if size.components > 4:
        raise ImageFault("unsupported", f"the JPEG 2000 file has {size.components} components")
    return enumerated[0] if enumerated else usual


def _restricted(specification: bytes) -> bytes:
    """The ICC profile of a colour specification box, if that is its method (2; in JPX also 3)."""
    return specification[3:] if specification[:1] in (b"\2", b"\3") else b""


def _decoded(data: bytes) -> np.ndarray:
    try:
        return imagecodecs.jpeg2k_decode(data)
    except MemoryError:
        raise
    except Exception as error:  # OpenJPEG's own errors, and whatever else comes of an absurd header
        raise ImageFault("damaged", f"the JPEG 2000 file cannot be decoded: {error}") from error


def _planes(samples: np.ndarray, size: _Size, space: int, palette: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Luma and alpha, which are the last of 2 or 4 components."""
    if samples.dtype not in (np.uint8, np.uint16):
        raise ImageFault("unsupported", f"the JPEG 2000 file decodes to {samples.dtype}")
    bits = (palette[3] & 0x7F) + 1 if len(palette) > 3 else size.bits  # the palette's own depth (I.5.3.4)
    planes = replicated(samples if samples.ndim == 3 else samples[..., None], bits)
    count = planes.shape[2]
    luma = planes[..., 0] if count <= 2 or space == _YCC else luma_of(planes)
    alpha = np.ascontiguousarray(planes[..., -1]) if count in (2, 4) else None
    return np.ascontiguousarray(luma), alpha


def _metadata(boxes: list[tuple[bytes, bytes]]) -> tuple[Metadata, int]:
    parts = exif.take_apart(_of_uuid(boxes, _EXIF))
    profiles = [_restricted(content) for name, content in boxes if name == b"colr" and _restricted(content)]
    metadata = Metadata(
        exif=parts.block,
        xmp=_of_uuid(boxes, _XMP),
        iptc=_of_uuid(boxes, _IPTC),
        icc=icc.for_colour(profiles[0] if profiles else b""),
        dpi=resolution.first_of(_resolution(boxes), parts.dpi),
    )
    return metadata, parts.orientation


def _of_uuid(boxes: list[tuple[bytes, bytes]], identifier: bytes) -> bytes:
    return next((content[16:] for name, content in boxes if name == b"uuid" and content[:16] == identifier), b"")


def _resolution(boxes: list[tuple[bytes, bytes]]) -> resolution.Resolution | None:
    """At capture, else at display (I.5.3.7): two fractions a metre, down first, and their exponents."""
    stated = dict(reversed(boxes))
    content = stated.get(b"resc") or stated.get(b"resd") or b""
    if len(content) != 10:
        return None
    down, below, across, beside, tens_down, tens_across = struct.unpack(">4H2b", content)
    if not below or not beside:
        return None
    ten = Fraction(10)
    return resolution.of_meters(Fraction(across, beside) * ten**tens_across, Fraction(down, below) * ten**tens_down)
