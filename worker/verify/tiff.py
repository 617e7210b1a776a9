"""TIFF: samples as libtiff decodes them, tags by a reader of its own."""

from __future__ import annotations

from collections.abc import Iterator

import imagecodecs
import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.verify import iptc
from photochrom.worker.verify.page import Page, Says, check_size, widened
from photochrom.worker.verify.resolution import of_tags
from photochrom.worker.verify.tags import Directory, directories

MOST_SAMPLES = 5
"""Of a pixel: four inks and alpha."""

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6


def read_tiff(data: bytes, most_pixels: int) -> Iterator[Page]:
    """The pages of a TIFF file, one after another. Raises ImageFault ("damaged", "unsupported", "too-many-pixels")."""
    found = directories(data)
    if not found:
        raise ImageFault("damaged", "a TIFF without a directory")
    for number, directory in enumerate(found):
        _check_size(directory, most_pixels)
        yield _page(data, number, directory)


def _page(data: bytes, number: int, directory: Directory) -> Page:
    bits, photometric = directory.first(258, 1), directory.first(262, BLACK_IS_ZERO)
    decoded = imagecodecs.tiff_decode(data, index=number)
    if decoded.dtype.kind not in "bu" or decoded.dtype.itemsize > 2 or photometric > YCBCR or photometric == 4:
        raise ImageFault("unsupported", f"a TIFF page of {decoded.dtype} samples, photometric {photometric}")
    planes = _chunky(decoded, directory)
    colours = 3 if photometric in (RGB, YCBCR) else 1
    samples = planes[..., :colours] if planes.ndim == 3 else planes
    samples = _shown(samples[..., 0] if samples.ndim == 3 and colours == 1 else samples, bits, photometric, directory)
    has_alpha = planes.ndim == 3 and planes.shape[2] > colours and directory.first(338) in (1, 2)
    return Page(
        samples=samples,
        space="gray" if samples.ndim == 2 else "rgb",
        bits=8 if photometric == PALETTE else bits,
        alpha=widened(planes[..., colours], bits) if has_alpha else None,
        says=_says(directory),
    )


def _check_size(directory: Directory, most_pixels: int) -> None:
    check_size(directory.first(256), directory.first(257) * directory.first(32997, 1), most_pixels)
    if directory.first(277, 1) > MOST_SAMPLES:
        raise ImageFault("unsupported", f"a TIFF page of {directory.first(277)} samples a pixel")


def _chunky(decoded: np.ndarray, directory: Directory) -> np.ndarray:
    """(h, w) or (h, w, samples), in whatever order the planes are stored."""
    if decoded.ndim == 3 and directory.first(284, 1) == 2:
        return np.moveaxis(decoded, 0, -1)
    return decoded


def _shown(samples: np.ndarray, bits: int, photometric: int, directory: Directory) -> np.ndarray:
    """Samples of 8 or 16 bits in which white is the most."""
    if photometric == PALETTE:
        return _through_map(samples, directory.numbers(320))
    wide = widened(samples.astype(np.uint8) if samples.dtype == bool else samples, bits)
    return np.iinfo(wide.dtype).max - wide if photometric == WHITE_IS_ZERO else wide


def _through_map(indices: np.ndarray, entries: tuple[int, ...]) -> np.ndarray:
    """Through the colour map (TIFF 6.0, section 5): 8 bits where its 16 say no more than 8."""
    colours = np.array(entries, np.uint16).reshape(3, -1).T
    if not (colours % 257).any() or not (colours % 256).any():
        colours = (colours >> 8).astype(np.uint8)
    return colours[indices.astype(np.intp)]


def _says(directory: Directory) -> Says:
    photoshop = directory.raw(34377)
    orientation = directory.first(274, 1)
    return Says(
        tags=directory.tags,
        xmp=directory.raw(700),
        iptc=directory.raw(33723) or iptc.resources(photoshop).get(iptc.IPTC_RESOURCE, b""),
        photoshop=photoshop,
        icc=directory.raw(34675),
        dpi=of_tags(directory.tags),
        orientation=orientation if 1 <= orientation <= 8 else 1,
    )
