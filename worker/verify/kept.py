"""The original file, brought back from what an archived JPEG keeps of it in APP9 segments."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib

from photochrom.worker.errors import ImageFault
from photochrom.worker.verify.markers import SOS, Segment, segments

MARKER = 0xE9
SIGNATURE = b"Photochrom\0"

MOST_HEADER = 2**20
"""Bytes of the line that describes the parts: far more than any needs, and little enough to decompress unseen."""


def original_of(data: bytes, most: int) -> bytes | None:
    """The original's bytes, or None where the file keeps nothing of it. `most` bounds what they may come to.

    Raises ImageFault ("damaged") if what is kept does not lead to the file whose SHA-256 it names.
    """
    kept = _kept(data)
    if not kept:
        return None
    try:
        header, literals = _unpacked(kept, most)
        restored = _assembled(header, literals, _without(data, kept), most)
        intact = hashlib.sha256(restored).hexdigest() == header["sha256"] and len(restored) == header["size"]
    except (ValueError, KeyError, TypeError, RecursionError, struct.error, zlib.error) as error:
        raise ImageFault("damaged", f"what is kept of the original cannot be read: {error}") from error
    if not intact:
        raise ImageFault("damaged", "what is kept of the original leads to another file than the one it names")
    return restored


def _kept(data: bytes) -> list[Segment]:
    found = []
    for segment in segments(data):
        if segment.marker == SOS:
            break
        if segment.marker == MARKER and segment.payload.startswith(SIGNATURE):
            found.append(segment)
    return found


def _unpacked(kept: list[Segment], most: int) -> tuple[dict, bytes]:
    stream = b""
    for place, segment in enumerate(kept, 1):
        number, count = struct.unpack_from(">HH", segment.payload, len(SIGNATURE))
        if (number, count) != (place, len(kept)):
            raise ValueError(f"segment {place} of {len(kept)} calls itself {number} of {count}")
        stream += segment.payload[len(SIGNATURE) + 4 :]
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(stream, most + MOST_HEADER)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("it is cut off, or longer than the original can be")
    line, newline, literals = unpacked.partition(b"\n")
    header = json.loads(line)
    if not newline or not isinstance(header, dict) or header.get("version") != 1:
        raise ValueError("its header is none of version 1")
    return header, literals


def _without(data: bytes, kept: list[Segment]) -> bytes:
    places = [0, *(place for segment in kept for place in (segment.start, segment.stop)), len(data)]
    return b"".join(data[start:stop] for start, stop in zip(places[::2], places[1::2], strict=True))


def _assembled(header: dict, literals: bytes, plain: bytes, most: int) -> bytes:
    pieces, taken, total = [], 0, 0
    for part in header["parts"]:
        *offset, length = part
        if any(type(value) is not int or value < 0 for value in part) or len(offset) > 1:
            raise ValueError(f"a part that is {part}")
        source, start = (plain, offset[0]) if offset else (literals, taken)
        taken += 0 if offset else length
        total += length
        if start + length > len(source) or total > most:
            raise ValueError(f"a part that is {part} reaches too far")
        pieces.append(source[start : start + length])
    if taken != len(literals):
        raise ValueError(f"{len(literals) - taken} bytes of it are not used")
    return b"".join(pieces)
