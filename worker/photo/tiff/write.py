"""From coloured pages to a TIFF file, strip by strip.

Written here and not with tifffile's writer, which takes no Exif and GPS directories, puts a resolution into every page
and ends descriptions at two NULs: an archive's fields are to come back as they were.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import BinaryIO

import imagecodecs
import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.luma import STRIP_ROWS
from photochrom.worker.photo.base.raster import Raster
from photochrom.worker.photo.tiff import tags
from photochrom.worker.photo.tiff.directory import BIG, CLASSIC, LONG, LONG8, SHORT, Order
from photochrom.worker.photo.tiff.ifd import Entry
from photochrom.worker.photo.tiff.layout import DEFLATE, HORIZONTAL, LZW, NONE, PACKBITS, RGB

Page = tuple[Raster, Iterable[np.ndarray]]

_COMPRESSIONS = {"none": NONE, "lzw": LZW, "deflate": DEFLATE, "packbits": PACKBITS}
_PREDICTED = ("lzw", "deflate")

# libdeflate at level 1: 12 MP of noisy 8-bit colour take 0.17 s and 41 % of their bytes; zlib needs 0.38 s for 44 % at
# level 1, and at level 6 2.9 s for 40 %, which libdeflate reaches in 0.4 s at level 3. 16 bits: 0.55 s against 1.6 s.
_DEFLATE_LEVEL = 1


def write_pages(target: BinaryIO, pages: Iterable[Page], big: bool = False) -> None:
    """Write pages into an empty seekable file: of each the raster and its RGB in strips (rows, w, 3) of luma's dtype.

    Strips come from top to bottom, each but the last of STRIP_ROWS rows; one is in memory at a time. Alpha follows as a
    further sample, bit for bit; LZW and deflate have the horizontal predictor. A classic TIFF takes 4 GiB.
    Raises ImageFault: "too-large" beyond that, "damaged" for an EXIF block that cannot be read.
    """
    file: _File | None = None
    for raster, strips in pages:
        file = file or _File(target, tags.order_of(raster.metadata), big)
        file.append(raster, strips)
        del raster, strips  # or the next page would be decoded beside this one
    if file is None:
        raise ValueError("a TIFF has at least one page")


def most_bytes(height: int, width: int, is_deep: bool) -> int:
    """What a coloured page, with alpha, takes at most without its metadata: LZW makes twelve bits of eight at worst."""
    return height * width * 4 * (2 if is_deep else 1) * 8 // 5 + 2**16


class _File:
    """A file that grows: the pixels of a page, then its directory, then the link to this from the one before."""

    def __init__(self, target: BinaryIO, order: Order, big: bool) -> None:
        self._target = target
        self._order = order
        self._big = big
        self._form = BIG if big else CLASSIC
        version = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
        target.seek(0)
        target.write((b"II" if order == "<" else b"MM") + version)
        self._link = target.tell()
        target.write(bytes(self._form.offset_size))

    def append(self, raster: Raster, strips: Iterable[np.ndarray]) -> None:
        places = [self._put(data) for data in _encoded(raster, strips, self._order)]
        fields = tags.fields_of(raster.metadata, raster.orientation, self._order).plus(self._storage(raster, places))
        at = self._end()
        directory, link = fields.encoded(at, big=self._big)
        self._put(directory)
        self._target.seek(self._link)
        self._target.write(struct.pack(self._order + self._form.offset, at))
        self._link = link

    def _put(self, data: bytes) -> tuple[int, int]:
        """Append bytes at an even place; gives back place and size."""
        place = self._end()
        if not self._big and place + len(data) >= 2**32:
            raise ImageFault("too-large", "the coloured pages are more than the 4 GiB that a classic TIFF can hold")
        self._target.write(data)
        return place, len(data)

    def _end(self) -> int:
        end = self._target.seek(0, os.SEEK_END)
        if end % 2:
            self._target.write(b"\0")
        return end + end % 2

    def _storage(self, raster: Raster, places: list[tuple[int, int]]) -> list[Entry]:
        """TIFF 6.0, section 6 (RGB) and 18 (ExtraSamples)."""
        height, width = raster.luma.shape
        bits, samples = raster.luma.dtype.itemsize * 8, 3 if raster.alpha is None else 4
        large = LONG8 if self._big else LONG
        values: dict[int, tuple[int, ...]] = {
            256: (LONG, width),
            257: (LONG, height),
            258: (SHORT, *[bits] * samples),
            259: (SHORT, _COMPRESSIONS[raster.compression]),
            262: (SHORT, RGB),
            273: (large, *(place for place, _ in places)),
            277: (SHORT, samples),
            278: (LONG, min(STRIP_ROWS, height)),
            279: (large, *(size for _, size in places)),
            284: (SHORT, 1),
        }
        if raster.compression in _PREDICTED:
            values[317] = (SHORT, HORIZONTAL)
        if raster.alpha is not None:
            values[338] = (SHORT, tags.alpha_of(raster.metadata))
        return [Entry.of(tag, type_, self._order, *rest) for tag, (type_, *rest) in values.items()]


def _encoded(raster: Raster, strips: Iterable[np.ndarray], order: Order) -> Iterable[bytes]:
    height, width = raster.luma.shape
    top = 0
    for strip in strips:
        rows = min(STRIP_ROWS, height - top)
        if strip.shape != (rows, width, 3) or strip.dtype != raster.luma.dtype:
            raise ValueError(f"a strip {strip.shape} of {strip.dtype} at row {top} of a page {raster.luma.shape}")
        if raster.alpha is not None:
            strip = np.dstack([strip, raster.alpha[top : top + rows]])
        yield _compressed(strip, raster.compression, order)
        top += rows
    if top != height:
        raise ValueError(f"strips of {top} rows for a page of {height}")


def _compressed(strip: np.ndarray, compression: str, order: Order) -> bytes:
    if compression in _PREDICTED:
        strip = imagecodecs.delta_encode(strip, axis=-2)
    stored = np.ascontiguousarray(strip, strip.dtype.newbyteorder(order))
    if compression == "lzw":
        return bytes(imagecodecs.lzw_encode(stored.tobytes()))
    if compression == "deflate":
        return bytes(imagecodecs.deflate_encode(stored.tobytes(), _DEFLATE_LEVEL))
    if compression == "packbits":  # row by row (TIFF 6.0, section 9)
        return bytes(imagecodecs.packbits_encode(stored.view(np.uint8).reshape(len(stored), -1), axis=-1))
    return stored.tobytes()
