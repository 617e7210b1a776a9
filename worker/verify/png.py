"""PNG (third edition): pixels by OpenCV, chunks by a scan of its own."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.verify import iptc
from photochrom.worker.verify.page import Page, Says, check_size
from photochrom.worker.verify.resolution import of_phys, of_tags, stated
from photochrom.worker.verify.tags import exif_tags

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_TEXT = 2**26

_GRAY, _RGB, _PALETTE = 0, 2, 3
_ALPHA_BIT = 4
_KEY_BYTES = {_GRAY: 2, _RGB: 6}
"""Of the one gray or colour that is transparent; a tRNS chunk of another length counts for nothing."""

Chunks = list[tuple[bytes, bytes]]


def read_png(data: bytes, most_pixels: int) -> Page:
    """The picture of a PNG file. Raises ImageFault ("damaged", "too-many-pixels")."""
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13 or chunks[-1][0] != b"IEND":
        raise ImageFault("damaged", "a PNG without its first or its last chunk")
    width, height, bits, kind = struct.unpack_from(">IIBB", chunks[0][1])
    check_size(width, height, most_pixels)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise ImageFault("damaged", "OpenCV cannot decode it")
    key = dict(chunks).get(b"tRNS")
    gray = kind & ~_ALPHA_BIT == _GRAY
    samples = decoded if decoded.ndim == 2 else decoded[..., 0] if gray else decoded[..., 2::-1]
    return Page(
        samples=np.ascontiguousarray(samples),
        space="gray" if gray else "rgb",
        bits=8 if kind == _PALETTE else bits,
        alpha=decoded[..., 3] if decoded.ndim == 3 and decoded.shape[2] == 4 else _keyed(samples, key, kind, bits),
        says=_says(chunks),
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of all chunks up to IEND, or to the first whose checksum is wrong."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        name_and_content = data[place + 4 : place + 8 + size]
        if data[place + 8 + size : place + 12 + size] != struct.pack(">I", zlib.crc32(name_and_content)):
            return
        yield name_and_content[:4], name_and_content[4:]
        place += 12 + size
        if name_and_content.startswith(b"IEND"):
            return


def _keyed(samples: np.ndarray, key: bytes | None, kind: int, bits: int) -> np.ndarray | None:
    """Alpha of a picture in which one gray or one colour is transparent, which OpenCV passes over (tRNS, 11.3.1.1)."""
    if key is None or len(key) != _KEY_BYTES.get(kind):
        return None
    top = np.iinfo(samples.dtype).max
    colour = np.array(struct.unpack(f">{len(key) // 2}H", key)) * (top // (2**bits - 1))
    hit = samples == colour[0] if kind == _GRAY else (samples == colour).all(axis=-1)
    return np.where(hit, 0, top).astype(samples.dtype)


_NO_COMMENTS = ("XML:com.adobe.xmp", "Raw profile type 8bim", "Raw profile type iptc")


def _says(chunks: Chunks) -> Says:
    first: dict[bytes, bytes] = {}
    for name, content in chunks:
        first.setdefault(name, content)
    tags = exif_tags(first.get(b"eXIf", b""))
    texts = [text for name, content in chunks if (text := _text(name, content))]
    orientation = tags.get(("", 274), (1,))
    photoshop = _raw_profile(texts, "8bim")
    return Says(
        tags=tags,
        photoshop=photoshop,
        iptc=_raw_profile(texts, "iptc") or iptc.resources(photoshop).get(iptc.IPTC_RESOURCE, b""),
        xmp=next((text.encode() for keyword, text in texts if keyword == "XML:com.adobe.xmp"), b""),
        icc=_inflated(first.get(b"iCCP", b"").partition(b"\0")[2][1:]),
        dpi=stated(of_phys(first.get(b"pHYs", b"")), of_tags(tags)),
        comments=tuple(text for text in texts if text[0] not in _NO_COMMENTS),
        orientation=orientation[0] if isinstance(orientation, tuple) and orientation[0] in range(1, 9) else 1,
    )


def _raw_profile(texts: list[tuple[str, str]], kind: str) -> bytes:
    """What ImageMagick writes where PNG has no chunk: a name, a length, and hexadecimal digits, each in lines."""
    words = next((text for keyword, text in texts if keyword == f"Raw profile type {kind}"), "").split()
    try:
        return bytes.fromhex("".join(words[2:]))
    except ValueError:
        return b""


def _text(name: bytes, content: bytes) -> tuple[str, str] | None:
    """(keyword, text) of a text chunk, compressed or not (11.3.3)."""
    keyword, _, rest = content.partition(b"\0")
    if name == b"tEXt":
        return keyword.decode("latin-1"), rest.decode("latin-1")
    if name == b"zTXt":
        return keyword.decode("latin-1"), _inflated(rest[1:]).decode("latin-1")
    if name != b"iTXt":
        return None
    text = rest[2:].split(b"\0", 2)[-1]
    return keyword.decode("latin-1"), (_inflated(text) if rest[:1] == b"\1" else text).decode("utf-8", "replace")


def _inflated(compressed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(compressed, MOST_TEXT)
    except zlib.error:
        return b""
