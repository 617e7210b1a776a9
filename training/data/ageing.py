"""Luma as from an old film: what scans of archives have and the photographs that one learns from have not.

The picture's own colours stay the truth; only what the network is shown ages. Each fault is mild, and rare.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def aged(gray: Image.Image, random: np.random.Generator) -> np.ndarray:
    """Luma (h, w) float32 in 0..1 of an 8-bit gray picture: softer, of another tone, grainy, faded, worn."""
    if random.random() < 0.2:
        gray = gray.filter(ImageFilter.BoxBlur(random.uniform(0.3, 1.2)))
    luma = (np.asarray(gray, dtype=np.float32) / 255) ** random.uniform(0.75, 1.35)
    low, high = random.uniform(0, 0.06), random.uniform(0.92, 1)
    luma = low + (high - low) * luma
    if random.random() < 0.3:
        luma = luma + random.normal(0, random.uniform(0.005, 0.03), luma.shape)
    for share, fault in FAULTS:
        if random.random() < share:
            luma = fault(luma, random)
    return np.clip(luma, 0, 1).astype(np.float32)


def faded(luma: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A print that has lost its blacks, or its whites, or some of both."""
    low, high = random.uniform(0, 0.25), random.uniform(0.7, 1)
    return low + (high - low) * luma


def vignetted(luma: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A lens that darkens the corners, by up to 40 %, about a centre that need not be the crop's."""
    height, width = luma.shape
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    centre_y, centre_x = random.uniform(-0.4, 0.4, 2)
    distance = ((y - centre_y) ** 2 + (x - centre_x) ** 2) / 2
    return luma * (1 - random.uniform(0.1, 0.4) * np.minimum(distance, 1))


def film_grain(luma: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Grain of 1.5 to 3 pixels, strongest in the middle tones, as scanned silver has it."""
    height, width = luma.shape
    size = random.uniform(1.5, 3)
    coarse = random.normal(0, random.uniform(0.02, 0.06), (max(2, round(height / size)), max(2, round(width / size))))
    grain = Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    clipped = np.clip(luma, 0, 1)
    return luma + np.asarray(grain) * (0.3 + 2.8 * clipped * (1 - clipped))


def worn(luma: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A few specks of dust and one or two scratches, black or white, along the film's way: up and down, or across."""
    height, width = luma.shape
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    for _ in range(random.integers(2, 9)):
        x, y, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(0.4, 0.012 * width + 0.5)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(random.integers(80, 256)))
    for _ in range(random.integers(0, 3)):
        start, lean = random.uniform(0, width), random.uniform(-0.04, 0.04) * width
        draw.line((start, 0, start + lean, height), fill=int(random.integers(50, 180)))
    covered = np.asarray(mask, dtype=np.float32) / 255
    if random.random() < 0.3 and height == width:
        covered = covered.T
    return luma + covered * (random.choice([0.03, 0.97]) - luma)


FAULTS: tuple[tuple[float, Callable[[np.ndarray, np.random.Generator], np.ndarray]], ...] = (
    (0.1, vignetted),
    (0.1, film_grain),
    (0.1, faded),
    (0.08, worn),
)
"""Share of the crops, and what befalls them, in the order in which it befell the film."""
