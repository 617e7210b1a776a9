"""From stored samples to luma and alpha: TIFF 6.0's photometric interpretations, brought to 8 or 16 bits."""

from __future__ import annotations

import numpy as np

from photochrom.worker.photo.base.samples import luma_of, replicated
from photochrom.worker.photo.tiff.directory import Tiff
from photochrom.worker.photo.tiff.layout import MIN_IS_WHITE, PALETTE, RGB, Layout


class Tones:
    """How one page's samples become luma of `dtype`: uint8 for at most 8 bits, else uint16.

    Fewer bits are brought to the full range by repeating them; colours are added up after that.
    """

    def __init__(self, tiff: Tiff, layout: Layout) -> None:
        self._layout = layout
        self._palette = _palette(tiff, layout) if layout.photometric == PALETTE else None
        self.dtype = self._palette.dtype if self._palette is not None else np.dtype("u1" if layout.bits <= 8 else "u2")

    def luma(self, samples: np.ndarray) -> np.ndarray:
        """Luma (rows, columns) of stored samples (rows, columns, 1..4)."""
        if self._palette is not None:
            return self._palette[samples[..., 0]]
        if self._layout.photometric == RGB:
            return luma_of(replicated(np.ascontiguousarray(samples[..., :3]), self._layout.bits))
        luma = replicated(samples[..., 0], self._layout.bits)
        return ~luma if self._layout.photometric == MIN_IS_WHITE else luma

    def alpha(self, samples: np.ndarray) -> np.ndarray:
        """The sample beside the colour, (rows, columns)."""
        return replicated(samples[..., -1], self._layout.bits)


def _palette(tiff: Tiff, layout: Layout) -> np.ndarray:
    """The luma of each index (TIFF 6.0, section 5, ColorMap).

    Its values have 16 bits. Those of most files were made of 8, and mean these: v * 257 or v * 256; or, by mistake but
    often enough that libtiff looks for it too, v itself.
    """
    assert layout.colour_map is not None
    entries = tiff.integers(layout.colour_map).reshape(3, -1).T.astype(np.uint16)
    for divisor in (257, 256):
        if not (entries % divisor).any():
            return luma_of((entries // divisor).astype(np.uint8)[None])[0]
    if entries.max() < 256:
        return luma_of(entries.astype(np.uint8)[None])[0]
    return luma_of(entries[None])[0]
