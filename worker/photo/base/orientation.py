"""EXIF orientation (tag 274): the network sees every photograph upright, the stored pixels stay where they are."""

from __future__ import annotations

import numpy as np

UPRIGHT = 1
TAG = 274

# orientation: (transpose, then flip rows, then flip columns) makes it upright
_STEPS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def upright(planes: np.ndarray, orientation: int) -> np.ndarray:
    """Planes (..., h, w) as stored, to planes as they are to be seen; an unknown orientation means 1. A view."""
    transpose, rows, columns = _STEPS.get(orientation, _STEPS[UPRIGHT])
    turned = planes.swapaxes(-1, -2) if transpose else planes
    return turned[..., :: -1 if rows else 1, :: -1 if columns else 1]


def as_stored(planes: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of `upright`."""
    transpose, rows, columns = _STEPS.get(orientation, _STEPS[UPRIGHT])
    flipped = planes[..., :: -1 if rows else 1, :: -1 if columns else 1]
    return flipped.swapaxes(-1, -2) if transpose else flipped
