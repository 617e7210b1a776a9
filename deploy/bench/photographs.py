"""Photographs to measure with: generated ones of stated sizes, or the user's own."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from photochrom.worker.errors import UsageError
from photochrom.worker.formats import SUFFIXES

JPEG_MEGAPIXELS = (1.0, 12.0, 24.0)
TIFF_MEGAPIXELS = (12.0,)
"""Sizes of the gray JPEG and of the 16-bit gray TIFF that are measured by default."""

GRAIN = 5
"""Standard deviation of the film grain, in levels of 8 bits: a JPEG of it has 0.23 bytes a pixel."""


class Sample(NamedTuple):
    """A photograph's suffix, such as ".jpg", and its encoded bytes."""

    suffix: str
    data: bytes


class Kind(NamedTuple):
    """Photographs that are measured together, under one name."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def mean_bytes(self) -> float:
        return sum(len(sample.data) for sample in self.samples) / len(self.samples)


def generated(jpeg: Iterable[float] = JPEG_MEGAPIXELS, tiff: Iterable[float] = TIFF_MEGAPIXELS) -> list[Kind]:
    """Gray JPEG and 16-bit gray TIFF of so many megapixels each."""
    return [
        *(Kind(f"{size:g} MP JPEG", (Sample(".jpg", gray_jpeg(size)),)) for size in jpeg),
        *(Kind(f"{size:g} MP TIFF, 16 bit", (Sample(".tif", gray_tiff(size)),)) for size in tiff),
    ]


def own(paths: Iterable[Path]) -> Kind:
    """Files, and the photographs in folders. Raises UsageError for what is not there, and for no photograph at all."""
    samples = []
    for path in _files(paths):
        try:
            samples.append(Sample(path.suffix, path.read_bytes()))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if not samples:
        raise UsageError(f"no photographs there ({', '.join(SUFFIXES)})")
    return Kind("1 file of your own" if len(samples) == 1 else f"{len(samples)} files of your own", tuple(samples))


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from (file for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES)
        else:
            yield path


def gray_jpeg(megapixels: float) -> bytes:
    """A gray JPEG, 4 : 3, of large shapes with film grain on them, at quality 90. The same bytes every time."""
    encoded = io.BytesIO()
    Image.fromarray(np.clip(_tones(megapixels), 0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def gray_tiff(megapixels: float) -> bytes:
    """The same picture in 16 bits, as an uncompressed TIFF."""
    encoded = io.BytesIO()
    Image.fromarray(np.clip(_tones(megapixels) * 257, 0, 65535).astype(np.uint16)).save(encoded, "TIFF")
    return encoded.getvalue()


def _tones(megapixels: float) -> np.ndarray:
    """float32 (h, w), about 0..255."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    rng = np.random.default_rng(0)
    shapes = Image.fromarray(rng.integers(20, 236, (12, 16), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    tones = rng.normal(0, GRAIN, (height, width)).astype(np.float32)
    tones += np.asarray(shapes)
    return tones
