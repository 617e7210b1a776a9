"""What a page says beside its pixels: from its fields to `Metadata`, and back to fields.

TIFF 6.0, sections 8 and 12; XMP part 3 (700); IPTC-NAA (33723); Adobe's image resources (34377); ICC.1 annex B (34675);
Exif 3.0, 4.6.
"""

from __future__ import annotations

import io
from fractions import Fraction

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base import orientation, resolution
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.raster import Metadata, Raster
from photochrom.worker.photo.metadata import icc
from photochrom.worker.photo.tiff.directory import (
    EXIF,
    GPS,
    IFD,
    IFD8,
    INTEROPERABILITY,
    LONG,
    RATIONAL,
    SHORT,
    SUB_IMAGES,
    UNDEFINED,
    Directory,
    Field,
    Order,
    Tiff,
)
from photochrom.worker.photo.tiff.ifd import Entry, Fields

XMP, IPTC, PHOTOSHOP, ICC = 700, 33723, 34377, 34675
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
SUBFILE_TYPE, EXTRA_SAMPLES = 254, 338
ASSOCIATED, UNASSOCIATED = 1, 2

_APART = {XMP, IPTC, PHOTOSHOP, ICC, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, orientation.TAG}
"""Have a place of their own in `Metadata` and `Raster`."""

_STORAGE = {SUBFILE_TYPE, *range(256, 260), 262, *range(263, 267), 273, *range(277, 282), 284, 288, 289, 292, 293}
_STORAGE |= {317, *range(320, 326), 332, 333, 334, 336, EXTRA_SAMPLES, *range(339, 343), 346, 347, *range(512, 522)}
_STORAGE |= {*range(529, 533), 32997, 32998}
"""Say how pixels are stored: the result does that for itself."""

_LEFT_OUT = dict.fromkeys((290, 291, 301), "tone-curve-dropped") | {SUB_IMAGES: "reduced-images-dropped"}
_LEFT_OUT |= {37724: "photoshop-layers-dropped", 52545: "c2pa-invalid", INTEROPERABILITY: "unknown-tags-dropped"}
"""GrayResponse and TransferFunction, smaller copies, layers, signatures: of the gray picture, false beside colour."""

_NOT_DESCRIBED = _APART | _STORAGE | _LEFT_OUT.keys() | {EXIF, GPS}

MOST_BYTES = 64 * 2**20
"""What a page may say beside its pixels, in all."""

_EMPTY = b"II*\0" + (8).to_bytes(4, "little") + bytes(6)


def metadata_size(directory: Directory) -> int:
    """Bytes that are carried to a result, from counts alone.

    Raises ImageFault ("too-much-metadata"): many fields may claim the same bytes of a file.
    """
    size = sum(directory.fields[tag].size for tag in (*_described(directory), *(directory.fields.keys() & _APART)))
    size += sum(field.size for inner in _further(directory) for field in inner.fields.values())
    if size > MOST_BYTES:
        raise ImageFault("too-much-metadata", f"{size:,} bytes of metadata are more than the limit of {MOST_BYTES:,}")
    return size


def left_out(tiff: Tiff, directory: Directory) -> set[str]:
    """Words for what a page has and `metadata_of` does not give."""
    words = {_LEFT_OUT[tag] for tag in directory.fields.keys() & _LEFT_OUT.keys()}
    unit, across, down = _resolution(tiff, directory)
    if across and down and across != down and not resolution.of_tags(unit, across, down):
        words.add("pixel-aspect-dropped")
    for inner in (directory, *_further(directory)):
        pointers = {tag for tag, field in _plain(inner).items() if field.type in (IFD, IFD8)} - _NOT_DESCRIBED
        if inner.unknown or pointers:
            words.add("unknown-tags-dropped")
    return words


def metadata_of(tiff: Tiff, directory: Directory, alpha: int | None) -> Metadata:
    """The metadata of a page. Raises ImageFault ("damaged"), or "profile" for one that colour cannot have.

    Two tags of storage are kept in `exif`, since nothing else has a place for them: a NewSubfileType that is not 0, and
    the kind of an alpha that is not unassociated.
    """
    raw = {tag: tiff.value(directory.fields[tag]) for tag in (XMP, PHOTOSHOP, ICC) if tag in directory.fields}
    kept = Fields.of(tiff, directory, _described(directory))
    return Metadata(
        exif=kept.plus(_roles(tiff, directory, alpha)).block(),
        xmp=raw.get(XMP, b"").rstrip(b"\0"),
        iptc=_iptc(tiff, directory),
        photoshop=raw.get(PHOTOSHOP, b""),
        icc=icc.for_colour(raw.get(ICC, b"")),
        dpi=resolution.of_tags(*_resolution(tiff, directory)),
    )


def orientation_of(tiff: Tiff, directory: Directory) -> int:
    """1..8; what a page says beyond that means 1."""
    stated = tiff.number(directory, orientation.TAG, orientation.UPRIGHT)
    return stated if 1 <= stated <= 8 else orientation.UPRIGHT


def order_of(metadata: Metadata) -> Order:
    """The byte order of the EXIF block, in which a maker note may have been written too."""
    return ">" if metadata.exif.startswith(b"MM") else "<"


def alpha_of(metadata: Metadata) -> int:
    """The kind of alpha (ExtraSamples) that goes with the metadata."""
    tiff, first = _opened(metadata.exif)
    return tiff.number(first, EXTRA_SAMPLES, UNASSOCIATED)


def has_associated_alpha(raster: Raster) -> bool:
    """Whether a page's samples were multiplied by its alpha (ExtraSamples 1)."""
    return alpha_of(raster.metadata) == ASSOCIATED


def fields_of(metadata: Metadata, turn: int, order: Order) -> Fields:
    """Fields that say what the metadata and the orientation say, without ExtraSamples. Comments have no place in them.

    Raises ImageFault ("damaged") for an EXIF block that cannot be read.
    """
    tiff, first = _opened(metadata.exif)
    wanted = _described(first) | (first.fields.keys() & {SUBFILE_TYPE})
    blobs = {XMP: (1, metadata.xmp), IPTC: (UNDEFINED, metadata.iptc), PHOTOSHOP: (1, metadata.photoshop)}
    blobs[ICC] = (UNDEFINED, metadata.icc)
    entries = [Entry(tag, type_, len(data), data) for tag, (type_, data) in blobs.items() if data]
    if turn != orientation.UPRIGHT:
        entries.append(Entry.of(orientation.TAG, SHORT, order, turn))
    if metadata.dpi:
        unit, across, down = resolution.in_tags(metadata.dpi)
        entries.append(Entry.of(X_RESOLUTION, RATIONAL, order, *across.as_integer_ratio()))
        entries.append(Entry.of(Y_RESOLUTION, RATIONAL, order, *down.as_integer_ratio()))
        entries.append(Entry.of(RESOLUTION_UNIT, SHORT, order, unit))
    return Fields.of(tiff, first, wanted).in_order(order).plus(entries)


def _plain(directory: Directory) -> dict[int, Field]:
    return {tag: field for tag, field in directory.fields.items() if tag not in directory.nested}


def _described(directory: Directory) -> set[int]:
    """The tags that are carried as they are: all that are neither storage nor have a place of their own."""
    return {tag for tag, field in _plain(directory).items() if field.type not in (IFD, IFD8)} - _NOT_DESCRIBED


def _further(directory: Directory) -> list[Directory]:
    """The directories that lie below one, at any depth."""
    return [found for inner in directory.nested.values() for found in (inner, *_further(inner))]


def _roles(tiff: Tiff, directory: Directory, alpha: int | None) -> list[Entry]:
    subfile_type = tiff.number(directory, SUBFILE_TYPE, 0)
    roles = [Entry.of(SUBFILE_TYPE, LONG, tiff.order, subfile_type)] if subfile_type else []
    if alpha is not None and alpha != UNASSOCIATED:
        roles.append(Entry.of(EXTRA_SAMPLES, SHORT, tiff.order, alpha))
    return roles


def _iptc(tiff: Tiff, directory: Directory) -> bytes:
    """Records begin with 1C (IPTC-IIM 4.2, 1.5). Some writers call these bytes LONGs, and some of them swap them."""
    field = directory.fields.get(IPTC)
    if field is None:
        return b""
    entry = Entry(IPTC, field.type, field.length, tiff.value(field))
    swapped = entry.swapped() if field.type == LONG else entry
    return swapped.data if swapped.data[:1] == b"\x1c" != entry.data[:1] else entry.data


def _resolution(tiff: Tiff, directory: Directory) -> tuple[int, Fraction | None, Fraction | None]:
    """ResolutionUnit, XResolution and YResolution as a page states them."""
    unit = tiff.number(directory, RESOLUTION_UNIT, resolution.INCHES)
    return unit, tiff.rational(directory, X_RESOLUTION), tiff.rational(directory, Y_RESOLUTION)


def _opened(block: bytes) -> tuple[Tiff, Directory]:
    try:
        tiff = Tiff(io.BytesIO(block or _EMPTY), Limits())
        return tiff, tiff.first()
    except ImageFault as fault:
        raise ImageFault("damaged", f"the EXIF block cannot be read: {fault}") from fault
