"""From a file to its pages, whatever its format. Foreign exceptions of the decoders end here."""

from __future__ import annotations

import io
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from photochrom.worker.errors import ImageFault, PhotochromError
from photochrom.worker.verify import png
from photochrom.worker.verify.jpeg import read_jpeg
from photochrom.worker.verify.page import MOST_PIXELS, Page, Says, check_size
from photochrom.worker.verify.png import read_png
from photochrom.worker.verify.resolution import of_tags
from photochrom.worker.verify.tags import exif_tags
from photochrom.worker.verify.tiff import read_tiff

_STARTS = {b"\xff\xd8\xff": "jpeg", png.SIGNATURE: "png"}
_STARTS |= dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "tiff")


def format_of(data: bytes) -> str:
    """ "jpeg", "png", "tiff", or "other" by a file's first bytes."""
    return next((name for start, name in _STARTS.items() if data.startswith(start)), "other")


def pages(data: bytes, most_pixels: int = MOST_PIXELS) -> Iterator[Page]:
    """The pages of a file, each decoded when its turn comes.

    Raises ImageFault ("damaged", "unsupported", "too-many-pixels").
    """
    try:
        if format_of(data) == "tiff":
            yield from read_tiff(data, most_pixels)
        else:
            yield {"jpeg": read_jpeg, "png": read_png, "other": _read_other}[format_of(data)](data, most_pixels)
    except (PhotochromError, MemoryError):
        raise
    except Exception as error:  # the decoders raise nearly anything
        raise ImageFault("damaged", f"it cannot be decoded: {error}") from error


def _read_other(data: bytes, most_pixels: int) -> Page:
    """WebP and JPEG 2000: what goes with the pixels by Pillow, and the pixels by OpenCV where that can."""
    with Image.open(io.BytesIO(data), formats=["WEBP", "JPEG2000"]) as image:
        check_size(image.width, image.height, most_pixels)
        info, planes = dict(image.info), _planes(data, image)
    tags = exif_tags(info.get("exif", b""))
    turned = tags.get(("", 274), (1,))
    has_alpha = planes.shape[2] in (2, 4)
    return Page(
        samples=planes[..., 0] if planes.shape[2] < 3 else np.ascontiguousarray(planes[..., :3]),
        space="gray" if planes.shape[2] < 3 else "rgb",
        bits=planes.dtype.itemsize * 8,
        alpha=planes[..., -1] if has_alpha else None,
        says=Says(
            tags=tags,
            xmp=info.get("xmp", b""),
            icc=info.get("icc_profile") or b"",
            dpi=of_tags(tags),
            orientation=turned[0] if isinstance(turned, tuple) and turned[0] in range(1, 9) else 1,
        ),
    )


def _planes(data: bytes, image: Image.Image) -> np.ndarray:
    """Samples (h, w, 1..4): gray, gray and alpha, RGB, or RGB and alpha, which OpenCV gives in another order."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        decoded = np.asarray(image)
    elif decoded.ndim == 3:
        decoded = decoded[..., [2, 1, 0, 3][: decoded.shape[2]]]
    return decoded if decoded.ndim == 3 else decoded[..., None]
