"""JPEG files encoded anew, for what cannot be spliced."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base import resolution
from photochrom.worker.photo.base.luma import STRIP_ROWS
from photochrom.worker.photo.base.raster import Metadata, Raster
from photochrom.worker.photo.jpeg.decode import APP13, COMMENT, PHOTOSHOP
from photochrom.worker.photo.jpeg.encode import encoded
from photochrom.worker.photo.jpeg.metadata import ICC, XMP
from photochrom.worker.photo.jpeg.segments import APP1, APP2, COM, MOST_PAYLOAD, segment
from photochrom.worker.photo.metadata import exif

_IPTC_RESOURCE = b"8BIM\x04\x04"
"""The beginning of the image resource that holds IPTC records."""

_DENSITY = 13
"""Where unit and densities stand in a file whose first segment is JFIF's (T.871, 10.1)."""


def write_jpeg(raster: Raster, rgb: np.ndarray, quality: int) -> bytes:
    """Encode RGB (h, w, 3), uint8 or uint16, with 4:2:0 chroma and the raster's metadata; 16 bits are rounded to 8.

    Resolution becomes the nearest whole dots, an inch or a centimeter; comments other than JPEG's own keep their
    keyword before them. Raises ImageFault ("unsupported") for alpha, for more than 65,500 pixels a side, and for EXIF
    or XMP beyond one segment.
    """
    if raster.alpha is not None:
        raise ImageFault("unsupported", "JPEG has no alpha channel: ask for PNG or TIFF")
    image = Image.fromarray(_eight_bits(rgb))
    try:
        data = encoded(image, quality=quality, subsampling="4:2:0", optimize=True)
    except MemoryError:
        raise
    except Exception as error:  # more than 65,500 pixels a side
        raise ImageFault("unsupported", f"JPEG cannot hold this photograph: {error}") from error
    data = _with_density(data, raster.metadata.dpi)
    behind = 4 + int.from_bytes(data[4:6], "big")  # SOI and JFIF's segment, which comes first (T.871, 10.1)
    return data[:behind] + b"".join(_segments(raster)) + data[behind:]


def _with_density(data: bytes, dpi: resolution.Resolution | None) -> bytes:
    """Pillow states inches alone."""
    stated = struct.pack(">BHH", *resolution.in_jfif(dpi)) if dpi else b""
    return data[:_DENSITY] + stated + data[_DENSITY + len(stated) :]


def _eight_bits(rgb: np.ndarray) -> np.ndarray:
    if rgb.dtype == np.uint8:
        return rgb
    rounded = np.empty(rgb.shape, np.uint8)
    for top in range(0, len(rgb), STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        rounded[rows] = (rgb[rows].astype(np.uint32) + 128) // 257
    return rounded


def _segments(raster: Raster) -> Iterator[bytes]:
    metadata = raster.metadata
    block = exif.put_together(metadata.exif, raster.orientation, metadata.dpi)
    if block:
        yield _only_one("EXIF", APP1, exif.PREFIX, block)
    if metadata.xmp:
        yield _only_one("XMP", APP1, XMP, metadata.xmp)
    for part in _resource_parts(_resources(metadata)):
        yield segment(APP13, PHOTOSHOP + part)
    chunks = _parts(metadata.icc, MOST_PAYLOAD - len(ICC) - 2)
    for number, chunk in enumerate(chunks, 1):
        yield segment(APP2, ICC + bytes((number, len(chunks))) + chunk)
    for keyword, text in metadata.comments:
        said = text if keyword == COMMENT else f"{keyword}: {text}"
        yield from (segment(COM, part) for part in _parts(said.encode(errors="replace"), MOST_PAYLOAD))


def _only_one(name: str, marker: int, prefix: bytes, data: bytes) -> bytes:
    if len(prefix) + len(data) > MOST_PAYLOAD:
        raise ImageFault("unsupported", f"JPEG cannot hold {len(data):,} bytes of {name}: ask for PNG or TIFF")
    return segment(marker, prefix + data)


def _parts(data: bytes, most: int) -> list[bytes]:
    return [data[at : at + most] for at in range(0, len(data), most)]


def _resource_parts(resources: bytes) -> Iterator[bytes]:
    """For a segment each. None ends between a resource's number and its name: Pillow would not open the file."""
    while resources:
        part = resources[: MOST_PAYLOAD - len(PHOTOSHOP)]
        part = part[:-1] if part[-6:-2] == b"8BIM" else part
        yield part
        resources = resources[len(part) :]


def _resources(metadata: Metadata) -> bytes:
    """The image resources, with the IPTC records among them where these stand alone, as in a TIFF."""
    if not metadata.iptc or _IPTC_RESOURCE in metadata.photoshop:
        return metadata.photoshop
    records = metadata.iptc + bytes(len(metadata.iptc) % 2)
    return metadata.photoshop + _IPTC_RESOURCE + bytes(2) + struct.pack(">I", len(metadata.iptc)) + records
