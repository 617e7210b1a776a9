"""Photographs decoded the ordinary way: JPEG that cannot be spliced, and WebP."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base import resolution
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.raster import Metadata, Raster
from photochrom.worker.photo.base.samples import luma_of, replicated
from photochrom.worker.photo.jpeg.metadata import ICC, XMP
from photochrom.worker.photo.jpeg.segments import (
    APP0,
    APP1,
    APP2,
    APP14,
    COM,
    EOI,
    MOST_SCANS,
    SOS,
    Frame,
    MessyError,
    Segment,
    count_markers,
    frame_of,
    header,
    parse,
)
from photochrom.worker.photo.metadata import exif, icc

# Pictures are measured against our own limit, by their header, before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

APP13 = 0xED
JFIF, PHOTOSHOP = b"JFIF\0", b"Photoshop 3.0\0"

COMMENT = "Comment"
"""The keyword, in PNG's list of them, of a comment that has none in a JPEG."""

_LOSSLESS = 0xC3
_DECODABLE = (0xC0, 0xC1, 0xC2, _LOSSLESS, 0xC9, 0xCA)
"""Frame markers: all but hierarchical ones and lossless arithmetic coding, which no decoder at hand reads."""

_TELLING = {APP0: 14, APP14: 12}
"""Bytes from which on libjpeg takes JFIF's and Adobe's segments for that, and the colours for what they say."""

Payloads = list[tuple[int, bytes]]
"""Marker and payload of each segment before the first scan."""

Result = TypeVar("Result")


def read_jpeg(data: bytes, limits: Limits) -> Raster:
    """Decode a JPEG: Huffman or arithmetic, sequential, progressive or lossless, of 1, 3 or 4 components.

    The luma of YCbCr is its Y, with no way through RGB; of RGB, a weighted sum; of CMYK, that of sRGB by way of the
    embedded profile. 9 to 16 bits a sample become 16. Of extended XMP only the main packet is kept, of several
    pictures in one file (MPF) the first. What Pillow decodes in spite of faults counts as it decodes it. Raises
    ImageFault: "damaged", "unsupported", "profile", "too-many-pixels", "too-many-segments".
    """
    frame, segments = _structure(data, limits)
    payloads = [(segment.marker, segment.payload) for segment in segments]
    check_scans(data, limits)
    if frame is not None and (frame.precision != 8 or frame.marker == _LOSSLESS):
        luma = _decoded("JPEG", lambda: _high_precision(data, frame, limits))
    else:
        bare = _without_metadata(data, segments)
        image = _decoded("JPEG", lambda: Image.open(io.BytesIO(bare), formats=["JPEG"]))
        limits.check_size(*image.size)
        payloads = payloads or _as_pillow_found_them(image)
        profile = _profile(payloads) if image.mode == "CMYK" else b""
        luma = _decoded("JPEG", lambda: _luma(image, profile))
        if image.mode == "CMYK":
            payloads = [(marker, payload) for marker, payload in payloads if not payload.startswith(ICC)]
    metadata, turn = _metadata(payloads)
    return Raster(luma, None, turn, metadata)


def read_webp(data: bytes, limits: Limits) -> Raster:
    """Decode a WebP picture, lossy or lossless, with or without alpha; its luma is that of its RGB.

    Raises ImageFault: "damaged", "unsupported" for an animation, "profile", "too-many-pixels".
    """
    image = _decoded("WebP", lambda: Image.open(io.BytesIO(data), formats=["WEBP"]))
    limits.check_size(*image.size)
    if getattr(image, "n_frames", 1) > 1:
        raise ImageFault("unsupported", "the WebP is an animation: only single pictures are supported")
    samples = _decoded("WebP", lambda: np.asarray(image))
    alpha = np.ascontiguousarray(samples[..., 3]) if samples.shape[2] == 4 else None
    parts = exif.take_apart(image.info.get("exif", b""))
    metadata = Metadata(
        exif=parts.block,
        xmp=image.info.get("xmp", b""),
        icc=icc.for_colour(image.info.get("icc_profile", b"")),
        dpi=parts.dpi,
    )
    return Raster(luma_of(samples), alpha, parts.orientation, metadata)


def check_scans(data: bytes, limits: Limits) -> None:
    """Raises ImageFault ("too-many-segments") for a JPEG of more than MOST_SCANS scans."""
    if count_markers(data, SOS) <= MOST_SCANS:  # other segments, and what follows EOI, may hold some by chance
        return
    try:
        parse(data, limits)
    except MessyError as error:
        raise ImageFault("too-many-segments", f"the JPEG may have more than {MOST_SCANS} scans: {error}") from error


def _decoded(kind: str, decode: Callable[[], Result]) -> Result:
    """The seam to the decoders, which raise nearly anything on damaged files."""
    try:
        return decode()
    except (ImageFault, MemoryError):
        raise
    except Exception as error:
        raise ImageFault("damaged", f"the {kind} cannot be decoded: {error}") from error


def _structure(data: bytes, limits: Limits) -> tuple[Frame | None, list[Segment]]:
    """The frame header, checked, and the segments before it; nothing of a file too messy to be taken apart."""
    try:
        segments = header(data, limits)
        frame = frame_of(segments)
    except MessyError:
        return None, []
    limits.check_size(frame.width, frame.height)
    if frame.marker not in _DECODABLE:
        raise ImageFault("unsupported", f"the JPEG is of the kind 0xFF{frame.marker:02X}, which nothing here decodes")
    if len(frame.components) not in (1, 3, 4):
        raise ImageFault("unsupported", f"the JPEG has {len(frame.components)} components")
    return frame, segments


def _without_metadata(data: bytes, segments: list[Segment]) -> bytes:
    """The file as far as it is a picture: Pillow does not open one for which it cannot read what goes with it."""
    at, pieces = 0, []
    for found in segments:
        if _is_metadata(found):
            pieces.append(data[at : found.start])
            at = found.end
    return b"".join((*pieces, data[at:]))


def _is_metadata(found: Segment) -> bool:
    is_for_applications = APP0 <= found.marker < APP0 + 16
    tells_colours = len(found.payload) >= _TELLING.get(found.marker, sys.maxsize)
    return found.marker == COM or (is_for_applications and not tells_colours)


def _as_pillow_found_them(image: Image.Image) -> Payloads:
    markers = {"COM": COM} | {f"APP{number}": APP0 + number for number in range(16)}
    return [(markers[name], payload) for name, payload in getattr(image, "applist", [])]


def _luma(image: Image.Image, profile: bytes) -> np.ndarray:
    if image.mode == "CMYK":
        return luma_of(np.asarray(_rgb_of_cmyk(image, profile)))
    image.draft("L", image.size)
    return np.asarray(image.convert("L"))


def _rgb_of_cmyk(image: Image.Image, profile: bytes) -> Image.Image:
    if not profile:
        return image.convert("RGB")
    image.load()
    if icc.colour_space(profile) != "CMYK":
        raise ImageFault("profile", f"the JPEG is CMYK and its profile is one for {icc.colour_space(profile)}")
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(inks))
        rgb = ImageCms.profileToProfile(image, inks, ImageCms.createProfile("sRGB"), intent, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise ImageFault("profile", f"the JPEG's CMYK profile cannot be used: {error}") from error
    assert rgb is not None  # it is only for a conversion in place
    return rgb


def _high_precision(data: bytes, frame: Frame, limits: Limits) -> np.ndarray:
    """Luma, uint8 or uint16, of what Pillow does not open. libjpeg fills in what is missing: so EOI has to be there."""
    try:
        whole = parse(data, limits)[-1].marker == EOI
    except MessyError as error:
        raise ImageFault("damaged", f"the JPEG cannot be taken apart: {error}") from error
    if not whole:
        raise ImageFault("damaged", "the JPEG is cut off")
    if len(frame.components) == 4:
        raise ImageFault("unsupported", f"the JPEG is CMYK of {frame.precision} bits a sample, or lossless")
    lossy_colour = len(frame.components) == 3 and frame.marker != _LOSSLESS
    samples = imagecodecs.jpeg8_decode(data, outcolorspace="GRAYSCALE" if lossy_colour else None)
    spread = replicated(samples, frame.precision)
    return spread if spread.ndim == 2 else luma_of(spread)


def _metadata(payloads: Payloads) -> tuple[Metadata, int]:
    parts = exif.take_apart(next(_told(payloads, APP1, exif.PREFIX), b""))
    metadata = Metadata(
        exif=parts.block,
        xmp=next(_told(payloads, APP1, XMP), b""),
        photoshop=b"".join(_told(payloads, APP13, PHOTOSHOP)),
        icc=icc.for_colour(_profile(payloads)),
        dpi=resolution.first_of(_density(next(_told(payloads, APP0, JFIF), b"")), parts.dpi),
        comments=tuple((COMMENT, _text(payload)) for marker, payload in payloads if marker == COM),
    )
    return metadata, parts.orientation


def _told(payloads: Payloads, marker: int, prefix: bytes) -> Iterator[bytes]:
    return (payload[len(prefix) :] for found, payload in payloads if found == marker and payload.startswith(prefix))


def _profile(payloads: Payloads) -> bytes:
    """The profile, out of its numbered segments (ICC.1:2022, B.4)."""
    return b"".join(part[2:] for part in sorted(_told(payloads, APP2, ICC), key=lambda part: part[:1]))


def _density(payload: bytes) -> resolution.Resolution | None:
    """Of a JFIF segment, less its identifier (T.871, 10.1): version, unit, across, down."""
    return resolution.of_jfif(*struct.unpack_from(">BHH", payload, 2)) if len(payload) >= 7 else None


def _text(payload: bytes) -> str:
    """A comment, in whichever of the two encodings it seems to be."""
    try:
        return payload.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return payload.rstrip(b"\0").decode("latin-1")
