"""Fax compression (ITU-T T.4 and T.6; TIFF 6.0, sections 10 and 11), decoded and proven.

The decoder at hand fills up with white what is missing or makes no sense, and does not tell. So a strip is believed
only where libtiff codes what was read to the very bits that were there; fax codings leave an encoder no choice.
"""

from __future__ import annotations

import io
import re

import imagecodecs
import numpy as np
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.tiff.directory import Tiff
from photochrom.worker.photo.tiff.layout import FAX_3, FAX_4, FAX_RLE

_NAMES = {FAX_RLE: "tiff_ccitt", FAX_3: "group3", FAX_4: "group4"}
_EOFB = 2 * "000000000001"

_END = re.compile("(0*000000000001[01]?)*0*")
"""What may follow the last row: EOFB or RTC (T.4, with its tag bits), which not everybody writes, and fill bits."""


def decode(data: bytes, compression: int, rows: int, columns: int, options: int) -> np.ndarray:
    """A strip or tile as stored bits, uint8 0 and 1 (rows, columns). `options` are T4Options.

    Raises ImageFault ("damaged").
    """
    if compression == FAX_RLE:
        bits = imagecodecs.ccittrle_decode(data, rows, columns)
    elif compression == FAX_3:
        bits = imagecodecs.ccittfax3_decode(data, rows, columns, t4options=options)
    else:
        bits = imagecodecs.ccittfax4_decode(data, rows, columns)
    expected = _digits(_encoded(bits, compression, options)).rstrip("0").removesuffix(_EOFB)
    found = _digits(data)
    if not found.startswith(expected) or not _END.fullmatch(found, len(expected)):
        raise ImageFault("damaged", "a strip is damaged, or not coded as the standards of fax say")
    return bits


def _encoded(bits: np.ndarray, compression: int, options: int) -> bytes:
    file = io.BytesIO()
    tags = {278: len(bits)} | ({292: options} if compression == FAX_3 else {})
    Image.fromarray(bits.astype(bool)).save(file, "TIFF", compression=_NAMES[compression], tiffinfo=tags)
    tiff = Tiff(file, Limits())
    page = tiff.first()
    return tiff.read(tiff.number(page, 273, 0), tiff.number(page, 279, 0))


def _digits(data: bytes) -> str:
    return f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}"
