"""The small, whole files that are then damaged: one of every make."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image

from tests.unit.photo.generate import jpeg, png, tiff
from tests.unit.photo.generate.jpeg import Kind, gray_jpeg
from tests.unit.photo.generate.profile import gray_profile
from tests.unit.photo.generate.splice import spliced

_SMALL = {"width": 19, "height": 13}


def _jpegs() -> list[bytes]:
    kinds = [
        Kind(**_SMALL),
        Kind(**_SMALL, mode="progressive"),
        Kind(**_SMALL, mode="progressive", restart=2, component=9, huffman_slots=(1, 2), tables="together"),
        Kind(width=33, height=40, restart=2, mode="optimized", sampling=0x22),
        Kind(**_SMALL, mode="extended", wide_quantisation=True, quantisation_slot=3, tables="with others"),
        Kind(**_SMALL, number_of_lines="behind the scan", fill=2),
        Kind(**_SMALL, trailing=b"\xff\xd8\xff\xd9" * 5, comments=(b"One", b"Two"), icc=gray_profile(), icc_part=90),
        Kind(**_SMALL, end=False),
        Kind(width=33, height=40, mode="progressive", scans=3),
        jpeg.with_everything(**_SMALL),
        jpeg.with_everything(**_SMALL, mode="progressive", jfif=False, adobe=True),
    ]
    modes = [_by_pillow("JPEG", mode) for mode in ("RGB", "CMYK")] + [_by_pillow("JPEG", "RGB", progressive=True)]
    return [*map(gray_jpeg, kinds), *modes]


def _pngs() -> list[bytes]:
    text = png.chunk(b"tEXt", b"Title\0The harbour") + png.chunk(b"zTXt", b"Note\0\0x\x9c\x03\0\0\0\0\x01")
    profile = png.chunk(b"iCCP", b"gray\0\0" + zlib.compress(gray_profile()))
    beside = text + profile + png.chunk(b"pHYs", bytes([0, 0, 46, 35] * 2 + [1]))
    return [make() for make in png.KINDS.values()] + [png.random_png(png.GRAY, 8, chunks=beside)]


def _tiffs() -> list[bytes]:
    lossless = [_by_pillow("TIFF", "1", compression=name) for name in ("group3", "group4")]
    return [make() for make in tiff.KINDS.values()] + lossless + [_by_pillow("TIFF", "L", dpi=(300, 300))]


def _archived() -> list[bytes]:
    return [spliced(data) for data in _jpegs()[:11]]


def _by_pillow(format: str, mode: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(jpeg.gray(19, 13)).convert(mode).save(file, format, **options)
    return file.getvalue()


def _webps() -> list[bytes]:
    return [_by_pillow("WEBP", mode, lossless=lossless) for mode in ("RGB", "RGBA") for lossless in (True, False)]


def _jpeg2000s() -> list[bytes]:
    return [_by_pillow("JPEG2000", mode) for mode in ("L", "RGB", "LA")]


_MAKERS: dict[str, Callable[[], list[bytes]]] = {
    "jpeg": _jpegs,
    "png": _pngs,
    "tiff": _tiffs,
    "webp": _webps,
    "jp2": _jpeg2000s,
    "archived": _archived,
}

KINDS = tuple(_MAKERS)
"""Formats that are coloured, and "archived": coloured JPEGs, whose original is restored."""

TO_TRUNCATE = {
    "jpeg": lambda: gray_jpeg(Kind(width=8, height=8, mode="progressive", comments=(b"One",))),
    "png": lambda: png.random_png(png.GRAY_ALPHA, 16, 3, 2),
    "tiff": lambda: tiff.by_hand([*tiff.plain_entries(), (270, 2, 10, 146)], bytes(range(0, 200, 10)) + b"A harbour\0"),
    "webp": lambda: _webps()[0],
    "jp2": lambda: _jpeg2000s()[0],
    "archived": lambda: spliced(gray_jpeg(Kind(width=8, height=8))),
}
"""A file of each kind, so small that it can be cut off at every byte."""


@cache
def seeds(kind: str) -> tuple[bytes, ...]:
    """All whole files of a kind."""
    return tuple(_MAKERS[kind]())
