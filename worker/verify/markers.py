"""A JPEG's markers (ITU-T T.81, annex B), read by a scan of its own."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from photochrom.worker.errors import ImageFault

SOI, EOI, SOS, DQT, DNL, APP0, COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xE0, 0xFE
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF0..SOF15, without DHT, JPG and DAC, which lie between them."""

_ALONE = frozenset({0x01, *range(0xD0, 0xD8), SOI, EOI})
"""TEM, the restart markers, SOI and EOI: nothing belongs to them."""

_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_AFTER_SCAN = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")


class Segment(NamedTuple):
    """A marker and its payload; `start` is the place of its FF (of the last one), `stop` that behind the payload."""

    marker: int
    payload: bytes
    start: int
    stop: int


class Frame(NamedTuple):
    """What the frame header says. `components` are (id, across << 4 | down, quantisation table)."""

    marker: int
    precision: int
    height: int
    width: int
    components: tuple[tuple[int, int, int], ...]


def segments(data: bytes) -> Iterator[Segment]:
    """All segments up to EOI, which is the last one if the file has it. What stands between them is passed over."""
    place = 2
    while found := _NEXT_MARKER.search(data, place):
        marker, behind = found[1][0], found.end()
        if marker in _ALONE:
            yield Segment(marker, b"", behind - 2, behind)
            place = behind
            if marker == EOI:
                return
            continue
        length = int.from_bytes(data[behind : behind + 2], "big")
        stop = behind + length
        if length < 2 or stop > len(data):
            return
        yield Segment(marker, data[behind + 2 : stop], behind - 2, stop)
        place = stop
        if marker == SOS:
            scanned = _AFTER_SCAN.search(data, stop)
            place = scanned.start() if scanned else len(data)


def frame_of(found: list[Segment]) -> Frame:
    """The frame header. Raises ImageFault ("damaged") where there is none, or half of one."""
    for segment in found:
        if segment.marker in FRAMES and len(segment.payload) >= 6:
            precision, height, width, count = struct.unpack(">BHHB", segment.payload[:6])
            listed = segment.payload[6 : 6 + 3 * count]
            if count and len(listed) == 3 * count:
                return Frame(segment.marker, precision, height, width, tuple(struct.iter_unpack("3B", listed)))
    raise ImageFault("damaged", "a JPEG without a frame header")


def quantisation(found: list[Segment], table: int) -> list[int]:
    """The 64 steps of a quantisation table, as it was last defined; empty where it never was."""
    steps: list[int] = []
    for segment in found:
        rest = segment.payload if segment.marker == DQT else b""
        while rest:
            wide = rest[0] >> 4
            size = 128 if wide else 64
            values = rest[1 : 1 + size]
            if rest[0] & 15 == table and len(values) == size:
                steps = list(struct.unpack(">64H" if wide else "64B", values))
            rest = rest[1 + size :]
    return steps
