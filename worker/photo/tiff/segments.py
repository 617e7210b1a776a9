"""Strips and tiles, decoded band by band: what the codec allows is never held as a whole.

TIFF 6.0, sections 9 (PackBits), 13 (LZW) and 14 (differencing); Adobe's technical notes of 1995 (JPEG), 2002 (deflate).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

import imagecodecs
import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.jpeg.segments import MessyError, frame_of, header
from photochrom.worker.photo.tiff import fax
from photochrom.worker.photo.tiff.directory import Tiff
from photochrom.worker.photo.tiff.layout import (
    DEFLATE,
    FAX,
    HORIZONTAL,
    JPEG,
    LZW,
    NONE,
    OLD_DEFLATE,
    RGB,
    Cell,
    Layout,
)

Packed = bytes | bytearray | memoryview

BAND_BYTES = 2**20
"""About as many unpacked bytes are in hand at once, where codec and width of a row allow it."""

_SEQUENTIAL = (0xC0, 0xC1)
"""Frames of JPEG that stand in a TIFF: baseline and extended sequential DCT."""


class Segments:
    """The segments of one page."""

    def __init__(self, tiff: Tiff, layout: Layout) -> None:
        self._tiff = tiff
        self._layout = layout
        self._places = layout.places(tiff)
        self._tables = tiff.value(layout.tables) if layout.tables and layout.compression == JPEG else None
        self._band = max(1, BAND_BYTES // layout.row_size)

    def bands(self, cell: Cell) -> Iterator[np.ndarray]:
        """The stored samples at a cell from top to bottom: uint8 or uint16 (rows, columns, samples), unscaled.

        Of a JPEG in YCbCr there is the Y alone. Raises ImageFault ("damaged", "unsupported"), and "damaged" above all
        for what ends before all of its rows are there.
        """
        with _damage_told(cell.number):
            planes = range(self._layout.samples if self._layout.planar else 1)
            bands = [self._segment(cell.number + plane * self._layout.in_plane, cell) for plane in planes]
            for parts in zip(*bands, strict=True):
                yield (np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0])[:, : cell.columns]

    def _segment(self, number: int, cell: Cell) -> Iterator[np.ndarray]:
        offset, size = self._places[number].tolist()
        if self._layout.compression in FAX:
            yield self._fax(offset, size, cell.rows)[..., None]
        elif self._layout.compression == JPEG:
            yield self._jpeg(offset, size, cell)
        else:
            for packed in self._rows(offset, size, cell.rows):
                yield self._samples(packed)

    def _rows(self, offset: int, size: int, rows: int) -> Iterator[Packed]:
        """Whole rows of a segment as they were before compression, some at a time."""
        row_size = self._layout.row_size
        counts = [min(self._band, rows - first) * row_size for first in range(0, rows, self._band)]
        if self._layout.compression in (DEFLATE, OLD_DEFLATE):
            yield from _inflated(self._pieces(offset, size), counts)
        elif self._layout.compression == NONE:
            _enough(size, rows * row_size)
            for end, count in zip(accumulate(counts), counts, strict=True):
                yield self._read(offset + end - count, count)
        else:
            unpacked = memoryview(self._unpacked(offset, size, rows * row_size))
            _enough(len(unpacked), rows * row_size)
            for end, count in zip(accumulate(counts), counts, strict=True):
                yield unpacked[end - count : end]

    def _unpacked(self, offset: int, size: int, wanted: int) -> Packed:
        packed = self._read(offset, size)
        if self._layout.compression == LZW:
            return imagecodecs.lzw_decode(packed, out=wanted)
        # more than is wanted is an error of this codec, and a strip may be filled up to all of its rows
        return imagecodecs.packbits_decode(packed, out=self._layout.rows * self._layout.row_size)

    def _read(self, offset: int, size: int) -> bytes:
        data = self._tiff.read(offset, size)
        return bytes(imagecodecs.bitorder_decode(data)) if self._layout.bits_reversed else data

    def _pieces(self, offset: int, size: int) -> Iterator[Packed]:
        for start in range(offset, offset + size, BAND_BYTES):
            yield self._read(start, min(BAND_BYTES, offset + size - start))

    def _samples(self, packed: Packed) -> np.ndarray:
        layout = self._layout
        if layout.bits == 8:
            samples = np.frombuffer(packed, np.uint8)
        elif layout.bits == 16:
            samples = np.frombuffer(packed, self._tiff.order + "u2").astype(np.uint16, copy=False)
        else:
            dtype = np.uint8 if layout.bits < 8 else np.uint16
            samples = imagecodecs.packints_decode(
                bytes(packed), dtype, layout.bits, runlen=layout.columns * layout.together
            )
        samples = samples.reshape(-1, layout.columns, layout.together)
        return imagecodecs.delta_decode(samples, axis=-2) if layout.predictor == HORIZONTAL else samples

    def _fax(self, offset: int, size: int, rows: int) -> np.ndarray:
        layout = self._layout
        rows = layout.rows if layout.tiled else rows
        return fax.decode(self._read(offset, size), layout.compression, rows, layout.columns, layout.fax_options)

    def _jpeg(self, offset: int, size: int, cell: Cell) -> np.ndarray:
        """A JPEG as such: neither bit order nor predictor applies to it."""
        data = self._tiff.read(offset, size)
        self._check_jpeg(data, cell)
        is_rgb = self._layout.photometric == RGB and not self._layout.planar
        samples = imagecodecs.jpeg8_decode(
            data,
            tables=self._tables,
            colorspace="RGB" if is_rgb else "YCBCR" if self._layout.together == 3 else "GRAYSCALE",
            outcolorspace="RGB" if is_rgb else "GRAYSCALE",
        )
        return samples.reshape(*samples.shape[:2], -1)[: cell.rows]

    def _check_jpeg(self, data: bytes, cell: Cell) -> None:
        """Before it is decoded: its own header could claim any size, and a decoder fills up what is missing."""
        try:
            segments = header(data, self._tiff.limits)
            frame = frame_of(segments)
        except MessyError as error:
            raise ImageFault("damaged", f"a JPEG in the TIFF cannot be read: {error}") from error
        if frame.marker not in _SEQUENTIAL:
            raise ImageFault("unsupported", f"a JPEG in the TIFF of kind {frame.marker:02X}: only sequential ones are")
        fits = cell.rows <= frame.height <= self._layout.rows and cell.columns <= frame.width <= self._layout.columns
        if not fits or (frame.precision, len(frame.components)) != (self._layout.bits, self._layout.together):
            raise ImageFault("damaged", "a JPEG in the TIFF is not what the TIFF says")
        if data.rfind(b"\xff\xd9", segments[-1].end) < 0:
            raise ImageFault("damaged", "a JPEG in the TIFF has no end")


def _inflated(pieces: Iterator[Packed], counts: list[int]) -> Iterator[Packed]:
    """The first bytes of a zlib stream in parts of given sizes; at its end zlib verifies its checksum."""
    stream = zlib.decompressobj()
    packed: Packed = b""
    for count in counts:
        part = bytearray()
        while len(part) < count:
            packed = packed or next(pieces, b"")
            before = len(packed)
            found = stream.decompress(packed, count - len(part))
            packed = stream.unconsumed_tail
            if not found and len(packed) == before:
                _enough(len(part), count)
            part += found
        yield part


def _enough(there: int, wanted: int) -> None:
    if there < wanted:
        raise ImageFault("damaged", f"a strip or tile ends early: {there:,} of {wanted:,} bytes")


@contextmanager
def _damage_told(number: int) -> Iterator[None]:
    try:
        yield
    except (ImageFault, MemoryError, OSError):
        raise
    except Exception as error:  # codecs raise nearly anything on damaged data
        raise ImageFault("damaged", f"strip or tile {number + 1:,} cannot be decoded: {error}") from error
