"""Photographs to show training with: crops of the free sample photographs, and others of them to judge by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from photochrom.deploy.demo.samples import encoded, samples

TRAINING_SHARE = 0.6
"""Of a photograph's width, from the left; what lies right of it is judged by. No crop has a pixel of both."""

CROPS = 45
CROP_SIDES = (96, 192)  # pixels
TILE = 80  # pixels
SEED = 0


class Crop(NamedTuple):
    """A part of a sample photograph, as JPEG in colour."""

    key: str
    data: bytes


def training_crops() -> Iterator[Crop]:
    """Random squares of the left parts of all sample photographs in colour."""
    random = np.random.default_rng(SEED)
    for name, picture in _in_colour():
        right = round(picture.width * TRAINING_SHARE)
        for number in range(CROPS):
            side = min(int(random.integers(*CROP_SIDES)), right, picture.height)
            left, top = random.integers(right - side + 1), random.integers(picture.height - side + 1)
            yield Crop(f"{name}-{number:02d}.jpg", _cut(picture, int(left), int(top), side))


def judged_tiles() -> Iterator[Crop]:
    """Squares side by side that cover the right parts."""
    for name, picture in _in_colour():
        first = round(picture.width * TRAINING_SHARE)
        for left in range(first, picture.width - TILE + 1, TILE):
            for top in range(0, picture.height - TILE + 1, TILE):
                yield Crop(f"{name}-{left}-{top}.jpg", _cut(picture, left, top, TILE))


def _in_colour() -> Iterator[tuple[str, Image.Image]]:
    for sample, picture in samples():
        if picture.mode == "RGB":
            yield sample.key.partition(".")[0], picture


def _cut(picture: Image.Image, left: int, top: int, side: int) -> bytes:
    return encoded(picture.crop((left, top, left + side, top + side)), "JPEG")
