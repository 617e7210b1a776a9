"""The rows of a PNG, as they are stored: inflated strip by strip and no further than the picture goes, and unfiltered.

A stream may inflate to a thousand times its size, and libpng would inflate all of it. So that is done here, and libpng
takes the filters off, which no array code can do. Memory does not grow with the height of the picture.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import imagecodecs
import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.png.chunks import SIGNATURE, chunk_bytes

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6

_CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
_DEPTHS = {GRAY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GRAY_ALPHA: (8, 16), RGBA: (8, 16)}

MOST_WIDTH = 1_000_000
"""libpng's own limit."""

_STRIP_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16

# First column and row of a pass, and the steps from there (W3C PNG, section 8): all, or Adam7's seven.
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

# Depth and colour type whose pixels have so many bytes: filters know no more of a picture than that (9.2).
_KINDS = {1: (8, GRAY), 2: (8, GRAY_ALPHA), 3: (8, RGB), 4: (8, RGBA), 6: (16, RGB), 8: (16, RGBA)}


class Header(NamedTuple):
    """What IHDR says (11.2.1)."""

    width: int
    height: int
    depth: int
    colour: int
    is_interlaced: bool

    @classmethod
    def parse(cls, data: bytes) -> Header:
        """Raises ImageFault: "damaged" for what the standard does not know, "unsupported" for too wide a picture."""
        if len(data) != 13:
            raise ImageFault("damaged", "the PNG's header has another length than it should")
        width, height, depth, colour, compression, filtering, interlacing = struct.unpack(">IIBBBBB", data)
        if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlacing > 1:
            raise ImageFault("damaged", "the PNG's header says what there is not")
        if width > MOST_WIDTH:
            raise ImageFault("unsupported", f"the PNG is {width:,} pixels wide; {MOST_WIDTH:,} can be read")
        return cls(width, height, depth, colour, bool(interlacing))

    @property
    def channels(self) -> int:
        """Samples a pixel."""
        return _CHANNELS[self.colour]


class Strip(NamedTuple):
    """Pixels of a few rows: samples (rows, columns, channels), uint8 or uint16, as they are stored."""

    rows: slice
    columns: slice
    samples: np.ndarray


def strips(header: Header, pieces: Iterable[memoryview | bytes]) -> Iterator[Strip]:
    """All pixels of the zlib stream in `pieces`, pass by pass, from top to bottom.

    What follows the last pixel is not looked at. Raises ImageFault ("damaged").
    """
    stream = _Stream(pieces)
    for left, top, across, down in _ADAM7 if header.is_interlaced else _WHOLE:
        width, height = -(-(header.width - left) // across), -(-(header.height - top) // down)
        if width < 1 or height < 1:
            continue
        length = -(-width * header.channels * header.depth // 8)
        last = bytes(length)
        rows = max(1, _STRIP_BYTES // length)
        for first in range(0, height, rows):
            count = min(rows, height - first)
            stored = _unfiltered(last, stream.read(count * (1 + length)), header)
            last = stored[-1].tobytes()
            start = top + first * down
            place = slice(start, start + (count - 1) * down + 1, down)
            yield Strip(place, slice(left, None, across), _samples(stored, width, header))


class _Stream:
    """A zlib stream that is given out as it is asked for."""

    def __init__(self, pieces: Iterable[memoryview | bytes]) -> None:
        # what is not consumed yet is copied each time, so it is kept short
        self._pieces = (piece[at : at + _PIECE_BYTES] for piece in pieces for at in range(0, len(piece), _PIECE_BYTES))
        self._stream = zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """So many bytes; raises ImageFault ("damaged") where there are fewer."""
        parts = []
        while count:
            piece = self._stream.unconsumed_tail or next(self._pieces, b"")
            try:
                part = self._stream.decompress(piece, count)
            except zlib.error as error:
                raise ImageFault("damaged", f"the PNG's pixels cannot be inflated: {error}") from error
            if not part and (not piece or self._stream.eof):
                raise ImageFault("damaged", "the PNG has fewer pixels than it should")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def _unfiltered(last: bytes, filtered: bytes, header: Header) -> np.ndarray:
    """Filtered rows, each behind the type of its filter, to bytes (rows, length), given the row before them."""
    length = len(last)
    size = max(1, header.channels * header.depth // 8)
    depth, colour = _KINDS[size]
    above = b"\0" + last
    count = (len(above) + len(filtered)) // (1 + length)
    picture = struct.pack(">IIBBBBB", length // size, count, depth, colour, 0, 0, 0)
    body = chunk_bytes(b"IDAT", zlib.compress(above + filtered, 0))
    try:
        rows = imagecodecs.png_decode(SIGNATURE + chunk_bytes(b"IHDR", picture) + body + chunk_bytes(b"IEND", b""))
    except MemoryError:
        raise
    except Exception as error:  # libpng's own, for an unknown filter
        raise ImageFault("damaged", f"the PNG cannot be decoded: {error}") from error
    return rows.astype(rows.dtype.newbyteorder(">"), copy=False).view(np.uint8).reshape(count, length)[1:]


def _samples(stored: np.ndarray, width: int, header: Header) -> np.ndarray:
    """Bytes (rows, length) to samples (rows, width, channels) (7.2)."""
    if header.depth == 16:
        return stored.view(">u2").astype(np.uint16).reshape(len(stored), width, -1)
    if header.depth == 8:
        return stored.reshape(len(stored), width, -1)
    shifts = np.arange(8 - header.depth, -1, -header.depth, dtype=np.uint8)
    spread = (stored[..., None] >> shifts) & np.uint8(2**header.depth - 1)
    return spread.reshape(len(stored), -1, 1)[:, :width]
