"""The structure of a PNG file (W3C PNG, third edition, sections 5 and 11): its chunks, and what their texts say."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MOST_METADATA = 32_000_000
"""Bytes that all compressed texts and the profile of a file may have when they are decompressed."""

XMP_KEYWORD = "XML:com.adobe.xmp"

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")

# How samples are to be seen, which is as true of RGB as of gray; by its name, an editor would have to drop it (5.4).
_INTERPRETATION = (b"cHRM", b"cICP", b"cLLI", b"gAMA", b"mDCV", b"sRGB")

# What is read into the metadata, or written anew, anyway.
_HANDLED = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"eXIf")


class Chunk(NamedTuple):
    """A chunk: four letters, and a view on its data in the file."""

    name: bytes
    data: memoryview | bytes


class Text(NamedTuple):
    """What a tEXt, zTXt or iTXt chunk says; bytes that are no UTF-8, though they should be, are lone surrogates."""

    keyword: str
    text: str


class Kept(NamedTuple):
    """Chunks of a source that belong into the result as they stand, and the names of those that would be untrue."""

    chunks: tuple[Chunk, ...] = ()
    dropped: tuple[str, ...] = ()


class Allowance:
    """How many bytes may still be decompressed, over all chunks of a file: no text is a bomb, nor are thousands."""

    def __init__(self) -> None:
        self._left = MOST_METADATA

    def inflate(self, data: bytes) -> bytes:
        """Raises zlib.error for what is no whole zlib stream, and ImageFault ("unsupported") beyond the allowance."""
        stream = zlib.decompressobj()
        inflated = stream.decompress(data, self._left + 1)
        if len(inflated) > self._left:
            raise ImageFault("unsupported", f"the PNG's texts and profile have more than {MOST_METADATA:,} bytes")
        if not stream.eof:
            raise zlib.error("incomplete")
        self._left -= len(inflated)
        return inflated


def parse(data: bytes, limits: Limits) -> list[Chunk]:
    """All chunks from IHDR to IEND. The picture's size is checked first, then every checksum.

    What follows IEND is left aside. Raises ImageFault: "damaged", "too-many-pixels", "too-many-segments".
    """
    if data[: len(SIGNATURE)] != SIGNATURE or data[12:16] != b"IHDR" or len(data) < 33:
        raise ImageFault("damaged", "the PNG has no header")
    limits.check_size(*struct.unpack_from(">II", data, 16))
    chunks: list[Chunk] = []
    for chunk in _chunks(data):
        chunks.append(chunk)
        limits.check_segments(len(chunks))
        if chunk.name == b"IEND":
            return chunks
    raise ImageFault("damaged", "the PNG is cut off")


def _chunks(data: bytes) -> Iterator[Chunk]:
    view = memoryview(data)
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(view[at : at + 4], "big")
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4], "big") or end + 4 > len(data):
            raise ImageFault("damaged", f"the PNG's chunk at byte {at:,} is not what its checksum says")
        yield Chunk(bytes(view[at + 4 : at + 8]), view[at + 8 : end])
        at = end + 4


def data_of(chunks: list[Chunk], name: bytes) -> bytes:
    """The data of the first chunk of a name, b"" where there is none."""
    return next((bytes(chunk.data) for chunk in chunks if chunk.name == name), b"")


def texts(chunks: list[Chunk], allowance: Allowance) -> Iterator[Text]:
    """What the text chunks say (11.3.3), in their order. One that cannot be read is left out.

    Raises ImageFault ("unsupported") for texts beyond the allowance.
    """
    for chunk in chunks:
        if chunk.name in _TEXTS:
            try:
                yield _text(chunk.name, bytes(chunk.data), allowance)
            except (ValueError, zlib.error):
                continue


def _text(name: bytes, data: bytes, allowance: Allowance) -> Text:
    keyword, rest = data.split(b"\0", 1)
    if name == b"tEXt":
        return Text(keyword.decode("latin-1"), rest.decode("latin-1"))
    if name == b"zTXt":
        return Text(keyword.decode("latin-1"), allowance.inflate(rest[1:]).decode("latin-1"))
    _language, _translated, text = rest[2:].split(b"\0", 2)
    plain = allowance.inflate(text) if rest[:1] == b"\1" else text
    return Text(keyword.decode("latin-1"), plain.decode(errors="surrogateescape"))


def kept(data: bytes, limits: Limits) -> Kept:
    """What of a PNG goes into a PNG made of it, beside what `Metadata` holds: texts and resolution as they stand too.

    Dropped is what other pixels make untrue, as the chunk's own name says (5.4, the safe-to-copy bit): signatures
    (dSIG, C2PA's caBX), times (tIME), histograms, significant bits, a background. Raises as `parse`.
    """
    others = [chunk for chunk in parse(data, limits) if chunk.name not in _HANDLED and not _is_xmp(chunk)]
    stays = [chunk.name in _INTERPRETATION or chunk.name[3:].islower() for chunk in others]
    kept = tuple(chunk for chunk, stay in zip(others, stays, strict=True) if stay)
    dropped = sorted({_printable(chunk.name) for chunk, stay in zip(others, stays, strict=True) if not stay})
    return Kept(kept, tuple(dropped))


def _is_xmp(chunk: Chunk) -> bool:
    return chunk.name == b"iTXt" and bytes(chunk.data[: len(XMP_KEYWORD) + 1]) == XMP_KEYWORD.encode() + b"\0"


def _printable(name: bytes) -> str:
    return re.sub("[^A-Za-z]", "?", name.decode("latin-1"))


def chunk_bytes(name: bytes, data: bytes | memoryview) -> bytes:
    """A chunk as it stands in a file (5.3)."""
    return b"".join((struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))))
