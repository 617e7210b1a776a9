"""Whether the picture that came out of a damaged file is the one that its format's own library sees in it."""

from __future__ import annotations

import io
from enum import Enum

import numpy as np
from PIL import Image

from worker.errors import ImageFault
from worker.verify import Finding
from worker.verify.compare import verify_bytes
from worker.verify.reading import pages


class Judgement(Enum):
    """Of a picture that came out."""

    RIGHT = "coloured, luma as the reference decoder's"
    NO_REFERENCE = "coloured, though no reference decodes it"
    WRONG = "WRONG: coloured with another luma"

    @property
    def is_finding(self) -> bool:
        """Whether it must not be."""
        return self is Judgement.WRONG


PROMISES = ("readable", "pages", "size", "luma", "depth", "original bytes")
"""What is held against a damaged file: its metadata may be damaged, too."""


def judge(kind: str, data: bytes, result: bytes) -> tuple[Judgement, str]:
    """What to think of a result, and why. Restored files are right by their SHA-256, which restoring checks."""
    if kind == "archived":
        return Judgement.RIGHT, ""
    broken = [finding for finding in verify_bytes(result, data) if finding.what in PROMISES and finding.ok is False]
    if not broken:
        return Judgement.RIGHT, ""
    if (same := _same_by_pillow(data, result)) is not None:
        return (Judgement.RIGHT, "by Pillow") if same else (Judgement.WRONG, _words(broken))
    if _is_readable(data) or not _is_readable(result):
        return Judgement.WRONG, _words(broken)
    return Judgement.NO_REFERENCE, _words(broken)


def _words(broken: list[Finding]) -> str:
    return "; ".join(f"{finding.what}: {finding.detail}" for finding in broken)


def _is_readable(data: bytes) -> bool:
    try:
        return bool([page.size for page in pages(data)])
    except ImageFault:
        return False


def _same_by_pillow(data: bytes, result: bytes) -> bool | None:
    """Whether Pillow sees the same luma in both; None where it cannot tell: in one that it cannot read, or lossy ones."""
    before, after = (_luma_by_pillow(file) for file in (data, result))
    if before is None:
        return None
    return after is not None and np.array_equal(before, after)


def _luma_by_pillow(data: bytes) -> np.ndarray | None:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", image.size)
            return np.asarray(image.convert("L")) if image.mode in ("1", "L", "LA", "RGB", "RGBA") else None
    except Exception:  # damaged in whatever way
        return None
