"""A page of a photograph as other decoders than the writer's see it, and what goes with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np

from photochrom.worker.errors import ImageFault

MOST_PIXELS = 300_000_000
"""Of a page, where the caller says nothing else."""

Space = Literal["gray", "rgb", "ycc"]

Tags = dict[tuple[str, int], Any]
"""Values of TIFF and EXIF tags by (directory, tag); see `photochrom.worker.verify.tags`."""


def check_size(width: int, height: int, most_pixels: int) -> None:
    """Before a page is decoded. Raises ImageFault ("too-many-pixels")."""
    if width * height > most_pixels:
        raise ImageFault("too-many-pixels", f"{width} x {height} pixels are more than the limit of {most_pixels:,}")


class Resolution(NamedTuple):
    """Dots per inch, more than 0. `step` is one dot of the unit of which a file can state whole dots only, or None."""

    across: Fraction
    down: Fraction
    step: Fraction | None = None


@dataclass(frozen=True)
class Says:
    """What a page says beside its pixels. All may be empty."""

    tags: Tags = field(default_factory=dict)
    xmp: bytes = b""
    extended_xmp: bytes = b""
    iptc: bytes = b""
    photoshop: bytes = b""
    icc: bytes = b""
    dpi: Resolution | None = None
    comments: tuple[tuple[str, str], ...] = ()
    orientation: int = 1


@dataclass(frozen=True)
class Page:
    """`samples` are uint8 or uint16, (h, w) where `space` is "gray", else (h, w, 3); `alpha` (h, w) or None.

    `bits` is what the file has for a sample; fewer than 8 were brought to 8 and 9..15 to 16 by repeating bits.
    `luma_again` is the luma (h, w) by a second decoder, or None if that cannot decode it or
    there is no second. `lossy` is the most that the root mean square error of 8-bit
    luma can be by the file's own quantisation, and 0 where nothing is quantised.
    """

    samples: np.ndarray
    space: Space
    bits: int
    alpha: np.ndarray | None = None
    luma_again: np.ndarray | None = None
    lossy: float = 0.0
    says: Says = field(default_factory=Says)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.samples.shape[1], self.samples.shape[0]

    @property
    def depth(self) -> int:
        """8 or 16: what a file needs to hold the samples."""
        return self.samples.dtype.itemsize * 8


def widened(samples: np.ndarray, bits: int) -> np.ndarray:
    """Unsigned samples of 1..16 bits as uint8 (up to 8 bits) or uint16, their bits repeated until all are filled."""
    if bits in (8, 16):
        return samples
    target = 8 if bits < 8 else 16
    wide: np.ndarray = samples.astype(np.uint32)
    filled, value = bits, wide
    while filled < target:
        value = value << bits | wide
        filled += bits
    return (value >> (filled - target)).astype(np.uint8 if target == 8 else np.uint16)
