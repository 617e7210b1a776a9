"""Colour for a gray JPEG without touching its gray: two chroma scans behind the luma's own.

The frame header is written anew with three components; the luma's scans, tables and restart markers stay byte for
byte; Cb and Cr follow as scans of their own (not interleaved, ITU-T T.81 A.2.2), with their own tables. So the luma's
DCT coefficients, and with them every pixel of Y, are what they were.
"""

from __future__ import annotations

import numpy as np

from photochrom.worker.photo.jpeg import kept
from photochrom.worker.photo.jpeg.kept import Piece, Stretch
from photochrom.worker.photo.jpeg.metadata import Changes
from photochrom.worker.photo.jpeg.scans import Scans, encode
from photochrom.worker.photo.jpeg.segments import DNL, DQT, DRI, EOI, FRAMES, SOS, Segment, segment
from photochrom.worker.photo.jpeg.source import PROGRESSIVE, GrayJpeg

LUMA, CB, CR = 1, 2, 3
"""Component ids, as JFIF has them: a reader that finds neither JFIF nor Adobe marker takes 1, 2, 3 for YCbCr."""

BY_TWO, ONCE = 0x22, 0x11


def splice(
    jpeg: GrayJpeg,
    chroma: np.ndarray,
    changes: Changes,
    quality: int,
    *,
    keep_original: bool,
    sha256: str | None = None,
) -> bytes:
    """The coloured file. `chroma` is Cb and Cr, uint8 (2, ceil(h / 2), ceil(w / 2)), to be encoded at `quality`.

    With `keep_original`, `kept.restore` gives the original back; `sha256` is the original's, where it is known. Raises
    ImageFault ("unsupported") where that does not fit into a JPEG's segments.
    """
    progressive = jpeg.frame.marker == PROGRESSIVE
    scans = [encode(plane, quality, progressive=progressive) for plane in chroma]
    slot = next(slot for slot in range(4) if slot != jpeg.frame.components[0].table)
    pieces: list[Piece] = []
    behind_head = 0
    for found in jpeg.segments:
        pieces += _written(found, jpeg, changes, slot)
        if found is jpeg.last_of_head:
            pieces.append(changes.added)
            behind_head = len(pieces)
    pieces += _chroma(scans, slot)
    if keep_original:
        pieces.insert(behind_head, kept.keep(jpeg.data, pieces, sha256))
    return kept.assemble(jpeg.data, pieces)


def _written(found: Segment, jpeg: GrayJpeg, changes: Changes, slot: int) -> list[Piece]:
    """One segment of the original: as it is, unless it is changed metadata or a header that names components."""
    if found.start in changes.replaced:
        return [changes.replaced[found.start]]
    if found.marker in FRAMES:
        return [_frame_header(jpeg, slot)]
    if found.marker == SOS:
        return [Stretch(found.start, found.at + 1), bytes((LUMA,)), Stretch(found.at + 2, found.end)]
    if found.marker in (DNL, EOI):
        return []
    return [Stretch(found.start, found.end)]


def _frame_header(jpeg: GrayJpeg, slot: int) -> bytes:
    frame = jpeg.frame
    components = bytes((LUMA, BY_TWO, frame.components[0].table, CB, ONCE, slot, CR, ONCE, slot))
    size = jpeg.height.to_bytes(2, "big") + frame.width.to_bytes(2, "big")
    return segment(frame.marker, bytes((frame.precision,)) + size + bytes((3,)) + components)


def _chroma(scans: list[Scans], slot: int) -> list[Piece]:
    """Cb and Cr behind the luma. Their scans have no restart markers, whatever the luma's have."""
    table = segment(DQT, bytes((slot,)) + scans[0].table)
    no_restarts = segment(DRI, bytes(2))
    written = [scan.written(component) for scan, component in zip(scans, (CB, CR), strict=True)]
    return [table, no_restarts, *written, bytes((0xFF, EOI))]
