"""Join chroma to a photograph's own luma, so that the luma comes back exactly.

The rule: scale the chroma of a pixel until red, green and blue all fit, never clip; round red and blue, and let green
take up what rounding left over. Then round(0.299 R + 0.587 G + 0.114 B) is the source's luma at every pixel, 8 bit and
16 bit, and Pillow's `convert("L")` gives an 8-bit source back.

Work goes in strips of rows: memory grows with the width of the picture and not with its height.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worker.models.color import G_FROM_U, G_FROM_V, U_SCALE, V_SCALE

STRIP_ROWS = 64

_TINY = np.float32(1e-9)


def join(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Luma (h, w) uint8 or uint16 and chroma (2, h', w') in -0.5..0.5, of any size, to RGB (h, w, 3), luma's dtype.

    The chroma is brought to the photograph's size by cubic interpolation.
    """
    return np.concatenate(list(strips(luma, chroma)))


def strips(luma: np.ndarray, chroma: np.ndarray) -> Iterator[np.ndarray]:
    """The same in strips (rows, w, 3) from top to bottom, each but the last of STRIP_ROWS rows."""
    height, width = luma.shape
    wide = chroma.astype(np.float32) @ resampling(chroma.shape[2], 0, width, width).T
    for top in range(0, height, STRIP_ROWS):
        bottom = min(top + STRIP_ROWS, height)
        u, v = _rows(wide, top, bottom, height)
        yield join_pixels(luma[top:bottom], u, v)


def _rows(wide: np.ndarray, top: int, bottom: int, height: int) -> np.ndarray:
    """Rows top..bottom, of `height`, of planes (2, h', width): only the few source rows that count are touched."""
    weights = resampling(wide.shape[1], top, bottom, height)
    used = np.flatnonzero(weights.any(axis=0))
    first, last = used[0], used[-1] + 1
    return weights[:, first:last] @ wide[:, first:last]


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
    top = float(np.iinfo(luma.dtype).max)
    # 1000 * 65535 does not fit into float32's 24 bits
    y: np.ndarray = luma.astype(np.float32 if luma.dtype == np.uint8 else np.float64)
    red, green, blue = V_SCALE * top * v, G_FROM_U * top * u + G_FROM_V * top * v, U_SCALE * top * u
    most = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    scale = np.minimum((top - y) / np.maximum(most, _TINY), y / np.maximum(-least, _TINY))
    np.minimum(scale, 1, out=scale)
    red, blue = np.rint(y + scale * red), np.rint(y + scale * blue)
    green = np.rint((1000 * y - 299 * red - 114 * blue) / 587)
    return np.stack([red, green, blue], axis=-1).astype(luma.dtype)
