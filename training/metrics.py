"""How near a coloured photograph is to the truth. All of it on RGB uint8 arrays of shape (h, w, 3).

Plain gray scores about 22 dB of PSNR, so no figure here means much alone: read the three of them side by side.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

MEASURES = ("psnr", "ciede2000", "colourfulness")


class Scores(NamedTuple):
    psnr: float
    """dB over R, G and B; higher is nearer."""
    ciede2000: float
    """Mean CIEDE2000 over the pixels (CIE 142-2001); lower is nearer, 1 is just visible."""
    colourfulness: float
    """Hasler and Suesstrunk of the result itself, not against the truth."""


def score(result: np.ndarray, truth: np.ndarray) -> Scores:
    """Measure `result` against `truth`, both RGB uint8 (h, w, 3)."""
    return scores([result], truth)[0]


def scores(results: Iterable[np.ndarray], truth: np.ndarray) -> list[Scores]:
    """`score` of several results against one truth, which is taken to Lab only once."""
    lab = rgb2lab(truth)
    return [Scores(psnr(result, truth), _mean_difference(lab, result), colourfulness(result)) for result in results]


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal to noise ratio in dB; identical pictures give 99, so that means stay finite."""
    error = np.mean((result.astype(np.float64) - truth) ** 2)
    return min(99.0, float(10 * np.log10(255**2 / error))) if error else 99.0


def ciede2000(result: np.ndarray, truth: np.ndarray) -> float:
    """Mean CIEDE2000 colour difference, sRGB under D65."""
    return _mean_difference(rgb2lab(truth), result)


def _mean_difference(lab: np.ndarray, result: np.ndarray) -> float:
    return float(np.mean(deltaE_ciede2000(lab, rgb2lab(result))))


def colourfulness(rgb: np.ndarray) -> float:
    """Hasler and Suesstrunk, "Measuring colourfulness in natural images" (2003), on 0..255; a gray picture has 0."""
    red, green, blue = (rgb[..., channel].astype(np.float64) for channel in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2))
