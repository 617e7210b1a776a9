"""A colour JPEG of a gray photograph: its luma, taken out of it without decoding, as a gray JPEG to splice."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg import jpegtran, source
from photochrom.worker.photo.jpeg.segments import MessyError, frame_of, parse
from photochrom.worker.photo.jpeg.source import HUFFMAN_DCT, GrayJpeg, UnsplicableError

NEUTRAL = 4
"""Levels of 255 that chroma may be off neutral: rounding and a scanner's noise, not yet a tone."""


def luma_of(data: bytes, limits: Limits) -> GrayJpeg | None:
    """The photograph as a gray JPEG whose DCT coefficients are those of the file's luma.

    None where it is toned or in colour, is not YCbCr, or where `jpegtran`, which does it, is not installed.
    """
    try:
        frame = frame_of(parse(data, limits))
        limits.check_size(frame.width, frame.height)
        if len(frame.components) != 3 or frame.marker not in HUFFMAN_DCT or not jpegtran.is_there():
            return None
        if not _is_neutral(data):
            return None
        gray = jpegtran.luma_only(data)
        return source.read(gray, limits) if _luma(data) == _luma(gray) else None
    except (ImageFault, MessyError, UnsplicableError):
        return None


def _is_neutral(data: bytes) -> bool:
    """Whether the mean chroma of every 8 x 8 block is as good as none."""
    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG"])
        image.draft("YCbCr", (1, 1))
        chroma = np.asarray(image.convert("YCbCr"))[..., 1:].astype(np.int16) - 128
    except MemoryError:
        raise
    except Exception:  # damaged: whoever decodes it next says so
        return False
    return int(np.abs(chroma).max()) <= NEUTRAL


def _luma(data: bytes) -> bytes | None:
    """Y, row by row, as libjpeg has it; of a damaged file jpegtran's coefficients can lead elsewhere."""
    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG"])
        image.draft("L", image.size)
        return image.convert("L").tobytes()
    except MemoryError:
        raise
    except Exception:  # damaged: whoever decodes it next says so
        return None
