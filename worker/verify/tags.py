"""Tags of TIFF files and EXIF blocks (TIFF 6.0, section 2; BigTIFF; Exif 3.0, section 4.6.2), read tolerantly."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from photochrom.worker.errors import ImageFault
from photochrom.worker.verify.page import Tags

EXIF, GPS, INTEROP = 34665, 34853, 40965
_BELOW = {EXIF: "exif", GPS: "gps", INTEROP: "interop"}

_FORMATS = {1: "s", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
_FORMATS |= {13: "I", 16: "Q", 17: "q", 18: "Q"}
_BYTES = (1, 2, 7)

MOST_DIRECTORIES = 100_000
MOST_BYTES, MOST_NUMBERS = 2**28, 2**20
"""Of one tag: a longer one counts as missing."""

STORAGE = frozenset(
    {*range(254, 267), 273, 274, *range(277, 285), *range(288, 294), 296, 301, *range(317, 348), *range(512, 533)}
    | {559, 700, 33723, 34377, 34675, EXIF, GPS, INTEROP}
)
"""How pixels are stored, and what other findings compare: orientation, resolution, profile, XMP and IPTC."""


class Directory(NamedTuple):
    """An IFD of a TIFF's main chain: its own tags and those of the directories below it."""

    tags: Tags

    def first(self, tag: int, default: int = 0) -> int:
        """A tag's first number."""
        value = self.tags.get(("", tag))
        return value[0] if value and isinstance(value[0], int) else default

    def numbers(self, tag: int) -> tuple[Any, ...]:
        """All of a tag's numbers; none where it is missing or bytes."""
        value = self.tags.get(("", tag))
        return value if isinstance(value, tuple) else ()

    def raw(self, tag: int) -> bytes:
        """A tag's bytes, be they written as such or as 32-bit numbers, which is an old habit with IPTC's records."""
        value = self.tags.get(("", tag), b"")
        if isinstance(value, bytes):
            return value
        whole = [number for number in value if isinstance(number, int)]
        packed = struct.pack(f"<{len(whole)}I", *whole)
        return packed if packed[:1] == b"\x1c" else struct.pack(f">{len(whole)}I", *whole)


class _Block(NamedTuple):
    """Where directories are read from: byte order, and how wide counts and offsets are."""

    data: bytes
    order: str
    big: bool

    def numbers(self, format: str, place: int) -> tuple[Any, ...]:
        return struct.unpack_from(self.order + format, self.data, place)


def directories(data: bytes) -> list[Directory]:
    """The main chain of a TIFF file or EXIF block, up to a loop or a directory that lies outside.

    Raises ImageFault ("damaged") if not even the header is one.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or len(data) < 8:
        raise ImageFault("damaged", "no TIFF header")
    block = _Block(data, order, struct.unpack_from(order + "H", data, 2)[0] == 43)
    found: list[Directory] = []
    seen: set[int] = set()
    try:
        (place,) = block.numbers("Q" if block.big else "I", 8 if block.big else 4)
        while place and place not in seen and len(found) < MOST_DIRECTORIES:
            seen.add(place)
            tags, place = _directory(block, place, "", seen)
            found.append(Directory(tags))
    except struct.error:
        pass  # what was read up to here counts
    return found


def exif_tags(block: bytes) -> Tags:
    """The tags of an EXIF block's first directory and those below it; {} for a block that cannot be read."""
    block = block.removeprefix(b"Exif\0\0")
    try:
        found = directories(block)
    except ImageFault:
        return {}
    return found[0].tags if found else {}


def describing(tags: Tags) -> Tags:
    """Those of the tags that do not say how pixels are stored."""
    return {(path, tag): value for (path, tag), value in tags.items() if path or tag not in STORAGE}


def _directory(block: _Block, place: int, path: str, seen: set[int]) -> tuple[Tags, int]:
    """The tags of the directory at `place`, and where the next one is."""
    entry_size, width = (20, 8) if block.big else (12, 4)
    (count,) = block.numbers("Q" if block.big else "H", place)
    first = place + (8 if block.big else 2)
    tags: Tags = {}
    for entry in range(first, min(first + count * entry_size, len(block.data) - entry_size + 1), entry_size):
        tag, kind, many = block.numbers("HHQ" if block.big else "HHI", entry)
        value = _value(block, kind, many, entry + entry_size - width, width)
        if value is not None:
            tags[path, tag] = value
        if tag in _BELOW and isinstance(value, tuple) and value and value[0] not in seen:
            seen.add(value[0])
            tags |= _below(block, value[0], _BELOW[tag], seen)
    (following,) = block.numbers("Q" if block.big else "I", first + count * entry_size)
    return tags, following


def _below(block: _Block, place: int, path: str, seen: set[int]) -> Tags:
    try:
        return _directory(block, place, path, seen)[0]
    except struct.error:
        return {}


def _value(block: _Block, kind: int, many: int, place: int, width: int) -> bytes | tuple[Any, ...] | None:
    """Bytes for text and undefined, else a tuple: numbers, or pairs for fractions. None for what cannot be read."""
    format = _FORMATS.get(kind)
    size = many * struct.calcsize("=" + format) if format else 0
    if format is None or size > len(block.data) or many > (MOST_BYTES if kind in _BYTES else MOST_NUMBERS):
        return None
    try:
        if size > width:
            (place,) = block.numbers("Q" if width == 8 else "I", place)
        if kind in _BYTES:
            (raw,) = block.numbers(f"{many}s", place)
            return raw.rstrip(b"\0") if kind == 2 else raw
        flat = block.numbers(format[0] * (many * len(format)), place)
    except struct.error:
        return None
    return flat if len(format) == 1 else tuple(zip(flat[::2], flat[1::2], strict=True))
