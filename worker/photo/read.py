"""From an encoded file to a photograph: its luma at full size, and what goes with it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from worker.errors import ImageFault
from worker.job import Format
from worker.photo import orientation

# Pictures are measured against our own limit, by their header, before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

READ_FORMATS: dict[str, Format] = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "TIFF": "tiff"}
"""Pillow's name of a format, and ours."""

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")

MOST_DPI = 65_535
"""What a JPEG's 16 bits hold."""

# How the pixels of a TIFF are stored (and its profile), which the result says for itself; Pillow takes it for EXIF.
_STORAGE_TAGS = {273, 284, 301, 34675}.union(
    range(254, 267), range(277, 282), range(288, 294), range(317, 348), range(512, 533)
)


@dataclass(frozen=True)
class Photograph:
    """A decoded photograph.

    `luma` is uint8 (h, w), as stored; `alpha` likewise or None; `orientation` is EXIF's, 1..8. `exif`, `icc` and `dpi`
    are carried to the result; a gray ICC profile is not, since it is invalid in a coloured file.
    """

    luma: np.ndarray
    alpha: np.ndarray | None
    format: Format
    orientation: int
    exif: bytes
    icc: bytes | None
    dpi: tuple[float, float] | None

    def gray(self, height: int, width: int) -> np.ndarray:
        """A small copy of the luma, upright, uint8 (height, width)."""
        image = Image.fromarray(self.luma)
        size = (height, width) if self.is_turned else (width, height)
        small = np.asarray(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2))
        return orientation.upright(small, self.orientation)

    @property
    def is_turned(self) -> bool:
        """Whether rows and columns change places when it is shown upright."""
        return self.orientation >= 5

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) as it is to be seen."""
        height, width = self.luma.shape
        return (width, height) if self.is_turned else (height, width)


def read(data: bytes, max_pixels: int) -> Photograph:
    """Decode a JPEG, PNG or TIFF file, gray or colour, of 8 bits.

    Raises ImageFault, with the reason "empty", "not-a-photograph", "too-many-pixels", "unsupported" or "damaged".
    """
    if not data:
        raise ImageFault("empty", "the file has no bytes")
    image = _open(data)
    try:
        _check(image, max_pixels)
        return _decode(image)
    except (ImageFault, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ImageFault("damaged", f"{image.format} cannot be decoded: {error}") from error


def _decode(image: Image.Image) -> Photograph:
    turn = _orientation(image)
    image.load()
    alpha = np.asarray(image.getchannel("A")) if image.mode in ("LA", "PA", "RGBA") else _transparency(image)
    luma = np.asarray(image.convert("RGB" if image.mode in ("P", "PA") else image.mode).convert("L"))
    if image.format == "TIFF":  # Pillow turns a TIFF upright as it loads it
        luma = np.ascontiguousarray(orientation.as_stored(luma, turn))
        alpha = None if alpha is None else orientation.as_stored(alpha, turn)
    return Photograph(
        luma=luma,
        alpha=alpha,
        format=READ_FORMATS[image.format or ""],
        orientation=turn,
        exif=_exif(image, turn),
        icc=_rgb_profile(image),
        dpi=_dpi(image),
    )


def _open(data: bytes) -> ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=[name for name in READ_FORMATS if name != "MPO"])
    except UnidentifiedImageError as error:
        raise ImageFault("not-a-photograph", "the file is no JPEG, PNG or TIFF") from error
    except MemoryError:
        raise
    except Exception as error:  # a header that its format's plug-in stumbles over
        raise ImageFault("damaged", f"the file's header cannot be read: {error}") from error


def _check(image: ImageFile, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageFault("too-many-pixels", f"{width} x {height} pixels are more than the limit of {max_pixels:,}")
    if image.mode not in EIGHT_BIT_MODES or _bits(image) > 8:
        raise ImageFault("unsupported", f"{image.format} of mode {image.mode}: only 8-bit gray and RGB are supported")
    pages = getattr(image, "n_frames", 1)
    if pages > 1 and image.format != "MPO":
        raise ImageFault("unsupported", f"{image.format} of {pages} pages: only single ones are supported")


def _bits(image: ImageFile) -> int:
    """Bits a sample in the file: Pillow opens a 16-bit RGB PNG or TIFF as 8-bit RGB without a word."""
    if image.format == "PNG" and image.tile:
        return 16 if image.tile[0].args in ("RGB;16B", "LA;16B", "RGBA;16B") else 8
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (8,)))  # type: ignore[attr-defined]
    return 8


def _orientation(image: Image.Image) -> int:
    """1..8; what a file says beyond that, in whatever type, means 1."""
    stated = image.getexif().get(orientation.TAG)
    return stated if isinstance(stated, int) and 1 <= stated <= 8 else orientation.UPRIGHT


def _exif(image: Image.Image, turn: int) -> bytes:
    exif = image.getexif()
    for tag in (orientation.TAG, *_STORAGE_TAGS):
        exif.pop(tag, None)
    if turn != orientation.UPRIGHT:
        exif[orientation.TAG] = turn
    return exif.tobytes() if exif else b""


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    across, down = map(float, image.info.get("dpi", (0, 0)))
    sensible = all(1 < value <= MOST_DPI for value in (across, down))  # Pillow's 1 is a TIFF that says nothing
    return (across, down) if sensible else None


def _transparency(image: Image.Image) -> np.ndarray | None:
    if "transparency" not in image.info:
        return None
    return np.asarray(image.convert("RGBA").getchannel("A"))


def _rgb_profile(image: Image.Image) -> bytes | None:
    """The ICC profile, if it is one for RGB: bytes 16..20 of a profile name its colour space (ICC.1, 7.2)."""
    profile = image.info.get("icc_profile")
    return profile if profile and profile[16:20] == b"RGB " else None
