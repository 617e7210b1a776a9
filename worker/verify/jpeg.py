"""JPEG as libjpeg gives its planes, and luma once more as OpenCV gives it."""

from __future__ import annotations

import io

import cv2
import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from photochrom.worker.verify import iptc
from photochrom.worker.verify.markers import (
    APP0,
    COM,
    DNL,
    EOI,
    FRAMES,
    Frame,
    Segment,
    frame_of,
    quantisation,
    segments,
)
from photochrom.worker.verify.page import Page, Says, Space, check_size, widened
from photochrom.worker.verify.resolution import of_jfif, of_tags, stated
from photochrom.worker.verify.tags import exif_tags

_XMP, _EXTENDED_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_EXIF, _ICC, _PHOTOSHOP, _ADOBE = b"Exif\0", b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"Adobe"
_GUID_AND_PLACE = 32 + 8

_ROUNDING = 1.5
"""What conversion to 8 bits and clipping may add to quantisation, in levels."""


def read_jpeg(data: bytes, most_pixels: int) -> Page:
    """The picture of a JPEG file. Raises ImageFault ("damaged", "unsupported", "too-many-pixels")."""
    found = list(segments(data))
    frame = frame_of(found)
    if not frame.height:
        data = _with_height(data, found)
        frame = frame_of(list(segments(data)))
    check_size(frame.width, frame.height, most_pixels)
    says = _says(found)
    if len(frame.components) == 4:
        return Page(_rgb_of_cmyk(data, says.icc), "rgb", frame.precision, says=says)
    space = _space(found, frame)
    samples = imagecodecs.jpeg8_decode(data, outcolorspace={"gray": "GRAYSCALE", "ycc": "YCBCR", "rgb": "RGB"}[space])
    return Page(
        samples=widened(samples, frame.precision),
        space=space,
        bits=frame.precision,
        luma_again=_luma_by_opencv(data) if space != "rgb" and frame.precision == 8 else None,
        lossy=_quantisation_error(found, frame),
        says=says,
    )


def is_whole(data: bytes) -> bool:
    """Whether a JPEG's markers follow one another up to EOI."""
    return any(segment.marker == EOI for segment in segments(data))


def _with_height(data: bytes, found: list[Segment]) -> bytes:
    """The file with its height in the frame header, where decoders look, and not behind the scan (DNL, B.2.5) alone."""
    stated = next((segment.payload[:2] for segment in found if segment.marker == DNL), b"")
    place = next(segment.start for segment in found if segment.marker in FRAMES) + 5
    return data[:place] + stated.rjust(2, b"\0") + data[place + 2 :]


def _rgb_of_cmyk(data: bytes, profile: bytes) -> np.ndarray:
    """Through the profile to sRGB; without one, as Pillow sees inks."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        if not profile:
            return np.asarray(image.convert("RGB"))
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return np.asarray(ImageCms.profileToProfile(image, inks, ImageCms.createProfile("sRGB"), outputMode="RGB"))


def _space(found: list[Segment], frame: Frame) -> Space:
    """As libjpeg decides it: by JFIF, then Adobe's word, then the components' names."""
    if len(frame.components) == 1:
        return "gray"
    jfif = any(segment.marker == APP0 and segment.payload.startswith(b"JFIF\0") for segment in found)
    adobe = [s.payload for s in found if s.marker == 0xEE and s.payload.startswith(_ADOBE) and len(s.payload) >= 12]
    if jfif:
        return "ycc"
    if adobe:
        return "rgb" if adobe[-1][11] == 0 else "ycc"
    return "rgb" if bytes(name for name, *_ in frame.components) == b"RGB" else "ycc"


def _luma_by_opencv(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)


def _quantisation_error(found: list[Segment], frame: Frame) -> float:
    """The most that the root mean square error of 8-bit luma can be: half a step for each coefficient (Parseval)."""
    steps = np.array(quantisation(found, frame.components[0][2]) or [1])
    return float(np.sqrt(np.mean(steps.astype(float) ** 2)) / 2 + _ROUNDING)


def _says(found: list[Segment]) -> Says:
    first = {kind: _after(found, marker, kind) for kind, marker in ((_EXIF, 0xE1), (_XMP, 0xE1), (_PHOTOSHOP, 0xED))}
    tags = exif_tags(b"".join(first[_EXIF][:1])[1:])
    photoshop = b"".join(first[_PHOTOSHOP])
    jfif = _after(found, APP0, b"JFIF\0")
    return Says(
        tags=tags,
        xmp=b"".join(first[_XMP][:1]),
        extended_xmp=b"".join(part[_GUID_AND_PLACE:] for part in _after(found, 0xE1, _EXTENDED_XMP)),
        iptc=iptc.resources(photoshop).get(iptc.IPTC_RESOURCE, b""),
        photoshop=photoshop,
        icc=_profile(found),
        dpi=stated(of_jfif(jfif[0]) if jfif else None, of_tags(tags)),
        comments=tuple(("", s.payload.decode("latin-1").rstrip("\0")) for s in found if s.marker == COM),
        orientation=_orientation(tags.get(("", 274))),
    )


def _after(found: list[Segment], marker: int, kind: bytes) -> list[bytes]:
    """What follows a name in the segments that begin with it."""
    return [s.payload[len(kind) :] for s in found if s.marker == marker and s.payload.startswith(kind)]


def _profile(found: list[Segment]) -> bytes:
    """The ICC profile (ICC.1, annex B.4): its parts are numbered from 1."""
    parts = sorted(_after(found, 0xE2, _ICC), key=lambda part: part[:1])
    return b"".join(part[2:] for part in parts)


def _orientation(value: object) -> int:
    stated = value[0] if isinstance(value, tuple) and value else 1
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1
