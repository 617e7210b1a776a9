"""A gray JPEG as it is opened for colouring: its structure, and no more of its luma than is needed."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base import orientation
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg.segments import (
    APP0,
    COM,
    DNL,
    FRAMES,
    SOI,
    SOS,
    Frame,
    MessyError,
    Segment,
    frame_of,
    parse,
)

PROGRESSIVE = 0xC2
HUFFMAN_DCT = (0xC0, 0xC1, PROGRESSIVE)
"""Baseline, extended sequential and progressive."""

ENOUGH = 512
"""Pixels a side that suffice for the model (224) and for fitting colour to luma; decoding fewer is faster."""

MOST_REDUCTION = 4


class UnsplicableError(Exception):
    """The JPEG has to be decoded and encoded anew; the message says why."""


@dataclass(frozen=True)
class GrayJpeg:
    """A JPEG of one component. `luma` is uint8, at the size of the photograph, a half or a quarter of it, as stored."""

    data: bytes
    segments: list[Segment]
    frame: Frame
    height: int
    luma: np.ndarray
    orientation: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) as it is to be seen."""
        return (self.frame.width, self.height) if self.orientation >= 5 else (self.height, self.frame.width)

    def gray(self, height: int, width: int) -> np.ndarray:
        """A small copy of the luma, upright, uint8 (height, width)."""
        size = (height, width) if self.orientation >= 5 else (width, height)
        small = Image.fromarray(self.luma).resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
        return orientation.upright(np.asarray(small), self.orientation)

    @property
    def last_of_head(self) -> Segment:
        """The last of the segments at the beginning that say something about the photograph."""
        head = self.segments[0]
        for found in self.segments:
            if found.marker not in (SOI, COM, *range(APP0, APP0 + 16)):
                break
            head = found
        return head


def read(data: bytes, limits: Limits) -> GrayJpeg:
    """Take a gray JPEG apart and decode a small copy of its luma.

    Raises UnsplicableError for one that has to be encoded anew, and ImageFault: "damaged", "too-many-pixels",
    "too-many-segments".
    """
    try:
        segments = parse(data, limits)
        frame = frame_of(segments)
    except MessyError as error:
        raise UnsplicableError(str(error)) from error
    height = frame.height or _stated_behind_the_scan(segments)
    limits.check_size(frame.width, height)
    _check_spliceable(frame, segments)
    small, turn = _decode(data if frame.height else _with_height(data, segments, height), frame.width, height)
    return GrayJpeg(data, segments, frame, height, small, turn)


def _check_spliceable(frame: Frame, segments: list[Segment]) -> None:
    if frame.marker not in HUFFMAN_DCT:
        raise UnsplicableError("it is not Huffman-coded DCT")
    if frame.precision != 8:
        raise UnsplicableError(f"it has {frame.precision} bits a sample")
    if len(frame.components) != 1:
        raise UnsplicableError(f"it has {len(frame.components)} components")
    if frame.components[0].table > 3:
        raise ImageFault("damaged", "the JPEG names a quantization table that cannot be")
    scans = [found.payload for found in segments if found.marker == SOS]
    if not scans or any(len(scan) != 6 or scan[0] != 1 or scan[1] != frame.components[0].id for scan in scans):
        raise UnsplicableError("its scans are not those of its one component")
    if frame.marker == PROGRESSIVE and not _is_complete(scans):
        raise UnsplicableError("coefficients are missing, which decoders smooth over, each file in another way")
    if any(found.is_ambiguous for found in segments):
        raise UnsplicableError("a scan holds FF FF 00, which libjpeg reads in two ways")


def _is_complete(scans: list[bytes]) -> bool:
    """Whether the scans of a progressive JPEG bring all bits of all 64 coefficients (T.81, G.1.1.1)."""
    missing = dict.fromkeys(range(64), 1)
    for _, _, _, first, last, bits in scans:
        missing.update(dict.fromkeys(range(first, last + 1), bits & 15))
    return not any(missing.values())


def _stated_behind_the_scan(segments: list[Segment]) -> int:
    """The number of lines from a DNL segment (T.81, B.2.5), which gives it where the frame header says 0."""
    stated = [found.payload for found in segments if found.marker == DNL]
    return int.from_bytes(stated[0], "big") if stated and len(stated[0]) == 2 else 0


def _with_height(data: bytes, segments: list[Segment], height: int) -> bytes:
    """The file with the number of lines in its frame header, where decoders look for it."""
    at = next(found.at for found in segments if found.marker in FRAMES) + 1
    return data[:at] + height.to_bytes(2, "big") + data[at + 2 :]


def _decode(data: bytes, width: int, height: int) -> tuple[np.ndarray, int]:
    reduction = next(by for by in (MOST_REDUCTION, 2, 1) if by == 1 or min(width, height) >= by * ENOUGH)
    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG"])
        image.draft("L", (width // reduction, height // reduction))
        turn = image.getexif().get(orientation.TAG)
        small = np.asarray(image)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ImageFault("damaged", f"the JPEG cannot be decoded: {error}") from error
    return small, turn if isinstance(turn, int) and 1 <= turn <= 8 else orientation.UPRIGHT
