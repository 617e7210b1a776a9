"""From a PNG's samples to luma and alpha: palette, transparent colour, alpha channel (W3C PNG, 11.2.2 and 11.3.1)."""

from __future__ import annotations

import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.samples import luma_of, replicated
from photochrom.worker.photo.png.rows import GRAY, GRAY_ALPHA, PALETTE, RGB, RGBA, Header


class Tones:
    """How one file's samples become luma and alpha of `dtype`: uint8 for at most 8 bits, else uint16."""

    def __init__(self, header: Header, palette: bytes, transparency: bytes) -> None:
        """`palette` and `transparency` are what PLTE and tRNS hold. Raises ImageFault ("damaged")."""
        self.dtype: np.dtype = np.dtype(np.uint16 if header.depth == 16 else np.uint8)
        self._opaque = 65535 if header.depth == 16 else 255
        self._depth, self._colour = header.depth, header.colour
        self._palette: np.ndarray | None = None
        self._opacity: np.ndarray | None = None
        if header.colour == PALETTE:
            self._palette, self._opacity = _tables(palette, transparency)
        self._key = _key(header, transparency)

    @property
    def has_alpha(self) -> bool:
        """Whether there is any transparency."""
        return self._colour in (GRAY_ALPHA, RGBA) or self._key is not None or self._opacity is not None

    def luma(self, samples: np.ndarray) -> np.ndarray:
        """Luma (rows, columns) of samples (rows, columns, channels)."""
        if self._palette is not None:
            return self._palette[samples[..., 0]]
        if self._colour in (RGB, RGBA):
            return luma_of(np.ascontiguousarray(samples))
        return replicated(samples[..., 0], self._depth)

    def alpha(self, samples: np.ndarray) -> np.ndarray:
        """Alpha (rows, columns), where there is any."""
        if self._opacity is not None:
            return self._opacity[samples[..., 0]]
        if self._key is not None:
            return np.where((samples == self._key).all(axis=-1), 0, self._opaque).astype(self.dtype)
        return samples[..., -1]


def _tables(palette: bytes, transparency: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Luma and opacity of each index. One without an entry is black, as decoders have it, though it should not be."""
    if not palette or len(palette) % 3 or len(palette) > 3 * 256:
        raise ImageFault("damaged", "the PNG has no palette, or an impossible one")
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette) // 3] = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    opacity = np.full(256, 255, np.uint8)
    opacity[: len(transparency)] = np.frombuffer(transparency[:256], np.uint8)
    return luma_of(colours[None])[0], opacity if transparency else None


def _key(header: Header, transparency: bytes) -> np.ndarray | None:
    """The samples of the one colour that is transparent, if there is one."""
    if header.colour not in (GRAY, RGB) or len(transparency) != 2 * header.channels:
        return None
    return np.frombuffer(transparency, ">u2") & np.uint16(2**header.depth - 1)
