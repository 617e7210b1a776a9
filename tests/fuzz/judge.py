"""Whether the picture that came out of a damaged file is the one that its format's own library sees in it."""

from __future__ import annotations

import io
from collections.abc import Callable
from enum import Enum

import imagecodecs
import numpy as np
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.verify.compare import verify_bytes
from photochrom.worker.verify.jpeg import is_whole
from photochrom.worker.verify.pixels import luma_of
from photochrom.worker.verify.provenance import how
from photochrom.worker.verify.reading import format_of, pages


class Judgement(Enum):
    """Of a picture that came out."""

    RIGHT = "coloured, luma as the reference decoder's"
    NO_REFERENCE = "coloured, though no library decodes it"
    WRONG = "WRONG: coloured with another luma"

    @property
    def is_finding(self) -> bool:
        """Whether it must not be."""
        return self is Judgement.WRONG


PROMISES = ("readable", "pages", "size", "luma", "original bytes")
"""What is held against a damaged file: its metadata may be damaged, too."""

MOST_OFF = 4.0
"""Levels, root mean square, that a JPEG of the default quality may be off where luma is encoded anew."""


def judge(kind: str, data: bytes, result: bytes) -> tuple[Judgement, str]:
    """What to think of a result, and why. Restored files are right by their SHA-256, which restoring checks."""
    if kind == "archived":
        return Judgement.RIGHT, ""
    broken = {
        finding.what: finding.detail
        for finding in verify_bytes(result, data)
        if finding.what in PROMISES and finding.ok is False
    }
    if not broken:
        return Judgement.RIGHT, ""
    detail = "; ".join(f"{what}: {words}" for what, words in broken.items())
    others = [same for by in (_by_pillow, _by_imagecodecs) if (same := _same(by, data, result)) is not None]
    if "original bytes" in broken or not (_is_readable(result) and _is_whole(result)):
        return Judgement.WRONG, detail
    if any(others):
        return Judgement.RIGHT, "as Pillow or imagecodecs has it"
    return (Judgement.WRONG if others or _is_readable(data) else Judgement.NO_REFERENCE), detail


def _is_readable(data: bytes) -> bool:
    try:
        return bool([page.size for page in pages(data)])
    except ImageFault:
        return False


def _is_whole(result: bytes) -> bool:
    return format_of(result) != "jpeg" or is_whole(result)


def _same(decode: Callable[[bytes], np.ndarray], data: bytes, result: bytes) -> bool | None:
    """Whether a library sees the same luma in both; None where it cannot read the first, or not at its depth."""
    try:
        before = decode(data)
    except Exception:  # damaged in whatever way
        return None
    page = next(pages(result))
    if before.dtype == np.uint8 and page.depth == 16:
        return None
    after = luma_of(page, slice(None))
    if before.shape != after.shape:
        return False
    off = after - before.astype(np.int32)
    if how(page.says.xmp) == "reencoded":
        return float(np.sqrt(np.mean(off.astype(float) ** 2))) <= MOST_OFF
    return not off.any() or any(np.array_equal(after >> fewer, before) for fewer in range(1, 8))


def _by_pillow(data: bytes) -> np.ndarray:
    """Luma (h, w), of 8 bits."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("L", image.size)
        if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "CMYK"):
            raise ValueError(image.mode)
        return np.asarray((image.convert("RGB") if image.mode == "CMYK" else image).convert("L"))


def _by_imagecodecs(data: bytes) -> np.ndarray:
    """Luma (h, w) of a PNG or JPEG 2000 file by libpng and OpenJPEG, which forgive more there than elsewhere."""
    decode = imagecodecs.png_decode if data.startswith(b"\x89PNG") else imagecodecs.jpeg2k_decode
    samples = decode(data)
    if samples.ndim == 2 or samples.shape[2] < 3:
        return samples if samples.ndim == 2 else samples[..., 0]
    if samples.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(samples[..., :3])).convert("L"))
    return (samples[..., :3].astype(np.int32) @ [299, 587, 114] + 500) // 1000
