"""What photographs are read from and written as, and the names of their files."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

Format = Literal["jpeg", "png", "tiff"]

JpegProfile = Literal["archive", "compatible", "reencode"]
"""How a gray JPEG becomes a coloured one: spliced with its original kept inside, spliced and interleaved, or anew."""

COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""A picture that is partly recorded and partly made by a trained model."""

READ_ONLY: dict[str, Format] = {".webp": "png", ".jp2": "tiff", ".j2k": "tiff", ".jpx": "tiff", ".jpf": "tiff"}
"""Formats that are read and not written, and what their results are written as by default."""

SUFFIXES: dict[str, Format] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    **READ_ONLY,
}
"""Which file names are taken for photographs, and what they are written as by default."""


def output_name(name: str, format: Format | None) -> str:
    """The name of a result: the source's, with another suffix only where its format is another one."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    wanted = format or READ_ONLY.get(suffix)
    if wanted is None or (suffix not in READ_ONLY and SUFFIXES.get(suffix) == wanted):
        return name
    return name.removesuffix(path.suffix) + {"jpeg": ".jpg", "png": ".png", "tiff": ".tif"}[wanted]
