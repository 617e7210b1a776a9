"""Stored samples as luma: colours added up, few bits brought to eight or sixteen."""

from __future__ import annotations

import numpy as np
from PIL import Image

from photochrom.worker.photo.base.luma import STRIP_ROWS

_WEIGHTS = np.array([299, 587, 114], np.uint32)
"""BT.601, in thousandths: with 16-bit samples the sum stays below 2^26."""


def luma_of(rgb: np.ndarray) -> np.ndarray:
    """RGB or RGBA (h, w, 3 or 4), uint8 or uint16, to luma (h, w) of the same dtype: 0.299 R + 0.587 G + 0.114 B.

    8 bits are rounded as Pillow's `convert("L")` does it, whose weights have 16 binary digits: of 16.8 million colours,
    9,040, on or next to a tie, come out a level off the exact sum. 16 bits are rounded exactly.
    """
    if rgb.dtype == np.uint8:
        return np.asarray(Image.fromarray(rgb).convert("L"))
    luma = np.empty(rgb.shape[:2], rgb.dtype)
    for top in range(0, len(rgb), STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        luma[rows] = (rgb[rows, :, :3] @ _WEIGHTS + 500) // 1000
    return luma


def replicated(samples: np.ndarray, bits: int) -> np.ndarray:
    """Samples of `bits` bits, 1..16, brought to the full range of uint8 (up to 8 bits) or uint16 by repeating them.

    Black stays black, white becomes white, and the source's bits remain the result's highest ones.
    """
    wide, dtype = (8, np.uint8) if bits <= 8 else (16, np.uint16)
    whole: np.ndarray = np.left_shift(samples.astype(dtype, copy=False), wide - bits)
    while bits < wide:
        whole |= whole >> bits
        bits *= 2
    return whole
