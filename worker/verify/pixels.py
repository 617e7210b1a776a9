"""Comparisons of pixels: luma, size, depth, alpha, and whether there is colour at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from photochrom.worker.verify.finding import Finding
from photochrom.worker.verify.page import Page

ROWS = 256
"""Rows compared at once, so that memory beside the pictures stays small."""

_RED, _GREEN, _BLUE = 299, 587, 114

_MOST_OFF = 501
"""Thousandths of a level by which a rounded luma may be off: half a level, and what Pillow's fixed point adds to it."""

_ONE_LEVEL_OF_CHROMA = 1


def size(coloured: Page, original: Page) -> Finding:
    """Width and height in pixels."""
    (width, height), wanted = coloured.size, original.size
    detail = f"{width} x {height} pixels"
    return Finding("size", True, detail) if (width, height) == wanted else _not_as(detail, wanted)


def _not_as(detail: str, wanted: tuple[int, int]) -> Finding:
    return Finding("size", False, f"{detail}, the original has {wanted[0]} x {wanted[1]}")


def depth(coloured: Page, original: Page) -> Finding:
    """Bits a sample: 1 to 8 bits have their place in 8, 9 to 16 in 16; a palette counts by its colours."""
    detail = f"{coloured.bits} bits a sample, the original has {original.bits}"
    return Finding("depth", coloured.bits == coloured.depth >= original.depth, detail)


def luma(coloured: Page, original: Page, how: str) -> Finding:
    """Luma of every pixel, which is exactly the original's unless the file says that it was encoded anew."""
    if coloured.size != original.size:
        return Finding("luma", False, "the pictures have different sizes")
    if how == "reencoded" and coloured.lossy:
        return _luma_within(coloured, original)
    if coloured.depth != original.depth:
        return Finding("luma", False, f"{original.depth} bits cannot be exact in {coloured.depth}")
    if coloured.space == "ycc" and coloured.luma_again is None:
        return Finding("luma", False, "OpenCV cannot decode the coloured file")
    wrong, worst = 0, 0.0
    for rows in _strips(coloured):
        off = _off(coloured, original, rows)
        wrong += int((off > 0).sum())
        worst = max(worst, float(off.max()))
    pixels = coloured.size[0] * coloured.size[1]
    if wrong:
        return Finding("luma", False, f"{wrong:,} of {pixels:,} pixels differ, by up to {worst:.0f} levels")
    return Finding("luma", True, f"all {pixels:,} pixels are the same, by {_decoders(coloured)}")


_ROOM = 1 / 8
"""Share of the range next to black and to white where a picture need not have any colour."""


def colour(coloured: Page, original: Page) -> Finding:
    """Whether any pixel has a colour; next to black and white there is no room for one."""
    coloureds = total = 0
    between = False
    for rows in _strips(coloured):
        difference = _chroma(coloured, rows)
        coloureds += int((difference > _ONE_LEVEL_OF_CHROMA).sum())
        total += difference.size
        strip, top = luma_of(original, rows), np.iinfo(original.samples.dtype).max
        between = between or bool(((strip > _ROOM * top) & (strip < (1 - _ROOM) * top)).any())
    if not coloureds and not between:
        return Finding("colour", None, "a picture of black and white alone takes none")
    return Finding("colour", coloureds > 0, f"{100 * coloureds / total:.1f} % of the pixels have colour")


def alpha(coloured: Page, original: Page) -> Finding:
    """Alpha, which is to be the original's bit for bit."""
    if original.alpha is None and coloured.alpha is None:
        return Finding("alpha", None, "neither file has any")
    if original.alpha is None or coloured.alpha is None:
        return Finding("alpha", False, f"only the {'coloured file' if original.alpha is None else 'original'} has any")
    same = coloured.alpha.dtype == original.alpha.dtype and np.array_equal(coloured.alpha, original.alpha)
    return Finding("alpha", bool(same), "bit for bit the same" if same else "it differs")


def luma_of(page: Page, rows: slice) -> np.ndarray:
    """Luma of some rows, int32 at the page's depth: as it stands, or round(0.299 R + 0.587 G + 0.114 B)."""
    strip = page.samples[rows]
    if page.space == "rgb":
        return (_weighted(strip) + 500) // 1000
    return (strip if page.space == "gray" else strip[..., 0]).astype(np.int32)


def _weighted(rgb: np.ndarray) -> np.ndarray:
    """A thousand times the luma, int32: 65,535,000 fits."""
    return rgb.astype(np.int32) @ np.array([_RED, _GREEN, _BLUE], np.int32)


def _off(coloured: Page, original: Page, rows: slice) -> np.ndarray:
    """By how many levels each pixel's luma is wrong, at least 1 where it is, for all decoders at hand."""
    found = luma_of(coloured, rows)
    if original.space == "rgb":  # gray made of colours is rounded, and .5 goes either way
        off = abs(1000 * found - _weighted(original.samples[rows]))
        wrong = np.where(off > _MOST_OFF, np.maximum(1, off // 1000), 0)
    else:
        wrong = abs(found - luma_of(original, rows))
    again, before = coloured.luma_again, original.luma_again
    if again is not None:
        expected = found if before is None else before[rows].astype(np.int32)
        wrong = np.maximum(wrong, abs(again[rows].astype(np.int32) - expected))
    return wrong


def _luma_within(coloured: Page, original: Page) -> Finding:
    """Root mean square error at 8 bits against what the file's own quantisation can have done."""
    to_levels = [255 / np.iinfo(page.samples.dtype).max for page in (coloured, original)]
    total = 0.0
    for rows in _strips(coloured):
        found, wanted = (
            luma_of(page, rows) * scale for page, scale in zip((coloured, original), to_levels, strict=True)
        )
        total += float(((found - wanted) ** 2).sum())
    error = (total / (coloured.size[0] * coloured.size[1])) ** 0.5
    detail = f"encoded anew: {error:.2f} levels off (root mean square), its quantisation allows {coloured.lossy:.2f}"
    return Finding("luma", error <= coloured.lossy, detail)


def _chroma(page: Page, rows: slice) -> np.ndarray:
    """How far each pixel is from gray, in levels."""
    strip = page.samples[rows].astype(np.int32)
    if page.space == "gray":
        return np.zeros(strip.shape, np.int32)
    return abs(strip[..., 1:] - 128).max(axis=-1) if page.space == "ycc" else np.ptp(strip, axis=-1)


def _strips(page: Page) -> Iterator[slice]:
    return (slice(top, top + ROWS) for top in range(0, page.samples.shape[0], ROWS))


def _decoders(page: Page) -> str:
    return "libjpeg and OpenCV" if page.luma_again is not None else "another decoder"
