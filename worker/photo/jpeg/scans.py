"""The scans of one chroma plane, made by libjpeg as a JPEG of its own and taken out of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg.encode import encoded
from photochrom.worker.photo.jpeg.segments import DHT, DQT, SOS, Segment, parse, segment

# ITU-T T.81, table K.2: what the eye does not miss in chroma.
_ANNEX_K2 = np.full((8, 8), 99)
_ANNEX_K2[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


class Scans(NamedTuple):
    """A plane's quantization table, without its slot number, and its Huffman tables and scans as they follow."""

    table: bytes
    segments: tuple[tuple[Segment, bytes], ...]

    def written(self, component: int) -> bytes:
        """Huffman tables and scans for the component of a frame with that id."""
        return b"".join(
            segment(SOS, _for_component(found, component)) + coded
            if found.marker == SOS
            else segment(DHT, found.payload)
            for found, coded in self.segments
        )


def quantization(quality: int) -> list[int]:
    """Table K.2 scaled to a quality of 1..100 as libjpeg scales it (jcparam.c), row by row."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return [int(value) for value in np.clip((_ANNEX_K2 * scale + 50) // 100, 1, 255).ravel()]


def encode(plane: np.ndarray, quality: int, *, progressive: bool) -> Scans:
    """A plane, uint8 (h, w), as scans of a baseline or of a progressive frame."""
    data = encoded(Image.fromarray(plane), qtables=[quantization(quality)], progressive=progressive)
    found = parse(data, Limits())
    table = next(one.payload for one in found if one.marker == DQT)
    wanted = tuple((one, _coded(data, one)) for one in found if one.marker in (DHT, SOS))
    return Scans(table[1:], wanted)


def _coded(data: bytes, found: Segment) -> bytes:
    return data[found.at + len(found.payload) : found.end] if found.marker == SOS else b""


def _for_component(scan: Segment, component: int) -> bytes:
    return scan.payload[:1] + bytes((component,)) + scan.payload[2:]
