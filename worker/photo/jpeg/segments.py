"""The structure of a JPEG file: its marker segments, and where the entropy-coded data of each scan ends.

ITU-T T.81, annex B. Nothing is decoded here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits

SOI, EOI, SOS, DQT, DHT, DAC, DNL, DRI, COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xCC, 0xDC, 0xDD, 0xFE
APP0, APP1, APP2, APP9, APP11, APP14 = 0xE0, 0xE1, 0xE2, 0xE9, 0xEB, 0xEE

FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}
"""Start of frame: baseline C0, extended C1, progressive C2; lossless, hierarchical and arithmetic beyond."""

_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # no length follows: TEM, RST0..7, SOI

MOST_SCANS = 100
"""Encoders write about ten. Each costs a walk through all blocks, however few bytes it has: 60 ms at 96 megapixels."""

MOST_PAYLOAD = 65_533
"""Bytes that fit into a segment beside its marker and length."""


class Segment(NamedTuple):
    """One marker segment. `start..end` is all of it in the file, fill bytes before its marker included.

    `payload`, which begins at `at`, is what follows the length; a scan's entropy-coded data lies between it and `end`.
    `is_ambiguous`, where `parse` finds it, says that a scan holds FF FF 00: a fill byte and then a stuffed one, which
    libjpeg's fast and slow decoders take for different things.
    """

    marker: int
    start: int
    at: int
    end: int
    payload: bytes
    is_ambiguous: bool = False


class Component(NamedTuple):
    """A component of a frame: its id, sampling factors in one byte (horizontal high), and quantization table."""

    id: int
    sampling: int
    table: int


class Frame(NamedTuple):
    """A frame header (B.2.2)."""

    marker: int
    precision: int
    height: int
    width: int
    components: tuple[Component, ...]

    @classmethod
    def parse(cls, segment: Segment) -> Frame:
        """Raises ImageFault ("damaged")."""
        payload = segment.payload
        if len(payload) < 6 or len(payload) != 6 + 3 * payload[5]:
            raise ImageFault("damaged", "the JPEG's frame header has another length than it says")
        components = tuple(Component(*payload[at : at + 3]) for at in range(6, len(payload), 3))
        height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
        return cls(segment.marker, payload[0], height, width, components)


class MessyError(Exception):
    """The file does not follow the standard closely enough to take it apart; a decoder may still read it."""


def segment(marker: int, payload: bytes) -> bytes:
    """A marker segment as it stands in a file."""
    if len(payload) > MOST_PAYLOAD:
        raise ValueError(f"{len(payload)} bytes do not fit into a JPEG segment")
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload


def parse(data: bytes, limits: Limits) -> list[Segment]:
    """All segments from SOI to EOI, both included; what follows EOI is left out.

    A missing EOI is no error. Raises ImageFault ("too-many-segments"), or MessyError.
    """
    found = _Found.of(data)
    segments: list[Segment] = []
    at = 0
    while at < len(data):
        segments.append(_segment_at(data, at, found))
        limits.check_segments(len(segments))
        if segments[-1].marker == EOI:
            break
        at = segments[-1].end
    if not segments or segments[0].marker != SOI:
        raise MessyError("it does not begin with SOI")
    scans = sum(one.marker == SOS for one in segments)
    if scans > MOST_SCANS:
        raise ImageFault("too-many-segments", f"the JPEG has {scans:,} scans, which is more than {MOST_SCANS}")
    return segments


def header(data: bytes, limits: Limits) -> list[Segment]:
    """The segments before the first scan, SOI included. Raises as `parse`."""
    segments: list[Segment] = []
    at = 0
    nothing = _Found.of(b"")
    while at < len(data):
        found = _segment_at(data, at, nothing)
        if found.marker in (SOS, EOI):
            break
        segments.append(found)
        limits.check_segments(len(segments))
        at = found.end
    return segments


def count_markers(data: bytes, marker: int) -> int:
    """How often a marker's two bytes occur, wherever that is."""
    found = np.frombuffer(data, np.uint8)
    return int(np.count_nonzero(found[np.flatnonzero(found[:-1] == 0xFF) + 1] == marker))


def frame_of(segments: list[Segment]) -> Frame:
    """The one frame header. Raises ImageFault ("damaged"), or MessyError where there is not exactly one."""
    frames = [found for found in segments if found.marker in FRAMES]
    if len(frames) != 1:
        raise MessyError(f"it has {len(frames)} frame headers")
    return Frame.parse(frames[0])


def _segment_at(data: bytes, start: int, inside: _Found) -> Segment:
    at = start
    while data[at : at + 2] == b"\xff\xff":  # fill bytes (B.1.1.2)
        at += 1
    if at + 2 > len(data) or data[at] != 0xFF or data[at + 1] == 0:
        raise MessyError(f"there is no marker at byte {start:,}")
    marker = data[at + 1]
    if marker in _ALONE or marker == EOI:
        return Segment(marker, start, at + 2, at + 2, b"")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    end = at + 2 + length
    if length < 2 or end > len(data):
        raise MessyError(f"the segment at byte {start:,} has no sensible length")
    payload = data[at + 4 : end]
    if marker != SOS:
        return Segment(marker, start, at + 4, end, payload)
    end = _first(inside.ends, end, len(data))
    return Segment(marker, start, at + 4, end, payload, _first(inside.ambiguous, start, len(data)) + 3 <= end)


def _first(places: np.ndarray, start: int, default: int) -> int:
    """The first of ascending places that is not before `start`."""
    number = np.searchsorted(places, start)
    return int(places[number]) if number < len(places) else default


class _Found(NamedTuple):
    """What is found between markers, in one walk over all bytes that leaves other threads to their work.

    `ends` are the places where entropy-coded data would end: at each 0xFF that is not stuffed, of no restart marker,
    and no fill byte. `ambiguous` are those of FF FF 00.
    """

    ends: np.ndarray
    ambiguous: np.ndarray

    @classmethod
    def of(cls, data: bytes) -> _Found:
        found = np.frombuffer(data, np.uint8)
        at = np.flatnonzero(found[:-1] == 0xFF)
        following = found[at + 1]
        fill = at[following == 0xFF]
        ambiguous = fill[found[np.minimum(fill + 2, len(found) - 1)] == 0]
        return cls(at[(following != 0) & (following != 0xFF) & ((following < 0xD0) | (following > 0xD7))], ambiguous)
