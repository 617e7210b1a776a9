"""An EXIF block: the tags that the file around it says for itself are taken out of it, and put back in.

A block is a TIFF header, a first directory and what that points to (TIFF 6.0, section 2; Exif 3.0, 4.5). Only the first
directory is written anew. Nothing else moves, because maker notes hold offsets that nobody else knows.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import NamedTuple

from photochrom.worker.photo.base import orientation, resolution
from photochrom.worker.photo.base.resolution import Resolution

PREFIX = b"Exif\0\0"
"""Stands before the block in a JPEG (Exif 3.0, 4.7.2), and by mistake in other formats."""

_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296

# How pixels are stored, and their profile: the result says that for itself.
_STORAGE = frozenset(
    {273, 284, 301, 34675}.union(range(254, 267), range(277, 282), range(288, 294), range(317, 348), range(512, 533))
)
_SAID_OUTSIDE = _STORAGE | {orientation.TAG, _X_RESOLUTION, _Y_RESOLUTION, _UNIT}

_SHORT, _LONG, _RATIONAL = 3, 4, 5
_ENTRY = 12


class Parts(NamedTuple):
    """A block without orientation, resolution and storage tags, and the first two of these (1 and None by default)."""

    block: bytes
    orientation: int = orientation.UPRIGHT
    dpi: Resolution | None = None


class _Directory(NamedTuple):
    """The first directory: its place, its entries of 12 bytes each, and the offset of the next directory."""

    order: str
    at: int
    entries: list[bytes]
    following: bytes

    def tag(self, entry: bytes) -> int:
        """The tag of an entry."""
        tag: int = struct.unpack_from(self.order + "H", entry)[0]
        return tag


def take_apart(block: bytes) -> Parts:
    """Separate a block, with or without PREFIX, into what the file around it says and what only it says.

    A block whose first directory cannot be read, or that says nothing else, becomes b"".
    """
    block = block.removeprefix(PREFIX)
    directory = _first_directory(block)
    if directory is None:
        return Parts(b"")
    taken = {directory.tag(entry): entry for entry in directory.entries if directory.tag(entry) in _SAID_OUTSIDE}
    kept = [entry for entry in directory.entries if directory.tag(entry) not in _SAID_OUTSIDE]
    turn = _orientation(directory.order, taken.get(orientation.TAG))
    if not kept and not any(directory.following):
        return Parts(b"", turn, _resolution(block, directory.order, taken))
    if not taken:
        return Parts(block)
    written = _directory_bytes(directory.order, kept, directory.following)
    room = 2 + _ENTRY * len(directory.entries) + 4
    changed = block[: directory.at] + written.ljust(room, b"\0") + block[directory.at + room :]
    return Parts(changed, turn, _resolution(block, directory.order, taken))


def put_together(block: bytes, turn: int, dpi: Resolution | None) -> bytes:
    """The inverse of `take_apart`: b"" where nothing needs saying, else a block that says orientation and resolution.

    The first directory moves to the block's end, where it can grow.
    """
    if not block and turn == orientation.UPRIGHT:
        return b""
    directory = _first_directory(block) or _Directory("<", 8, [], bytes(4))
    order = directory.order
    block = block or _header(order, 8)
    block += bytes(len(block) % 2)
    added = [] if turn == orientation.UPRIGHT else [struct.pack(order + "HHIHH", orientation.TAG, _SHORT, 1, turn, 0)]
    count = len(directory.entries) + len(added) + (3 if dpi else 0)
    behind = len(block) + 2 + _ENTRY * count + 4
    stating, values = _stating(order, dpi, behind) if dpi else ([], b"")
    entries = sorted(directory.entries + added + stating, key=directory.tag)
    return _header(order, len(block)) + block[8:] + _directory_bytes(order, entries, directory.following) + values


def _stating(order: str, dpi: Resolution, at: int) -> tuple[list[bytes], bytes]:
    """Entries of a resolution, and the values that are to stand at a place of the block."""
    unit, across, down = resolution.in_tags(dpi)
    entries = [
        struct.pack(order + "HHII", _X_RESOLUTION, _RATIONAL, 1, at),
        struct.pack(order + "HHII", _Y_RESOLUTION, _RATIONAL, 1, at + 8),
        struct.pack(order + "HHIHH", _UNIT, _SHORT, 1, unit, 0),
    ]
    return entries, struct.pack(order + "IIII", *across.as_integer_ratio(), *down.as_integer_ratio())


def _first_directory(block: bytes) -> _Directory | None:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return None
    at = struct.unpack_from(order + "I", block, 4)[0]
    if not 8 <= at <= len(block) - 6:
        return None
    start, end = at + 2, at + 2 + _ENTRY * struct.unpack_from(order + "H", block, at)[0]
    if end > len(block):
        return None
    entries = [block[place : place + _ENTRY] for place in range(start, end, _ENTRY)]
    return _Directory(order, at, entries, block[end : end + 4].ljust(4, b"\0"))


def _directory_bytes(order: str, entries: list[bytes], following: bytes) -> bytes:
    return struct.pack(order + "H", len(entries)) + b"".join(entries) + following


def _header(order: str, at: int) -> bytes:
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)


def _orientation(order: str, entry: bytes | None) -> int:
    """1..8; what an entry says beyond that, in whatever type, means 1."""
    number = _number(order, entry)
    return number if number is not None and 1 <= number <= 8 else orientation.UPRIGHT


def _number(order: str, entry: bytes | None) -> int | None:
    if entry is None:
        return None
    kind, count = struct.unpack_from(order + "HI", entry, 2)
    if count != 1 or kind not in (_SHORT, _LONG):
        return None
    number: int = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), entry, 8)[0]
    return number


def _resolution(block: bytes, order: str, taken: dict[int, bytes]) -> Resolution | None:
    unit = _number(order, taken.get(_UNIT)) or resolution.INCHES
    across, down = (_rational(block, order, taken.get(tag)) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    return resolution.of_tags(unit, across, down)


def _rational(block: bytes, order: str, entry: bytes | None) -> Fraction | None:
    if entry is None:
        return None
    kind, count, at = struct.unpack_from(order + "HII", entry, 2)
    if kind != _RATIONAL or count != 1 or at + 8 > len(block):
        return None
    numerator, denominator = struct.unpack_from(order + "II", block, at)
    return Fraction(numerator, denominator) if denominator else None
