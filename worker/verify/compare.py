"""A coloured file held against its original: every promise, one finding each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from photochrom.worker.errors import ImageFault, UsageError
from photochrom.worker.verify import fields, kept, pixels
from photochrom.worker.verify.finding import Finding, over_pages
from photochrom.worker.verify.jpeg import is_whole
from photochrom.worker.verify.page import MOST_PIXELS, Page
from photochrom.worker.verify.profile import profile
from photochrom.worker.verify.provenance import how, provenance
from photochrom.worker.verify.reading import format_of, pages


def verify(coloured: Path, original: Path, most_pixels: int = MOST_PIXELS) -> list[Finding]:
    """What of the original is in the coloured file, one finding for each thing compared.

    A file that cannot be decoded, or claims a page of more than `most_pixels`, is a finding ("readable") as well.
    Raises UsageError for one that is not there.
    """
    return verify_bytes(_bytes(coloured), _bytes(original), most_pixels)


def verify_bytes(coloured: bytes, original: bytes, most_pixels: int = MOST_PIXELS) -> list[Finding]:
    """The same for files in memory."""
    restored = _original_bytes(coloured, original)
    try:
        return [_readable(coloured), restored, *_all_pages(coloured, original, most_pixels)]
    except ImageFault as fault:
        return [Finding("readable", False, str(fault)), restored]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _all_pages(coloured: bytes, original: bytes, most_pixels: int) -> list[Finding]:
    """The findings of all pages; only two pages are decoded at a time."""
    sha256 = hashlib.sha256(original).hexdigest()
    found = _named(pages(coloured, most_pixels), "the coloured file")
    wanted = _named(pages(original, most_pixels), "the original")
    compared = []
    while (page := next(found, None)) and (source := next(wanted, None)):
        compared.append(_of_page(page, source, sha256))
    more, lost = sum(1 for _ in found) + (page is not None), sum(1 for _ in wanted)
    detail = f"{len(compared) + more} page(s), the original has {len(compared) + lost}"
    return [Finding("pages", not more and not lost, detail), *over_pages(compared)]


def _readable(coloured: bytes) -> Finding:
    whole = format_of(coloured) != "jpeg" or is_whole(coloured)
    return Finding("readable", whole, "from its start to its end" if whole else "its markers do not lead to its end")


def _named(found: Iterator[Page], name: str) -> Iterator[Page]:
    try:
        yield from found
    except ImageFault as fault:
        raise ImageFault(fault.reason, f"{name}: {fault}") from fault


def _of_page(coloured: Page, original: Page, sha256: str) -> list[Finding]:
    made = how(coloured.says.xmp)
    return [
        pixels.size(coloured, original),
        pixels.luma(coloured, original, made),
        pixels.colour(coloured, original) if coloured.size == original.size else _no_comparison("colour"),
        pixels.depth(coloured, original),
        pixels.alpha(coloured, original),
        fields.orientation(coloured.says, original.says),
        profile(coloured.says, original.says),
        *fields.metadata(coloured.says, original.says),
        provenance(coloured.says.xmp, sha256),
    ]


def _no_comparison(what: str) -> Finding:
    return Finding(what, None, "the pictures have different sizes")


def _original_bytes(coloured: bytes, original: bytes) -> Finding:
    """Whether the original comes back byte for byte, where the coloured file says that it keeps it."""
    if format_of(coloured) != "jpeg":
        return Finding("original bytes", None, "only an archived JPEG keeps them")
    try:
        restored = kept.original_of(coloured, len(original))
    except ImageFault as fault:
        return Finding("original bytes", False, str(fault))
    if restored is None:
        return Finding("original bytes", None, "the file keeps nothing of its original: it cannot be restored")
    same = restored == original
    detail = f"all {len(original):,} bytes come back" if same else "another file than this original comes back"
    return Finding("original bytes", same, detail)
