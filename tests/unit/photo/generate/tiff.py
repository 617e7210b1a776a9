"""TIFFs of every kind, by tifffile; and entry by entry what it would never write."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile


def tiff(*pages: np.ndarray, byteorder: str = "<", big: bool = False, **options: Any) -> bytes:
    """A file of these pages, which tifffile writes with the same options each."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=byteorder, bigtiff=big) as writer:  # type: ignore[arg-type]
        for page in pages:
            writer.write(page, contiguous=False, metadata=None, software=False, **options)
    return file.getvalue()


def noise(*shape: int, bits: int = 8, seed: int = 0) -> np.ndarray:
    """Integers of so many bits, in the smallest type that holds them."""
    return np.random.default_rng(seed).integers(0, 2**bits, shape).astype(np.uint8 if bits <= 8 else np.uint16)


def by_hand(entries: list[tuple[int, int, int, int]], body: bytes = b"", order: str = "<", following: int = 0) -> bytes:
    """A file of one directory of (tag, type, count, value or offset) entries, as they are given; `body` lies behind.

    An offset of -1 stands for the place of the body.
    """
    behind = 8 + 2 + 12 * len(entries) + 4
    directory = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        placed = behind if value == -1 else value
        stored = struct.pack(order + "HH", placed, 0) if kind == 3 and count == 1 else struct.pack(order + "I", placed)
        directory += struct.pack(order + "HHI", tag, kind, count) + stored
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + directory + struct.pack(order + "I", following) + body


def plain_entries(width: int = 5, height: int = 4, **changed: int) -> list[tuple[int, int, int, int]]:
    """What an uncompressed 8-bit gray page needs; `changed` are other values, by the name of the tag."""
    fields = {"width": (256, 4, width), "height": (257, 4, height), "bits": (258, 3, 8), "compression": (259, 3, 1)}
    fields |= {"photometric": (262, 3, 1), "offset": (273, 4, -1), "samples": (277, 3, 1), "rows": (278, 4, height)}
    fields |= {"size": (279, 4, width * height)}
    return [(tag, kind, 1, changed.get(name, value)) for name, (tag, kind, value) in fields.items()]


def plain_tiff(**changed: int) -> bytes:
    """An uncompressed page of 5 x 4 pixels, made by hand."""
    return by_hand(plain_entries(**changed), bytes(range(0, 200, 10)))


def _gray(bits: int = 8) -> np.ndarray:
    return noise(37, 29, bits=bits)


def _rgb(bits: int = 8) -> np.ndarray:
    return noise(37, 29, 3, bits=bits)


def _palette(step: int) -> bytes:
    entries = (noise(3, 256, seed=3) * np.uint16(step)).astype(np.uint16)
    return tiff(_gray(), photometric="palette", colormap=entries)


_ALPHA = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]}

KINDS: dict[str, Callable[[], bytes]] = {
    "gray 8": lambda: tiff(_gray()),
    "gray 16": lambda: tiff(_gray(16)),
    "gray 16, big-endian": lambda: tiff(_gray(16), byteorder=">"),
    "gray 1": lambda: tiff(_gray() > 100),
    "gray 12": lambda: tiff(_gray(12), bitspersample=12),
    "white is zero": lambda: tiff(_gray(), photometric="miniswhite"),
    "white is zero 16": lambda: tiff(_gray(16), photometric="miniswhite"),
    "rgb 8": lambda: tiff(_rgb(), photometric="rgb"),
    "rgb 16": lambda: tiff(_rgb(16), photometric="rgb"),
    "rgb 16, planar": lambda: tiff(noise(3, 37, 29, bits=16), photometric="rgb", planarconfig="separate"),
    "gray, tiled": lambda: tiff(_gray(), tile=(16, 16)),
    "rgb, planar, tiled": lambda: tiff(noise(3, 37, 29), photometric="rgb", planarconfig="separate", tile=(16, 16)),
    "gray, stripped": lambda: tiff(_gray(16), rowsperstrip=5),
    "gray alpha": lambda: tiff(noise(37, 29, 2), **_ALPHA),
    "gray alpha 16": lambda: tiff(noise(37, 29, 2, bits=16), **_ALPHA),
    "rgba 16": lambda: tiff(noise(37, 29, 4, bits=16), photometric="rgb", extrasamples=["unassalpha"]),
    "palette of 8 bits": lambda: _palette(257),
    "palette of 16 bits": lambda: _palette(250),
    "lzw": lambda: tiff(_gray(16), compression="lzw"),
    "lzw, predicted": lambda: tiff(_rgb(16), photometric="rgb", compression="lzw", predictor=True),
    "deflate": lambda: tiff(_gray(), compression="zlib", predictor=True),
    "packbits": lambda: tiff(_gray(), compression="packbits", rowsperstrip=7),
    "jpeg": lambda: tiff(_gray(), compression="jpeg"),
    "pages": lambda: tiff(_gray(), _gray(16), _gray(), compression="deflate"),
    "BigTIFF": lambda: tiff(_gray(16), big=True),
    "by hand": plain_tiff,
}
"""A file of each kind by its name."""
