"""From predicted chroma to the two planes of a JPEG with 4:2:0 subsampling, scaled into gamut by the local luma."""

from __future__ import annotations

import cv2
import numpy as np

from photochrom.worker.photo.base.colorspace import G_FROM_U, G_FROM_V, U_SCALE, V_SCALE

cv2.setNumThreads(1)  # a worker is one process a core

STRIP_ROWS = 32
"""A few rows at a time stay within the processor's cache: four times as fast as whole planes."""

_TINY = 1e-6


def planes(luma: np.ndarray, chroma: np.ndarray, height: int, width: int) -> np.ndarray:
    """Chroma float32 (2, h', w') in -0.5..0.5 to Cb and Cr uint8 (2, ceil(height / 2), ceil(width / 2)).

    `luma` is a copy of the photograph's luma, uint8, at full size or smaller. Where red, green or blue would leave
    0..255 chroma is scaled down, as in `photo/base/luma.py`, so that hue and luma stay; at the resolution of the
    smaller of `luma` and the result, since predicted chroma has next to no detail.
    """
    size = ((width + 1) // 2, (height + 1) // 2)
    if luma.shape[1] > size[0] or luma.shape[0] > size[1]:
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    at = (luma.shape[1], luma.shape[0])
    u, v = (cv2.resize(np.ascontiguousarray(plane), at, interpolation=cv2.INTER_CUBIC) for plane in chroma)
    fitting = np.empty((2, *luma.shape), np.uint8)
    for top in range(0, luma.shape[0], STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        _fit(luma[rows].astype(np.float32), u[rows], v[rows], fitting[:, rows])
    if at == size:
        return fitting
    whole = np.empty((2, size[1], size[0]), np.uint8)
    for plane, into in zip(fitting, whole, strict=True):
        cv2.resize(plane, size, dst=into, interpolation=cv2.INTER_LINEAR)
    return whole


def _fit(y: np.ndarray, u: np.ndarray, v: np.ndarray, out: np.ndarray) -> None:
    """Cb and Cr, rounded, of pixels whose luma is `y` in 0..255; `y` is used up."""
    red, blue = v * np.float32(255 * V_SCALE), u * np.float32(255 * U_SCALE)
    green = u * np.float32(255 * G_FROM_U) + v * np.float32(255 * G_FROM_V)
    most = np.maximum(np.maximum(red, blue), green)
    least = np.minimum(np.minimum(red, blue), green)
    # numpy is twice as fast with both limits as `maximum` is with one number
    np.clip(most, _TINY, np.inf, out=most)
    np.clip(least, -np.inf, -_TINY, out=least)
    np.divide(y, least, out=least)
    np.divide(np.subtract(255, y, out=y), most, out=most)
    scale = np.minimum(most, np.negative(least, out=least), out=most)
    np.clip(scale, 0, 1, out=scale)
    scale *= 255
    for plane, into in ((u, out[0]), (v, out[1])):
        np.multiply(plane, scale, out=red)
        red += 128.5  # truncated, this rounds
        np.clip(red, 0, 255, out=red)
        into[...] = red
