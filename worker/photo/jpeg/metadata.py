"""Which of a JPEG's metadata segments change when it becomes coloured: profile, XMP, and what would be untrue then."""

from __future__ import annotations

from typing import NamedTuple

from photochrom.worker.photo.jpeg.kept import is_kept
from photochrom.worker.photo.jpeg.segments import APP1, APP2, APP11, APP14, MOST_PAYLOAD, Segment, segment
from photochrom.worker.photo.metadata import icc, xmp
from photochrom.worker.photo.metadata.xmp import Statement

ICC, XMP, MPF, ADOBE, JUMBF = b"ICC_PROFILE\0", b"http://ns.adobe.com/xap/1.0/\0", b"MPF\0", b"Adobe", b"JP"

SIGNED = b"c2pa"

C2PA_INVALID, XMP_UNREADABLE, XMP_TOO_LARGE = "c2pa-invalid", "xmp-unreadable", "xmp-too-large"
"""Notes: a signature that no longer holds; an XMP packet that no statement could be added to."""


class Changes(NamedTuple):
    """New bytes for segments, by where these start in the original; what is added behind the head; and notes."""

    replaced: dict[int, bytes]
    added: bytes
    notes: tuple[str, ...]


def changes(segments: list[Segment], statement: Statement) -> Changes:
    """What changes when a gray JPEG becomes a coloured one. All else stays where and as it is.

    Adobe's marker would make RGB of three components, and MPF points behind the end of the file: both go. Raises
    ImageFault ("profile") for a profile that cannot be carried over.
    """
    found = _Found(segments)
    replaced = {one.start: b"" for one in (*found.profile, *found.signed, *found.untrue)}
    if found.profile:
        replaced[found.profile[0].start] = _profile(found.profile)
    notes = [C2PA_INVALID] if found.signed else []
    packet, note = _packet(found.packet, statement)
    notes += [note] if note else []
    if packet and found.packet:
        replaced[found.packet.start] = packet
        packet = b""
    return Changes(replaced, packet, tuple(notes))


class _Found:
    """The segments that matter here."""

    def __init__(self, segments: list[Segment]) -> None:
        self.profile = [one for one in segments if one.marker == APP2 and one.payload.startswith(ICC)]
        packets = [one for one in segments if one.marker == APP1 and one.payload.startswith(XMP)]
        self.packet = packets[0] if packets else None
        self.signed = signed(segments)
        self.untrue = [
            one
            for one in segments
            if is_kept(one)
            or (one.marker == APP14 and one.payload.startswith(ADOBE))
            or (one.marker == APP2 and one.payload.startswith(MPF))
        ]


def signed(segments: list[Segment]) -> list[Segment]:
    """The segments of C2PA manifests: JUMBF boxes (ISO 19566-5, D.2), each spread over segments of one number."""
    boxes = [one for one in segments if one.marker == APP11 and one.payload.startswith(JUMBF)]
    numbers = {one.payload[2:4] for one in boxes if SIGNED in one.payload}
    return [one for one in boxes if one.payload[2:4] in numbers]


def _profile(segments: list[Segment]) -> bytes:
    """The profile for a coloured file, in as many segments as it takes (ICC.1:2022, B.4)."""
    at = len(ICC) + 2
    ordered = sorted(segments, key=lambda one: one.payload[len(ICC) : len(ICC) + 1])
    profile = icc.for_colour(b"".join(one.payload[at:] for one in ordered))
    most = MOST_PAYLOAD - at
    chunks = [profile[start : start + most] for start in range(0, len(profile), most)]
    return b"".join(segment(APP2, ICC + bytes((number, len(chunks))) + chunk) for number, chunk in enumerate(chunks, 1))


def _packet(found: Segment | None, statement: Statement) -> tuple[bytes, str | None]:
    """The XMP segment with the statement in it, and a note where the packet that is there could not be kept in it."""
    packet = found.payload[len(XMP) :] if found else b""
    merged = xmp.merge(packet, statement, most=MOST_PAYLOAD - len(XMP))
    if merged is None:
        return b"", XMP_TOO_LARGE
    return segment(APP1, XMP + merged.packet), XMP_UNREADABLE if merged.replaced else None
