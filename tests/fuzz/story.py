"""What is done to each file: the worker's own story, with a model that needs no time."""

from __future__ import annotations

import io
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np

MOST_PIXELS = 2_000_000
"""So few that an honest claim of so many is decoded well within the limits of time and memory."""


WISHES: tuple[tuple[Any, Any], ...] = (
    *[(None, "archive")] * 14,
    *[("png", "archive"), ("tiff", "archive"), ("jpeg", "archive"), (None, "reencode"), (None, "compatible")],
)
"""Format and JPEG profile that are asked for; the file's checksum chooses, so that it is always the same.

Where jpegtran is not installed nobody can ask for "compatible": that is "archive" then.
"""


class Tint:
    """In place of the model: bluish everywhere, from a gray copy of at most 8 x 8."""

    card = SimpleNamespace(name="tint", sha256="5" * 64)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """As an engine has it."""
        return min(height, 8), min(width, 8)

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        """As an engine has it: float32 (2, h, w)."""
        return np.stack([np.full(gray.shape, 0.1), np.full(gray.shape, -0.05)]).astype(np.float32)


def colour(data: bytes) -> bytes:
    """The coloured file: mostly of the source's own format and in the default profile. Raises what the story raises."""
    from photochrom.worker.coloring.colorize import colorize_file  # not above: torch is only loaded where it is needed
    from photochrom.worker.photo.base.options import Options
    from photochrom.worker.photo.jpeg import jpegtran
    from photochrom.worker.settings import Settings

    engine: Any = Tint()
    format, profile = WISHES[zlib.crc32(data) % len(WISHES)]
    options = Options(format, profile if jpegtran.is_there() else profile.replace("compatible", "archive"))
    return colorize_file(io.BytesIO(data), engine, Settings(max_pixels=MOST_PIXELS), options).body.read()


def restore(data: bytes) -> bytes:
    """The original that a coloured file keeps. Raises whatever that raises."""
    from photochrom.worker.photo.base.limits import Limits
    from photochrom.worker.photo.jpeg import kept

    return kept.restore(data, Limits(pixels=MOST_PIXELS))


def way_of(kind: str, data: bytes) -> bytes:
    """The story of a file of some kind: a coloured one is restored, all others are coloured."""
    return restore(data) if kind == "archived" else colour(data)
