"""How a coloured JPEG keeps the file that it was made from, and how that comes back byte for byte.

The coloured file without these segments is called *plain* here. The original is described by parts that follow one
another: stretches copied from the plain file, and literal bytes for what was changed or left out. Description and
literals stand, compressed, in as many APP9 segments as they take:

    each segment   "Photochrom" NUL, number from 1 and count as two big-endian uint16, data
    all the data   one zlib stream (RFC 1950) of: a line of JSON, then the literal bytes
    the JSON       {"version": 1, "sha256": of the original, "size": its bytes, "parts": [[offset, length] | [length]]}

A part of two numbers is copied from the plain file, one of one number takes so many of the literal bytes. So the
original can be restored by any program of a dozen lines, without Photochrom.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any, NamedTuple

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg.segments import APP9, MOST_PAYLOAD, MessyError, Segment, header, segment

NAME = b"Photochrom\0"
VERSION = 1
LEVEL = 6

_CHUNK = MOST_PAYLOAD - len(NAME) - 4
_MOST_JSON = 2**20


class Stretch(NamedTuple):
    """Bytes start..end of the original, taken over as they are."""

    start: int
    end: int


Piece = Stretch | bytes
"""What a plain file is put together from: a stretch of the original, or new bytes."""


def assemble(original: bytes, pieces: list[Piece]) -> bytes:
    """The pieces, one after another."""
    whole = memoryview(original)
    return b"".join(whole[piece.start : piece.end] if isinstance(piece, Stretch) else piece for piece in pieces)


def keep(original: bytes, pieces: list[Piece], sha256: str | None = None) -> bytes:
    """The segments from which, with the plain file made of `pieces`, the original comes back.

    The stretches are in ascending order. `sha256` is the original's, in hexadecimal, where it is known. Raises
    ImageFault ("unsupported") for more than 65,535 segments.
    """
    parts, literals = _describe(original, pieces)
    description = {
        "version": VERSION,
        "sha256": sha256 or hashlib.sha256(original).hexdigest(),
        "size": len(original),
        "parts": parts,
    }
    line = json.dumps(description, separators=(",", ":")).encode() + b"\n"
    packed = zlib.compress(line + literals, LEVEL)
    chunks = [packed[at : at + _CHUNK] for at in range(0, len(packed), _CHUNK)]
    if len(chunks) > 0xFFFF:
        raise ImageFault("unsupported", "what follows the JPEG's end is too much to be kept inside it")
    count = len(chunks).to_bytes(2, "big")
    return b"".join(
        segment(APP9, NAME + number.to_bytes(2, "big") + count + chunk) for number, chunk in enumerate(chunks, 1)
    )


def is_kept(found: Segment) -> bool:
    """Whether a segment is one of ours."""
    return found.marker == APP9 and found.payload.startswith(NAME)


def sha256_of_original(segments: list[Segment]) -> str | None:
    """What the segments of a coloured file say of the file that it was made from; None where they keep none."""
    ours = [found for found in segments if is_kept(found)]
    return _unpack(ours)[0].get("sha256") if ours else None


def restore(coloured: bytes, limits: Limits) -> bytes:
    """The original file, byte for byte.

    Raises ImageFault: "not-restorable" for a file that keeps no original, "damaged" for one that was changed since.
    """
    try:
        ours = [found for found in header(coloured, limits) if is_kept(found)]
    except MessyError as error:
        raise ImageFault("damaged", f"it is no intact JPEG: {error}") from error
    if not ours:
        raise ImageFault("not-restorable", "the file does not keep its original: no result of the archive profile")
    description, literals = _unpack(ours)
    plain = bytearray(coloured)
    for found in reversed(ours):
        del plain[found.start : found.end]
    original = _follow(description, bytes(plain), literals)
    if len(original) != description["size"] or hashlib.sha256(original).hexdigest() != description["sha256"]:
        raise ImageFault("damaged", "the file was changed since it was coloured: the original cannot be restored")
    return original


def _describe(original: bytes, pieces: list[Piece]) -> tuple[list[list[int]], bytes]:
    parts: list[list[int]] = []
    literals: list[bytes] = []
    done = offset = 0
    for piece in [*pieces, Stretch(len(original), len(original))]:
        if isinstance(piece, bytes):
            offset += len(piece)
            continue
        if piece.start > done:
            parts.append([piece.start - done])
            literals.append(original[done : piece.start])
        length = piece.end - piece.start
        if parts and len(parts[-1]) == 2 and sum(parts[-1]) == offset:
            parts[-1][1] += length
        elif length:
            parts.append([offset, length])
        offset, done = offset + length, piece.end
    return parts, b"".join(literals)


def _unpack(ours: list[Segment]) -> tuple[dict[str, Any], bytes]:
    at = len(NAME)
    try:
        numbers = [int.from_bytes(found.payload[at : at + 2], "big") for found in ours]
        counts = {int.from_bytes(found.payload[at + 2 : at + 4], "big") for found in ours}
        if numbers != list(range(1, len(ours) + 1)) or counts != {len(ours)}:
            raise ValueError("segments are missing")
        inflate = zlib.decompressobj()
        data = b"".join(found.payload[at + 4 :] for found in ours)
        start = inflate.decompress(data, _MOST_JSON)
        line, newline, literals = start.partition(b"\n")
        description = json.loads(line)
        if not newline or description["version"] != VERSION:
            raise ValueError("its description is of no known version")
        # never more than the description says, which in turn is checked against the size of what is kept
        most = max(1, _size_of_literals(description, len(data)) - len(literals))
        return description, literals + inflate.decompress(inflate.unconsumed_tail, most)
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error) as error:
        raise ImageFault("damaged", f"what is kept of the original cannot be read: {error}") from error


def _size_of_literals(description: dict[str, Any], packed: int) -> int:
    parts, size = description["parts"], description["size"]
    if not all(
        len(part) in (1, 2) and all(isinstance(number, int) and number >= 0 for number in part) for part in parts
    ):
        raise ValueError("a part is neither a stretch nor a length")
    literals = sum(part[0] for part in parts if len(part) == 1)
    if sum(part[-1] for part in parts) != size or literals > _MOST_JSON + 1032 * packed:  # 1032: deflate's best ratio
        raise ValueError("its parts do not fit together")
    return int(literals)


def _follow(description: dict[str, Any], plain: bytes, literals: bytes) -> bytes:
    whole: list[bytes] = []
    taken = copied = 0
    for part in description["parts"]:
        if len(part) == 1:
            whole.append(literals[taken : taken + part[0]])
            taken += part[0]
        else:
            offset, length = part
            if offset < copied or offset + length > len(plain):  # in order, so that no description makes gigabytes
                raise ImageFault("damaged", "what is kept of the original does not fit the file")
            whole.append(plain[offset : offset + length])
            copied = offset + length
    return b"".join(whole)
