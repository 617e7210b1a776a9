"""From a coloured picture back to an encoded file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD

from worker.errors import ImageFault
from worker.job import Format
from worker.photo.read import Photograph

CONTENT_TYPES: dict[Format, str] = {"jpeg": "image/jpeg", "png": "image/png", "tiff": "image/tiff"}

# PNG's higher levels save a tenth of the bytes for four times the time.
_OPTIONS: dict[Format, dict[str, Any]] = {
    "jpeg": {"subsampling": "4:2:0", "optimize": True},
    "png": {"compress_level": 3},
    "tiff": {"compression": "tiff_lzw"},
}


def write(rgb: np.ndarray, photograph: Photograph, format: Format, jpeg_quality: int) -> bytes:
    """Encode RGB uint8 (h, w, 3) with the photograph's alpha, EXIF, RGB profile and resolution.

    PNG and TIFF keep every pixel; JPEG is lossy. Raises ImageFault ("unsupported") for what the format cannot hold,
    alpha in a JPEG above all.
    """
    if photograph.alpha is not None and format == "jpeg":
        raise ImageFault("unsupported", "JPEG has no alpha channel: ask for PNG or TIFF")
    planes = rgb if photograph.alpha is None else np.dstack([rgb, photograph.alpha])
    options = dict(_OPTIONS[format])
    if format == "jpeg":
        options["quality"] = jpeg_quality
    if photograph.exif:
        options["exif"] = photograph.exif
        if format == "tiff" and _has_directories(photograph.exif):
            del options["compression"]  # libtiff, which compresses, cannot write them
    if photograph.icc:
        options["icc_profile"] = photograph.icc
    if photograph.dpi:
        options["dpi"] = photograph.dpi
    encoded = io.BytesIO()
    try:
        Image.fromarray(planes).save(encoded, format.upper(), **options)
    except MemoryError:
        raise
    except Exception as error:  # a JPEG of more than 65,500 pixels a side, or of more than 64 KiB of EXIF
        raise ImageFault("unsupported", f"{format} cannot hold this photograph: {error}") from error
    return encoded.getvalue()


def _has_directories(exif: bytes) -> bool:
    """Whether there is more to it than a flat list: the camera's own data, a place on earth."""
    tags = Image.Exif()
    tags.load(exif)
    return any(tag in tags for tag in IFD)
