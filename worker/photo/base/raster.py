"""A decoded page of a photograph, as it is stored, and what goes with it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from photochrom.worker.photo.base import orientation
from photochrom.worker.photo.base.luma import STRIP_ROWS
from photochrom.worker.photo.base.resolution import Resolution


@dataclass(frozen=True)
class Metadata:
    """What a page says beside its pixels, in the form in which every format can carry it.

    `exif` is a TIFF block (its first bytes are "II" or "MM") without the tags that say how pixels are stored; a TIFF's
    own tags (description, artist, date) stand in it too. `xmp` is a packet, `iptc` IPTC-IIM records, `photoshop` image
    resources (which may hold records of their own), `icc` a profile for RGB, ready to be written. All may be empty.
    `dpi` is (across, down), exactly. `comments` are texts that stand apart from all of these: JPEG's COM, PNG's text
    chunks as (keyword, text).
    """

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    photoshop: bytes = b""
    icc: bytes = b""
    dpi: Resolution | None = None
    comments: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Raster:
    """A decoded page. `luma` is uint8 or uint16 (h, w), as stored; `alpha` likewise or None; `orientation` is EXIF's.

    `compression` is the TIFF compression to write it with again, where it was read from a TIFF: none, lzw, deflate or
    packbits.
    """

    luma: np.ndarray
    alpha: np.ndarray | None = None
    orientation: int = orientation.UPRIGHT
    metadata: Metadata = field(default_factory=Metadata)
    compression: str = "deflate"

    def gray(self, height: int, width: int) -> np.ndarray:
        """A small copy of the luma, upright, uint8 (height, width)."""
        size = (height, width) if self.is_turned else (width, height)
        times = max(1, min(self.luma.shape[1] // size[0], self.luma.shape[0] // size[1]) // 2)
        rows = times * max(1, STRIP_ROWS // times)
        strips = (_eight_bits(self.luma[top : top + rows]) for top in range(0, len(self.luma), rows))
        reduced = np.concatenate([np.asarray(Image.fromarray(strip).reduce(times)) for strip in strips])
        box = (0, 0, self.luma.shape[1] / times, self.luma.shape[0] / times)  # the last blocks may be partial ones
        small = np.asarray(Image.fromarray(reduced).resize(size, Image.Resampling.BICUBIC, box))
        return orientation.upright(small, self.orientation)

    @property
    def is_turned(self) -> bool:
        """Whether rows and columns change places when it is shown upright."""
        return self.orientation >= 5

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) as it is to be seen."""
        height, width = self.luma.shape
        return (width, height) if self.is_turned else (height, width)


def _eight_bits(luma: np.ndarray) -> np.ndarray:
    return luma if luma.dtype == np.uint8 else (luma >> 8).astype(np.uint8)
