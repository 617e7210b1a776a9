"""Colour spliced onto a gray JPEG by hand: a second, plain implementation of what Photochrom's writer does.

For well-formed sources of `generate.jpeg` alone.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from typing import NamedTuple

import numpy as np

from tests.unit.photo.generate import jpeg
from tests.unit.photo.generate.jpeg import Part
from tests.unit.photo.generate.metadata import XMP, XMP_REWRITTEN, xmp
from tests.unit.photo.generate.profile import rgb_profile

KEPT = 0xE9
SIGNATURE = b"Photochrom\0"
MOST_OF_A_SEGMENT = 65_533 - len(SIGNATURE) - 4

Y_QUARTERED, ONE_TO_ONE = 0x22, 0x11


class Piece(NamedTuple):
    """Bytes of the original and what became of them: one of both may be empty."""

    before: bytes
    after: bytes


def spliced(source: bytes, packet: bytes | None = None, keep: bool = True, most: int = MOST_OF_A_SEGMENT) -> bytes:
    """A gray JPEG with chroma of its own making; with its original kept in APP9 segments, if wanted."""
    more = XMP_REWRITTEN if XMP in source else ""
    pieces = _pieces(source, statement(source, more=more) if packet is None else packet)
    plain = b"".join(piece.after for piece in pieces)
    return plain[:2] + (kept_segments(source, pieces, most) if keep else b"") + plain[2:]


def statement(source: bytes, how: str = "spliced", more: str = "", **changed: str) -> bytes:
    """A packet that says what Photochrom says of a result; `more` is XML of other properties."""
    said = {
        "Colour": "computed",
        "Model": "stand-in",
        "ModelSHA256": "5" * 64,
        "SourceSHA256": hashlib.sha256(source).hexdigest(),
        "Version": "0.1.0",
        "How": how,
        **changed,
    }
    ours = "".join(f"<photochrom:{name}>{value}</photochrom:{name}>" for name, value in said.items() if value)
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    return xmp(
        f"<e:DigitalSourceType>{kind}</e:DigitalSourceType>{ours}{more}",
        'xmlns:photochrom="http://ns.photochrom.org/1.0/" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"',
    )


def kept_segments(source: bytes, pieces: list[Piece], most: int = MOST_OF_A_SEGMENT) -> bytes:
    """APP9 segments from which, with the rest of the file, the source can be put together again."""
    listed, literals, place = [], b"", 0
    for before, after in pieces:
        if before and before == after:
            listed.append([place, len(before)])
        elif before:
            listed.append([len(before)])
            literals += before
        place += len(after)
    header = {"version": 1, "sha256": hashlib.sha256(source).hexdigest(), "size": len(source), "parts": listed}
    return packed(header, literals, most)


def packed(header: dict, literals: bytes, most: int = MOST_OF_A_SEGMENT) -> bytes:
    """Header and literal bytes as APP9 segments of at most so many bytes of the compressed stream."""
    stream = zlib.compress(json.dumps(header).encode() + b"\n" + literals)
    cut = [stream[start : start + most] for start in range(0, len(stream), most)]
    return b"".join(
        bytes(Part(KEPT, SIGNATURE + struct.pack(">HH", number, len(cut)) + piece))
        for number, piece in enumerate(cut, 1)
    )


def _pieces(source: bytes, packet: bytes) -> list[Piece]:
    """The source from its start to its end, each segment beside what stands in its place."""
    found, pieces, place = _located(source), [Piece(source[:2], source[:2])], 2
    old_profile = b"".join(part.payload[14:] for part, _ in found if part.payload.startswith(jpeg.ICC_NAME))
    new = Part(jpeg.APP1, jpeg.XMP_NAME + packet) if packet else None
    for part, before in found:
        place += len(before)
        if new and (part.payload.startswith(jpeg.XMP_NAME) or part.marker not in (jpeg.APP0, jpeg.APP1)):
            pieces.append(Piece(b"", bytes(new)))
            new = None
        pieces.append(Piece(before, _replaced(part, before, struct.pack(">H", _height(found)))))
    profile = jpeg.profile_segments(rgb_profile(), 60_000) if old_profile else []
    pieces[1:1] = [Piece(b"", b"".join(map(bytes, profile)))]
    chroma = b"".join(map(bytes, _chroma_scans(found)))
    end = source[place:]
    return [*pieces, Piece(b"", chroma + b"\xff\xd9"), Piece(end, b"")]


def _located(source: bytes) -> list[tuple[Part, bytes]]:
    """Each segment, and its bytes as they stand in the source with their fill bytes."""
    found, place = [], 2
    while True:
        start = place
        while source[place : place + 2] == b"\xff\xff":
            place += 1
        if source[place + 1 : place + 2] in (b"", bytes([jpeg.EOI])):
            return found
        (part,) = jpeg.parts(b"\xff\xd8" + source[place : _stop(source, place)] + b"\xff\xd9")
        place = _stop(source, place)
        found.append((part, source[start:place]))


def _stop(source: bytes, place: int) -> int:
    """Where the segment that begins at `place` ends, its scan included; the file's end where EOI is missing."""
    is_scan = source[place + 1] == jpeg.SOS
    place += 2 + int.from_bytes(source[place + 2 : place + 4], "big")
    while is_scan and place < len(source):
        if source[place] == 0xFF and (source[place + 1 : place + 2] or b"\xd9")[0] not in (0, *range(0xD0, 0xD8)):
            break
        place += 1
    return place


def _replaced(part: Part, before: bytes, height: bytes) -> bytes:
    """What stands in a segment's place: another frame header, and nothing for what a coloured file cannot have."""
    if part.marker in (jpeg.SOF, 0xC1, jpeg.PROGRESSIVE):
        slot = part.payload[8]
        components = bytes([1, Y_QUARTERED, slot, 2, ONE_TO_ONE, slot ^ 1, 3, ONE_TO_ONE, slot ^ 1])
        return bytes(Part(part.marker, part.payload[:1] + height + part.payload[3:5] + b"\3" + components))
    if part.marker == jpeg.SOS:
        return bytes(Part(jpeg.SOS, b"\1\1" + part.payload[2:], part.scan))
    gone = part.marker == jpeg.APP14 or part.payload.startswith((jpeg.XMP_NAME, jpeg.ICC_NAME))
    return b"" if gone or part.marker == jpeg.DNL else before


def _height(found: list[tuple[Part, bytes]]) -> int:
    """From the frame header, or from DNL where that says 0."""
    stated = {
        part.marker: part.payload for part, _ in found if part.marker in (jpeg.SOF, 0xC1, jpeg.PROGRESSIVE, jpeg.DNL)
    }
    behind = stated.pop(jpeg.DNL, b"")
    (frame,) = stated.values()
    return int.from_bytes(frame[1:3], "big") or int.from_bytes(behind[:2], "big")


def _chroma_scans(found: list[tuple[Part, bytes]]) -> list[Part]:
    frame = next(part for part, _ in found if part.marker in (jpeg.SOF, 0xC1, jpeg.PROGRESSIVE))
    _, width = struct.unpack_from(">HH", frame.payload, 1)
    height = _height(found)
    mode: jpeg.Mode = "progressive" if frame.marker == jpeg.PROGRESSIVE else "baseline"
    scans = [Part(jpeg.DRI, b"\0\0")]
    for name, seed in ((2, 1), (3, 2)):
        plane = np.clip(jpeg.gray((width + 1) // 2, (height + 1) // 2, seed) // 2 + 70, 0, 255).astype(np.uint8)
        for part in jpeg.parts(jpeg.encoded(plane, mode, 90)):
            if part.marker == jpeg.DQT:
                part.payload = bytes([frame.payload[8] ^ 1]) + part.payload[1:]
            elif part.marker == jpeg.SOS:
                part.payload = bytes([1, name]) + part.payload[2:]
            elif part.marker != jpeg.DHT:
                continue
            scans.append(part)
    return scans
