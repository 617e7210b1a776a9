"""How the pixels of a TIFF page are stored: the numbers of its samples, strips and tiles.

TIFF 6.0, sections 3 to 22; compression 8 is Adobe Photoshop's TIFF technical notes of 2002.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.tiff.directory import Field, Tiff

NONE, FAX_RLE, FAX_3, FAX_4, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 2, 3, 4, 5, 7, 8, 32946, 32773
FAX = (FAX_RLE, FAX_3, FAX_4)

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6

HORIZONTAL = 2
"""Predictor: each sample but a row's first is stored as its difference to the one before."""


class Cell(NamedTuple):
    """A place of the picture that one segment (planar: one of each plane) covers, without what juts out."""

    number: int
    top: int
    left: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Layout:
    """The stored form of one page, of `width` x `height` pixels.

    `samples` a pixel, of `bits` bits; `alpha` is the kind of the last one, if it is none of the colour (ExtraSamples:
    0 unspecified, 1 associated, 2 unassociated), or None. A segment, be it a strip or a tile, has
    `rows` x `columns`. With `planar`, the segments of the first sample come first, then those of the next.
    """

    width: int
    height: int
    bits: int
    samples: int
    alpha: int | None
    photometric: int
    planar: bool
    compression: int
    predictor: int
    bits_reversed: bool
    fax_options: int
    rows: int
    columns: int
    tiled: bool
    colour_map: Field | None
    tables: Field | None
    offsets: Field
    sizes: Field | None

    @property
    def may_be_deep(self) -> bool:
        """Whether luma may have 16 bits: a palette's entries can, whatever the bits of its indices."""
        return self.bits > 8 or self.photometric == PALETTE

    @property
    def together(self) -> int:
        """Samples of one pixel in one segment."""
        return 1 if self.planar else self.samples

    @property
    def row_size(self) -> int:
        """Bytes of a segment's row, unpacked."""
        return -(-self.columns * self.together * self.bits // 8)

    @property
    def across(self) -> int:
        """Segments beside one another."""
        return -(-self.width // self.columns)

    @property
    def in_plane(self) -> int:
        """Segments of a plane."""
        return self.across * -(-self.height // self.rows)

    @property
    def segments(self) -> int:
        """Segments of all planes."""
        return self.in_plane * (self.samples if self.planar else 1)

    def cells(self) -> Iterator[Cell]:
        """The places of the picture in the order of their segments."""
        for number in range(self.in_plane):
            top, left = number // self.across * self.rows, number % self.across * self.columns
            yield Cell(number, top, left, min(self.rows, self.height - top), min(self.columns, self.width - left))

    def places(self, tiff: Tiff) -> np.ndarray:
        """Offset and size of every segment, int64 (segments, 2). Raises ImageFault ("damaged") for one outside."""
        offsets = tiff.integers(self.offsets)[: self.segments]
        if self.sizes is None:
            sizes = np.full(1, self.rows * self.row_size)
        else:
            sizes = tiff.integers(self.sizes)[: self.segments]
        wrong = (offsets == 0) | (sizes == 0) | (offsets > tiff.size) | (sizes > tiff.size)
        places = np.stack([np.where(wrong, 0, offsets), np.where(wrong, 0, sizes)], axis=1).astype(np.int64)
        wrong |= places.sum(axis=1) > tiff.size
        if wrong.any():
            raise ImageFault("damaged", f"{np.count_nonzero(wrong):,} of {self.segments:,} strips or tiles are missing")
        return places
