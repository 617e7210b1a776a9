"""The photographs of a chaos run. Each says its number in its own pixels, and its colours follow from its pixels.

So a result tells by itself whether it is right, and if not, whether it belongs to another photograph.
"""

from __future__ import annotations

import hashlib
import io
import random
import struct
import zlib
from dataclasses import dataclass
from enum import Enum

import numpy as np
from PIL import Image

from photochrom.worker.photo.base import luma

SIDE, CELL = 32, 4
"""Pixels: a photograph of 8 x 8 cells, one bit each; the lower half repeats the upper one inverted."""

DARK, LIGHT, AMPLITUDE = 112, 144, 0.15
"""Gray levels of the bits, and the strongest chroma: together they stay inside RGB, so that no colour is weakened."""

KILLER = b"photochrom-chaos: whoever reads this dies"


class Kind(Enum):
    """What is in a file. The value is the reason with which it has to be quarantined."""

    GOOD = ""
    POISON = "poison"
    EMPTY = "empty"
    TEXT = "not-a-photograph"
    DAMAGED = "damaged"
    HUGE = "too-many-pixels"


BROKEN = (Kind.EMPTY, Kind.TEXT, Kind.DAMAGED, Kind.HUGE)


class Judgement(Enum):
    """What a result is to the photograph it should be of."""

    RIGHT = "right"
    WRONG = "wrong"
    MIXED_UP = "mixed up"


@dataclass(frozen=True)
class Picture:
    """One source file."""

    number: int
    kind: Kind

    @property
    def name(self) -> str:
        return f"{self.number % 100:02d}/{self.number:07d}.png"

    def data(self) -> bytes:
        """The file's bytes."""
        good = _png(gray(self.number))
        return {
            Kind.GOOD: good,
            Kind.POISON: good + KILLER,
            Kind.EMPTY: b"",
            Kind.TEXT: b"To whom it may concern: number %d is not a photograph." % self.number,
            Kind.DAMAGED: good[: good.index(b"IDAT") + 12],
            Kind.HUGE: _resized(good, 60_000),
        }[self.kind]


def plan(images: int, poison: int, broken: int, chance: random.Random) -> list[Picture]:
    """So many photographs, of which `poison` kill their reader and `broken` of each kind cannot be read."""
    bad = [Kind.POISON] * poison + list(BROKEN) * broken
    places = chance.sample(range(images), len(bad))
    kinds = dict(zip(places, bad, strict=True))
    return [Picture(number, kinds.get(number, Kind.GOOD)) for number in range(images)]


def gray(number: int) -> np.ndarray:
    """The photograph of a number, uint8 (SIDE, SIDE)."""
    bits = np.array([number >> place & 1 for place in range(32)], dtype=np.uint8)
    cells = np.concatenate([bits, 1 - bits]).reshape(SIDE // CELL, SIDE // CELL)
    return (DARK + (LIGHT - DARK) * cells).repeat(CELL, axis=0).repeat(CELL, axis=1).astype(np.uint8)


def number_of(pixels: np.ndarray) -> int | None:
    """Which photograph has this luma, uint8 (SIDE, SIDE); None for one that is none of ours."""
    cells = pixels[::CELL, ::CELL].ravel() > (DARK + LIGHT) // 2
    number = sum(int(bit) << place for place, bit in enumerate(cells[:32]))
    return number if np.array_equal(gray(number), pixels) else None


def chroma(pixels: np.ndarray) -> np.ndarray:
    """The chroma, float32 (2, 2, 2), that belongs to a gray picture and to no other."""
    digest = hashlib.sha256(pixels.tobytes()).digest()[:8]
    levels = np.frombuffer(digest, dtype=np.uint8).astype(np.float32) / 255
    return (AMPLITUDE * (2 * levels - 1)).reshape(2, 2, 2)


def judge(number: int, data: bytes) -> Judgement:
    """Whether a file is the right result for a photograph, or a wrong one, or another one's."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            rgb, found = np.asarray(image.convert("RGB")), np.asarray(image.convert("L"))
    except OSError:
        return Judgement.WRONG
    if found.shape != (SIDE, SIDE) or (shown := number_of(found)) is None:
        return Judgement.WRONG
    right = luma.join(found, chroma(found))
    return Judgement.RIGHT if shown == number and np.array_equal(rgb, right) else Judgement.MIXED_UP


def _png(pixels: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


def _resized(png: bytes, side: int) -> bytes:
    """The same file, saying that it is larger: the header begins at byte 12, with the sides at 16."""
    header = b"IHDR" + struct.pack(">II", side, side) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
