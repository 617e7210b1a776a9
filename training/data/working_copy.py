"""A photograph at the size that training works with, and what is to be known of it before one learns from it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps

from photochrom.training.data.fingerprint import fingerprint
from photochrom.training.metrics import colourfulness
from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base import colorspace
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.process.exhaustion import shortages_translated

SHORT_SIDE = 384
"""Of a working copy, at most. The smallest crop is half of it, 199 pixels: training at 192 still makes it smaller."""

SMALLEST_SIDE = 64
LEAST_COLOURFUL = 6.0
"""Below this a photograph is as good as gray and teaches only gray."""

JUDGED_SIDE = 128
"""Colourfulness and mean chroma are taken from a copy whose long side is at most this."""

NO_COLOUR = "next to no colour"

LIMITS = Limits(pixels=100_000_000)
"""Decoded, that many are 300 MB, and several photographs are decoded at once."""

# Pictures are measured against our own limit, by their header, before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Traits:
    """Of a photograph fit to learn from: its own size, upright; its fingerprint; how colourful it is (Hasler and
    Suesstrunk, 0..255), and its mean U and V, centred on 0."""

    height: int
    width: int
    fingerprint: str
    colourfulness: float
    mean_chroma: tuple[float, float]


@dataclass(frozen=True)
class WorkingCopy:
    """`pixels` (h, w, 3) RGB uint8, sRGB, upright, its short side at most `SHORT_SIDE` and never enlarged."""

    traits: Traits
    pixels: np.ndarray


@shortages_translated()
def working_copy(data: bytes) -> WorkingCopy:
    """Decode a photograph, judge it and bring it to working size.

    Raises ImageFault, its reason one of "unreadable (...)", "too many pixels", "too small", "next to no colour";
    OutOfMemoryFault, which is not the photograph's fault.
    """
    try:
        encoded = Image.open(io.BytesIO(data))
        size = _checked(encoded)
        encoded.draft("RGB", (SHORT_SIDE, SHORT_SIDE))
        image = as_seen(encoded, SHORT_SIDE)
    except (ImageFault, MemoryError):
        raise
    except Exception as error:  # any decoder error means the same here
        raise ImageFault(f"unreadable ({type(error).__name__})", str(error)) from error
    height, width = sorted(size, reverse=image.height > image.width)
    small = image.copy()
    small.thumbnail((JUDGED_SIDE, JUDGED_SIDE))
    rgb = np.asarray(small)
    colourful = colourfulness(rgb)
    if colourful < LEAST_COLOURFUL:
        raise ImageFault(NO_COLOUR, f"a colourfulness of {colourful:.1f}")
    u, v = chroma_of(rgb).mean(axis=(1, 2)).tolist()
    return WorkingCopy(Traits(height, width, fingerprint(image), colourful, (u, v)), np.asarray(image))


def chroma_of(rgb: np.ndarray) -> np.ndarray:
    """RGB uint8 of shape (h, w, 3) to chroma float32 of shape (2, h, w) in -0.5..0.5."""
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32) / 255
    return np.stack(colorspace.split(planes)[1:])


def as_seen(image: Image.Image, short_side: int | None = None) -> Image.Image:
    """A picture as RGB in sRGB, upright, as a viewer shows it: its colour profile and EXIF orientation heeded.

    A profile that does not fit is passed over, as viewers do; what is transparent is seen on white. With `short_side`,
    it is brought down to that; it is never enlarged. The picture given may be turned upright itself.

    Raises ImageFault for more pixels than are decoded at all, and what Pillow raises.
    """
    LIMITS.check_size(*image.size)
    ImageOps.exif_transpose(image, in_place=True)
    if short_side and min(image.size) > short_side:
        image = _reduced(image, short_side / min(image.size))
    return _on_white(_in_srgb(image))


def _checked(image: Image.Image) -> tuple[int, int]:
    try:
        LIMITS.check_size(*image.size)
    except ImageFault as fault:
        raise ImageFault("too many pixels", str(fault)) from fault
    if min(image.size) < SMALLEST_SIDE:
        raise ImageFault("too small", f"{image.width} x {image.height} pixels")
    if Image.getmodebase(image.mode) == "L":
        raise ImageFault(NO_COLOUR, f"a gray picture ({image.mode})")
    return image.size


def _reduced(image: Image.Image, scale: float) -> Image.Image:
    """In its own colours, so that the slow conversion of a profile sees the small copy only."""
    if image.mode == "P":  # indices cannot be averaged
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    width, height = (round(side * scale) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)


def _in_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        seen = ImageCms.profileToProfile(image, inks, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    assert seen is not None  # it is only for a conversion in place
    return seen


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
