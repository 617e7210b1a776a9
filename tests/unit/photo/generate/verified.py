"""Results made without Photochrom's writer, and what `verify` finds in them."""

from __future__ import annotations

import numpy as np

from photochrom.worker.verify import Finding
from photochrom.worker.verify.compare import verify_bytes
from tests.unit.photo.generate import jpeg, png, tiff
from tests.unit.photo.generate.jpeg import gray_jpeg
from tests.unit.photo.generate.splice import spliced, statement


def found(coloured: bytes, original: bytes) -> dict[str, Finding]:
    findings = verify_bytes(coloured, original)
    assert len({finding.what for finding in findings}) == len(findings)
    assert all(finding.detail for finding in findings)
    return {finding.what: finding for finding in findings}


def wrong(coloured: bytes, original: bytes) -> set[str]:
    return {what for what, finding in found(coloured, original).items() if finding.ok is False}


def coloured(gray: np.ndarray) -> np.ndarray:
    """RGB whose rounded luma is `gray`, bluish wherever that fits."""
    top, y = int(np.iinfo(gray.dtype).max), gray.astype(np.int64)
    red, blue = np.maximum(y - top // 20, 0), np.minimum(y + top // 20, top)
    green = (2 * (1000 * y - 299 * red - 114 * blue) + 587) // (2 * 587)
    fits = (green >= 0) & (green <= top)
    rgb = np.stack([red, green, blue], axis=-1)
    return np.where(fits[..., None], rgb, y[..., None]).astype(gray.dtype)


def coloured_tiff(original: bytes, *pages: np.ndarray, how: str = "exact", **options) -> bytes:
    packet = statement(original, how)
    given = {"photometric": "rgb", "extratags": [(700, 7, len(packet), packet, True)]}
    return tiff.tiff(*pages, **given | options)


def coloured_png(original: bytes, rgb: np.ndarray, chunks: bytes = b"", how: str = "exact") -> bytes:
    packet = png.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + statement(original, how))
    depth = rgb.dtype.itemsize * 8
    return png.png(rgb, depth, png.RGBA if rgb.shape[2] == 4 else png.RGB, packet + chunks)


GRAY = tiff.noise(40, 30)
SOURCE = gray_jpeg(jpeg.with_everything())
RESULT = spliced(SOURCE)
