"""From a TIFF file to its pages: all of the chain, each a photograph of its own, one in memory at a time.

A page that says it is a smaller copy of another (NewSubfileType, bit 0) is a page like any other, coloured and marked
as it was. Smaller copies outside the chain, in SubIFDs, are left out, and `notes` says so. What else lies outside the
chain would be lost, and a mask is no photograph: such files are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.raster import Raster
from photochrom.worker.photo.tiff import tags
from photochrom.worker.photo.tiff.checks import layout_of
from photochrom.worker.photo.tiff.directory import Directory, Tiff
from photochrom.worker.photo.tiff.layout import LZW, NONE, PACKBITS, Layout
from photochrom.worker.photo.tiff.segments import Segments
from photochrom.worker.photo.tiff.tones import Tones
from photochrom.worker.photo.tiff.write import most_bytes

_NAMES = {NONE: "none", LZW: "lzw", PACKBITS: "packbits"}
"""Compressions that a result has as well; all others become deflate."""

_REDUCED, _MASK = 1, 4
_DESCRIPTION = 270


def pages(source: BinaryIO, limits: Limits) -> Iterator[Raster]:
    """All pages of a TIFF or BigTIFF, decoded one by one as they are asked for; the file must stay open meanwhile.

    Sizes, sample formats and the places of all pixels are checked here, before anything is decoded. Gray samples are
    luma as they stand; up to 8 bits become uint8, more become uint16.
    Raises ImageFault: "not-a-photograph", "damaged", "unsupported", "too-many-pixels", "too-many-pages",
    "too-many-segments", "too-much-metadata" or "profile"; decoding raises "damaged" and "unsupported" as well.
    """
    tiff = Tiff(source, limits)
    directories = tiff.pages()
    _check_pages(tiff, directories)
    layouts = [layout_of(tiff, directory, limits) for directory in directories]
    for directory in directories:
        tags.metadata_size(directory)
    return (_page(tiff, directory, layout) for directory, layout in zip(directories, layouts, strict=True))


def notes(source: BinaryIO, limits: Limits) -> tuple[str, ...]:
    """Words for what a file has and `pages` does not give, in alphabetical order. Raises as `pages` does."""
    tiff = Tiff(source, limits)
    return tuple(sorted(set().union(*(tags.left_out(tiff, directory) for directory in tiff.pages()))))


def needs_big(source: BinaryIO, limits: Limits) -> bool:
    """Whether the coloured pages go into a BigTIFF: the source is one, or more than 4 GiB are possible.

    Raises as `pages` does.
    """
    tiff = Tiff(source, limits)
    directories = tiff.pages()
    layouts = [layout_of(tiff, directory, limits) for directory in directories]
    pixels = sum(most_bytes(layout.height, layout.width, layout.may_be_deep) for layout in layouts)
    return tiff.is_big or pixels + sum(map(tags.metadata_size, directories)) >= 2**32


def _page(tiff: Tiff, directory: Directory, layout: Layout) -> Raster:
    tones, segments = Tones(tiff, layout), Segments(tiff, layout)
    luma = np.empty((layout.height, layout.width), tones.dtype)
    alpha = None if layout.alpha is None else np.empty_like(luma)
    for cell in layout.cells():
        top, columns = cell.top, slice(cell.left, cell.left + cell.columns)
        for samples in segments.bands(cell):
            rows = slice(top, top + len(samples))
            luma[rows, columns] = tones.luma(samples)
            if alpha is not None:
                alpha[rows, columns] = tones.alpha(samples)
            top += len(samples)
    return Raster(
        luma=luma,
        alpha=alpha,
        orientation=tags.orientation_of(tiff, directory),
        metadata=tags.metadata_of(tiff, directory, layout.alpha),
        compression=_NAMES.get(layout.compression, "deflate"),
    )


def _check_pages(tiff: Tiff, directories: list[Directory]) -> None:
    for directory in directories:
        if tiff.number(directory, tags.SUBFILE_TYPE, 0) & _MASK:
            raise ImageFault("unsupported", "a page is a mask for another one")
        for image in tiff.sub_images(directory):
            if not tiff.number(image, tags.SUBFILE_TYPE, 0) & _REDUCED:
                raise ImageFault("unsupported", "the TIFF holds pictures beside its pages (SubIFDs)")
    stated = _pages_of_imagej(tiff, directories[0])
    if stated > len(directories):
        raise ImageFault("unsupported", f"ImageJ wrote {stated} pages, but only {len(directories)} as TIFF knows them")


def _pages_of_imagej(tiff: Tiff, directory: Directory) -> int:
    """ImageJ writes files of more than 4 GiB with one directory, and the number of pages in its description."""
    field = directory.fields.get(_DESCRIPTION)
    start = tiff.read(field.place, min(field.size, 1000)) if field else b""
    found = re.search(rb"^images=(\d{1,9})$", start, re.MULTILINE) if start.startswith(b"ImageJ=") else None
    return int(found[1]) if found else 1
