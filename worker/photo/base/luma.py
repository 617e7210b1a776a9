"""Join chroma to a photograph's own luma, so that the luma comes back exactly.

The rule: scale the chroma of a pixel until red, green and blue all fit, never clip; round red and blue, and let green
take up what rounding left over. Then round(0.299 R + 0.587 G + 0.114 B) is the source's luma at every pixel, 8 bit and
16 bit, and Pillow's `convert("L")` gives an 8-bit source back.

Work goes in strips of rows: memory grows with the width of the picture and not with its height.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from photochrom.worker.photo.base.colorspace import G_FROM_U, G_FROM_V, U_SCALE, V_SCALE

STRIP_ROWS = 64

BLOCK_PIXELS = 2**15
"""So many pixels, and less than twice as many, are computed at once: few enough for the processor's caches, and enough
to be worth the calls, each of which gives the interpreter's lock up and waits for it again."""

BLOCK_COLUMNS = 128
"""Chroma is widened to so many columns at once: nearly all of the matrix that does it is zero, and left out."""

BLOCK_PRODUCTS = 2**17
"""Multiplications in a matrix product. OpenBLAS spreads 2**18 and more over threads, which wait for one another
spinning: on busy cores that took 0.2 to 0.7 s for 12 MP, in place of 0.01 s."""

_TINY = np.float32(1e-9)


def join(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Luma (h, w) uint8 or uint16 and chroma (2, h', w') in -0.5..0.5, of any size, to RGB (h, w, 3), luma's dtype.

    The chroma is brought to the photograph's size by cubic interpolation.
    """
    return np.concatenate(list(strips(luma, chroma)))


def strips(luma: np.ndarray, chroma: np.ndarray) -> Iterator[np.ndarray]:
    """The same in strips (rows, w, 3) from top to bottom, each but the last of STRIP_ROWS rows."""
    height, width = luma.shape
    wide = _widened(chroma.astype(np.float32, copy=False), width)
    for top in range(0, height, STRIP_ROWS):
        strip = luma[top : top + STRIP_ROWS]
        weights = resampling(wide.shape[1], top, top + len(strip), height)
        rgb = np.empty((*strip.shape, 3), luma.dtype)
        for rows in _blocks(len(strip), BLOCK_PIXELS // width):
            u, v = _product(weights[rows], wide)
            _join(strip[rows], u, v, rgb[rows])
        yield rgb


def _widened(planes: np.ndarray, width: int) -> np.ndarray:
    """Planes (2, h', w') to (2, h', width)."""
    wide = np.empty((*planes.shape[:2], width), np.float32)
    for columns in _blocks(width, BLOCK_COLUMNS):
        weights = resampling(planes.shape[2], columns.start, columns.stop, width)
        used = _used(weights)
        wide[..., columns] = planes[..., used] @ weights[:, used].T
    return wide


def _product(weights: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Weights (rows, h') times planes (2, h', w): only the few rows of the planes that count are touched."""
    used = _used(weights)
    product = np.empty((2, len(weights), planes.shape[2]), np.float32)
    for rows in _blocks(len(weights), BLOCK_PRODUCTS // planes[0, used].size):
        np.matmul(weights[rows, used], planes[:, used], out=product[:, rows])
    return product


def _used(weights: np.ndarray) -> slice:
    """The columns before and behind which there are only zeros."""
    used = np.flatnonzero(weights.any(axis=0))
    return slice(used[0], used[-1] + 1)


def _blocks(total: int, least: int) -> Iterator[slice]:
    """All of `total` in blocks of at least `least`, or 2, and less than twice as many.

    None is of one row or column alone: BLAS goes another way with these, and rounds differently on it.
    """
    count = max(1, total // max(2, least))
    for number in range(count):
        yield slice(total * number // count, total * (number + 1) // count)


def resampling(source: int, start: int, stop: int, target: int) -> np.ndarray:
    """Rows start..stop of the matrix (target, source), float32, that resamples `source` samples to `target`.

    Catmull-Rom interpolation between sample centres; widened to an antialiasing filter where the target is smaller.
    """
    scale = source / target
    centers = (np.arange(start, stop) + 0.5) * scale - 0.5
    distance = np.abs(centers[:, None] - np.arange(source)) / max(1.0, scale)
    weights = np.where(
        distance < 1,
        (1.5 * distance - 2.5) * distance**2 + 1,
        np.where(distance < 2, ((-0.5 * distance + 2.5) * distance - 4) * distance + 2, 0),
    )
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def join_pixels(luma: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Luma, uint8 or uint16, and chroma in -0.5..0.5, all of one shape, to RGB of shape (..., 3), luma's dtype."""
    rgb = np.empty((*luma.shape, 3), luma.dtype)
    row = (1, luma.size)
    _join(luma.reshape(row), u.reshape(row), v.reshape(row), rgb.reshape(*row, 3))
    return rgb


def _join(luma: np.ndarray, u: np.ndarray, v: np.ndarray, rgb: np.ndarray) -> None:
    """Luma, u and v (rows, columns) to `rgb` (rows, columns, 3), contiguous; few planes, each used again and again."""
    top = float(np.iinfo(luma.dtype).max)
    red, green, blue = V_SCALE * top * v, G_FROM_U * top * u, U_SCALE * top * u
    most, least = np.empty_like(red), np.empty_like(red)
    green += np.multiply(v, G_FROM_V * top, out=most)
    np.maximum(np.maximum(red, green, out=most), blue, out=most)
    np.minimum(np.minimum(red, green, out=least), blue, out=least)
    # numpy is twice as fast with both limits as `maximum` is with one number
    np.clip(most, _TINY, np.inf, out=most)
    np.clip(least, -np.inf, -_TINY, out=least)
    # 1000 * 65535 does not fit into float32's 24 bits
    exact = np.result_type(red, np.float32 if luma.dtype == np.uint8 else np.float64)
    y, most, least, red, blue = (plane.astype(exact, copy=False) for plane in (luma, most, least, red, blue))
    # the scale's negative: so nothing has to change its sign on the way
    scale = y - top
    scale /= most
    np.maximum(scale, np.divide(y, least, out=least), out=scale)
    np.clip(scale, -1, 0, out=scale)
    for plane in (red, blue):
        plane *= scale
        np.rint(np.subtract(y, plane, out=plane), out=plane)
    green = np.multiply(y, 1000, out=y)
    green -= np.multiply(red, 299, out=scale)
    green -= np.multiply(blue, 114, out=scale)
    green /= 587
    np.rint(green, out=green)
    cv2.merge([plane.astype(luma.dtype) for plane in (red, green, blue)], rgb)
