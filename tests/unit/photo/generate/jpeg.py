"""Gray JPEGs of every make: Pillow encodes the picture, and what Pillow never writes is put in byte by byte."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from tests.unit.photo.generate.metadata import EXIF, PHOTOSHOP, XMP
from tests.unit.photo.generate.profile import gray_profile

EXIF_NAME, XMP_NAME, ICC_NAME = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
PHOTOSHOP_NAME = b"Photoshop 3.0\0"

SOF, DHT, SOI, EOI, SOS, DQT, DNL, DRI, COM = 0xC0, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE
PROGRESSIVE = 0xC2
APP0, APP1, APP2, APP13, APP14 = 0xE0, 0xE1, 0xE2, 0xED, 0xEE

Mode = Literal["baseline", "optimized", "progressive", "extended"]


@dataclass
class Part:
    """A marker, its payload, and, behind SOS, the scan's entropy-coded bytes."""

    marker: int
    payload: bytes = b""
    scan: bytes = b""
    fill: int = 0

    def __bytes__(self) -> bytes:
        """As in a file; a marker may have any number of FF before it."""
        return b"\xff" * (1 + self.fill) + bytes([self.marker]) + self.body

    @property
    def body(self) -> bytes:
        """What follows the marker."""
        return struct.pack(">H", len(self.payload) + 2) + self.payload + self.scan


@dataclass(frozen=True)
class Kind:
    """What kind of gray JPEG it is to be; the defaults are what Pillow would write."""

    width: int = 40
    height: int = 30
    seed: int = 0
    quality: int = 75
    mode: Mode = "baseline"
    restart: int = 0
    """Blocks from one restart marker to the next."""
    scans: int = 0
    """Only the first so many of a progressive file's scans: what is missing decoders smooth over. 0 means all."""
    component: int = 1
    sampling: int = 0x11
    quantisation_slot: int = 0
    huffman_slots: tuple[int, int] = (0, 0)
    """Of DC and AC tables: 0 or 1, and 2 or 3 where the mode is progressive."""
    tables: Literal["as they are", "together", "with others"] = "as they are"
    wide_quantisation: bool = False
    """16 bits a step, which a frame of 8 bits may have, too, unless it is baseline."""
    jfif: bool = True
    adobe: bool = False
    number_of_lines: Literal["in the frame", "twice", "behind the scan"] = "in the frame"
    """Where the height stands: a DNL segment behind the first scan may say it again, or alone."""
    fill: int = 0
    exif: bytes = b""
    xmp: bytes = b""
    icc: bytes = b""
    icc_part: int = 65_000
    photoshop: bytes = b""
    comments: tuple[bytes, ...] = ()
    others: tuple[tuple[int, bytes], ...] = ()
    """More segments: (marker, payload)."""
    trailing: bytes = b""
    end: bool = True
    dpi: tuple[int, int] = (1, 1)


def gray(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Gray uint8 (height, width): a slope with noise, so that there is both to encode."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(20, 230, max(width, 2))[None, :width] + np.linspace(-15, 15, max(height, 2))[:height, None]
    return np.clip(slope + rng.normal(0, 12, (height, width)), 0, 255).astype(np.uint8)


def gray_jpeg(kind: Kind) -> bytes:
    """A file of that kind; the same kind gives the same bytes."""
    found = parts(encoded(gray(kind.width, kind.height, kind.seed), kind.mode, kind.quality, kind.restart, kind.dpi))
    for part in found:
        _rewrite(part, kind)
        part.fill = kind.fill
    found = [part for part in found if part.marker != APP0 or kind.jfif]
    if kind.tables != "as they are":
        found = _together(found, kind.tables == "with others")
    if kind.number_of_lines != "in the frame":
        first_scan = next(place for place, part in enumerate(found) if part.marker == SOS)
        found.insert(first_scan + 1, Part(DNL, struct.pack(">H", kind.height), fill=kind.fill))
    if kind.scans:
        found = found[: [place for place, part in enumerate(found) if part.marker == SOS][kind.scans - 1] + 1]
    start = 1 if kind.jfif else 0
    found[start:start] = _beside(kind)
    end = b"\xff" * (1 + kind.fill) + bytes([EOI]) if kind.end else b""
    return b"\xff\xd8" + b"".join(map(bytes, found)) + end + kind.trailing


def parts(data: bytes) -> list[Part]:
    """The segments of a well-formed file between SOI and EOI."""
    found, place = [], 2
    while data[place + 1] != EOI:
        (length,) = struct.unpack_from(">H", data, place + 2)
        part = Part(data[place + 1], data[place + 4 : place + 2 + length])
        place += 2 + length
        if part.marker == SOS:
            stop = place
            while data[stop] != 0xFF or data[stop + 1] == 0 or 0xD0 <= data[stop + 1] <= 0xD7:
                stop += 1
            part.scan = data[place:stop]
            place = stop
        found.append(part)
    return found


def profile_segments(icc: bytes, most: int) -> list[Part]:
    """A profile in numbered APP2 segments of at most so many bytes of it (ICC.1, annex B.4)."""
    pieces = [icc[start : start + most] for start in range(0, len(icc), most)]
    return [Part(APP2, ICC_NAME + bytes([number, len(pieces)]) + piece) for number, piece in enumerate(pieces, 1)]


def encoded(pixels: np.ndarray, mode: Mode, quality: int, restart: int = 0, dpi: tuple[int, int] = (1, 1)) -> bytes:
    """Pixels as Pillow encodes them; a progressive file's tables are always its own."""
    file = io.BytesIO()
    options = {"progressive": mode == "progressive", "optimize": mode in ("optimized", "progressive")}
    resolution = {} if dpi == (1, 1) else {"dpi": dpi}
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, restart_marker_blocks=restart, **options, **resolution)
    return file.getvalue()


def _rewrite(part: Part, kind: Kind) -> None:
    """Component, sampling and table slots, wherever they are named."""
    direct, alternating = kind.huffman_slots
    if part.marker in (SOF, PROGRESSIVE):
        height = bytes(2) if kind.number_of_lines == "behind the scan" else part.payload[1:3]
        components = bytes([1, kind.component, kind.sampling, kind.quantisation_slot])
        part.payload = part.payload[:1] + height + part.payload[3:5] + components
        part.marker = 0xC1 if kind.mode == "extended" else part.marker
    elif part.marker == SOS:
        part.payload = bytes([1, kind.component, direct << 4 | alternating]) + part.payload[3:]
    elif part.marker == DHT:
        part.payload = b"".join(
            bytes([head & 0x10 | (alternating if head & 0x10 else direct)]) + table
            for head, table in huffman_tables(part.payload)
        )
    elif part.marker == DQT:
        wide = kind.wide_quantisation
        steps = struct.pack(">64H", *part.payload[1:65]) if wide else part.payload[1:65]
        part.payload = bytes([wide << 4 | kind.quantisation_slot]) + steps


def huffman_tables(payload: bytes) -> list[tuple[int, bytes]]:
    """(class << 4 | slot, counts and symbols) of each table in a DHT segment."""
    found = []
    while payload:
        stop = 17 + sum(payload[1:17])
        found.append((payload[0], payload[1:stop]))
        payload = payload[stop:]
    return found


def _together(found: list[Part], with_others: bool) -> list[Part]:
    """All tables before the first scan in one segment of each sort, among tables that nothing refers to if wanted."""
    first_scan = next(place for place, part in enumerate(found) if part.marker == SOS)
    head = found[:first_scan]
    for marker in (DQT, DHT):
        same = [part for part in head if part.marker == marker]
        if not same:
            continue
        same[0].payload = (_unused(same) if with_others else b"") + b"".join(part.payload for part in same)
        head = [part for part in head if part.marker != marker or part is same[0]]
    return head + found[first_scan:]


def _unused(same: list[Part]) -> bytes:
    """A table for a slot that none of these has."""
    payload = b"".join(part.payload for part in same)
    if same[0].marker == DHT:
        taken = {head for head, _ in huffman_tables(payload)}
        head = next(slot for slot in (0x00, 0x01) if slot not in taken)
        return bytes([head]) + bytes([0, 1, *[0] * 14, 5])
    return bytes([(payload[0] & 15) ^ 1]) + bytes([99] * 64)


def _beside(kind: Kind) -> list[Part]:
    """Everything that is not the picture, in the order in which cameras and editors write it."""
    found = [Part(APP1, EXIF_NAME + kind.exif)] if kind.exif else []
    found += [Part(APP1, XMP_NAME + kind.xmp)] if kind.xmp else []
    found += profile_segments(kind.icc, kind.icc_part)
    found += [Part(APP13, PHOTOSHOP_NAME + kind.photoshop)] if kind.photoshop else []
    found += [Part(APP14, b"Adobe" + bytes([0, 100, 0, 0, 0, 0, 0]))] if kind.adobe else []
    found += [Part(COM, comment) for comment in kind.comments]
    found += [Part(marker, payload) for marker, payload in kind.others]
    for part in found:
        part.fill = kind.fill
    return found


def with_everything(**more: object) -> Kind:
    """A kind with metadata of every sort."""
    fields: dict[str, object] = {"exif": EXIF, "xmp": XMP, "icc": gray_profile(), "photoshop": PHOTOSHOP}
    fields |= {"comments": (b"Found in the attic",), "dpi": (300, 300), **more}
    return Kind(**fields)  # type: ignore[arg-type]
