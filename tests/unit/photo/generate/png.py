"""PNGs of every kind, chunk by chunk: Pillow writes few of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
_SAMPLES = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}

_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Adam7: first row, first column, and the steps from there."""


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    samples: np.ndarray, depth: int, color: int, chunks: bytes = b"", interlaced: bool = False, pieces: int = 1
) -> bytes:
    """A file of integer samples (h, w) or (h, w, n) of `depth` bits; `chunks` come before the picture."""
    height, width = samples.shape[:2]
    planes = samples.reshape(height, width, _SAMPLES[color])
    passes = [planes[top::down, left::right] for top, left, down, right in _PASSES] if interlaced else [planes]
    stream = zlib.compress(b"".join(_rows(part, depth) for part in passes if part.size))
    size = -(-len(stream) // pieces)
    body = b"".join(chunk(b"IDAT", stream[start : start + size]) for start in range(0, len(stream), size))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    return SIGNATURE + chunk(b"IHDR", header) + chunks + body + chunk(b"IEND", b"")


def claim(width: int, height: int, depth: int = 8, color: int = GRAY) -> bytes:
    """A file that claims to be of some size and has not one pixel."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def random_png(
    color: int,
    depth: int,
    height: int = 21,
    width: int = 13,
    seed: int = 0,
    chunks: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """A file of noise; one with a palette has it in it."""
    samples = np.random.default_rng(seed).integers(0, 2**depth, (height, width, _SAMPLES[color]))
    palette = chunk(b"PLTE", bytes(np.random.default_rng(seed + 1).integers(0, 256, 3 * 2**depth, np.uint8)))
    return png(samples, depth, color, (palette if color == PALETTE else b"") + chunks, interlaced)


def _rows(planes: np.ndarray, depth: int) -> bytes:
    """Each row behind the filter type "none"."""
    rows = planes.reshape(planes.shape[0], -1)
    return b"".join(b"\0" + _packed(row, depth) for row in rows)


def _packed(row: np.ndarray, depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :]
    return np.packbits(bits).tobytes()


KINDS: dict[str, Callable[[], bytes]] = {
    **{f"gray {depth}": lambda depth=depth: random_png(GRAY, depth) for depth in (1, 2, 4, 8, 16)},  # type: ignore[misc]
    **{f"palette {depth}": lambda depth=depth: random_png(PALETTE, depth) for depth in (1, 2, 4, 8)},  # type: ignore[misc]
    **{f"gray alpha {depth}": lambda depth=depth: random_png(GRAY_ALPHA, depth) for depth in (8, 16)},  # type: ignore[misc]
    **{f"rgb {depth}": lambda depth=depth: random_png(RGB, depth) for depth in (8, 16)},  # type: ignore[misc]
    **{f"rgba {depth}": lambda depth=depth: random_png(RGBA, depth) for depth in (8, 16)},  # type: ignore[misc]
    "gray 8, interlaced": lambda: random_png(GRAY, 8, interlaced=True),
    "rgb 16, interlaced": lambda: random_png(RGB, 16, interlaced=True),
    "gray 2, interlaced": lambda: random_png(GRAY, 2, interlaced=True),
    "gray 8, one transparent": lambda: random_png(GRAY, 8, chunks=chunk(b"tRNS", struct.pack(">H", 7))),
    "gray 4, one transparent": lambda: random_png(GRAY, 4, chunks=chunk(b"tRNS", struct.pack(">H", 7))),
    "gray 16, one transparent": lambda: random_png(GRAY, 16, chunks=chunk(b"tRNS", struct.pack(">H", 777))),
    "palette 8, transparent": lambda: random_png(PALETTE, 8, chunks=chunk(b"tRNS", bytes(range(0, 250, 10)))),
}
"""A file of each kind by its name."""
