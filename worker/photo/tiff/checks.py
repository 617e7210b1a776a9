"""From the fields of a page to its layout, with all that is refused by what they say, before anything is decoded."""

from __future__ import annotations

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.tiff.directory import Directory, Field, Tiff
from photochrom.worker.photo.tiff.layout import (
    DEFLATE,
    FAX,
    HORIZONTAL,
    JPEG,
    LZW,
    MIN_IS_BLACK,
    MIN_IS_WHITE,
    NONE,
    OLD_DEFLATE,
    PACKBITS,
    PALETTE,
    RGB,
    YCBCR,
    Layout,
)

_COLOURS = {MIN_IS_WHITE: 1, MIN_IS_BLACK: 1, RGB: 3, PALETTE: 1, YCBCR: 3}
_PHOTOMETRICS = {4: "a transparency mask", 5: "CMYK", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*"}
_PHOTOMETRICS |= {32803: "a camera's raw data", 34892: "a camera's raw data", 32844: "LogL", 32845: "LogLuv"}
_COMPRESSIONS = {6: "JPEG of the old style", 34712: "JPEG 2000", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}
_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}

MOST_TILE = 4096
"""A side of a tile may be as long, or as long as the picture's: what a small picture could claim beyond is a bomb."""

MOST_TABLES = 2**20

_SINGLE = {256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323}
_STRUCTURE = _SINGLE | {258, 273, 279, 320, 324, 325, 338, 339, 347}
"""Say where and how the pixels are: what cannot be read of these must not be taken for what is not there."""

_ALPHAS = (0, 1, 2)
"""Unspecified, associated, unassociated (ExtraSamples)."""

_PRIVATE = {50706: "a camera's raw data (DNG)", 33629: "a stack in one page (MetaMorph)"}


def layout_of(tiff: Tiff, directory: Directory, limits: Limits) -> Layout:
    """The layout of a page, from its fields alone.

    Raises ImageFault: "too-many-pixels", "too-many-segments", "unsupported" or "damaged".
    """
    _check_kind(tiff, directory)
    width, height = tiff.number(directory, 256, 0), tiff.number(directory, 257, 0)
    limits.check_size(width, height)
    samples = tiff.number(directory, 277, 1)
    bits = _bits(tiff, directory, samples)
    photometric, colours = _photometric(tiff, directory, samples)
    compression, predictor = _coding(tiff, directory, photometric, samples, bits)
    rows, columns, tiled = _segment_size(tiff, directory, width, height, limits)
    offsets, sizes = _tables(directory, tiled, compression)
    layout = Layout(
        width=width,
        height=height,
        bits=bits,
        samples=samples,
        alpha=_alpha(tiff, directory, samples - colours),
        photometric=photometric,
        planar=samples > 1 and _one_of(tiff, directory, 284, "PlanarConfiguration", (1, 2)) == 2,
        compression=compression,
        predictor=predictor,
        bits_reversed=_one_of(tiff, directory, 266, "FillOrder", (1, 2)) == 2,
        fax_options=tiff.number(directory, 292, 0),
        rows=rows,
        columns=columns,
        tiled=tiled,
        colour_map=directory.fields.get(320),
        tables=directory.fields.get(347),
        offsets=offsets,
        sizes=sizes,
    )
    _check_segments(layout, limits)
    layout.places(tiff)
    return layout


def _check_kind(tiff: Tiff, directory: Directory) -> None:
    found = directory.fields
    wrong = [tag for tag in _SINGLE & found.keys() if found[tag].length != 1]
    if senseless := sorted({*wrong, *(_STRUCTURE & set(directory.unknown))}):
        raise ImageFault("damaged", f"tag {senseless[0]} is of a type or count that it cannot have")
    for tag, kind in _PRIVATE.items():
        if tag in directory.fields:
            raise ImageFault("unsupported", f"the TIFF holds {kind}")
    if max(tiff.number(directory, tag, 1) for tag in (32997, 32998)) > 1:
        raise ImageFault("unsupported", "the TIFF holds a volume, not a picture")
    formats = directory.fields.get(339)
    for value in tiff.integers(formats._replace(length=min(formats.length, 16))).tolist() if formats else ():
        if value in _FORMATS:
            raise ImageFault("unsupported", f"samples are {_FORMATS[value]} numbers")


def _bits(tiff: Tiff, directory: Directory, samples: int) -> int:
    if not 1 <= samples <= 4:
        raise ImageFault("unsupported", f"a pixel has {samples} samples")
    field = directory.fields.get(258)
    found = set(tiff.integers(field._replace(length=min(field.length, samples))).tolist()) if field else {1}
    bits = found.pop() if len(found) == 1 else 0
    if not 1 <= bits <= 16:
        raise ImageFault("unsupported", f"samples have {bits or 'different numbers of'} bits")
    return int(bits)


def _photometric(tiff: Tiff, directory: Directory, samples: int) -> tuple[int, int]:
    """What the samples mean, and how many of a pixel are colour."""
    photometric = tiff.number(directory, 262, -1)
    if photometric == -1:
        raise ImageFault("damaged", "the TIFF does not say what its samples mean")
    if photometric not in _COLOURS:
        kind = _PHOTOMETRICS.get(photometric, f"of photometric interpretation {photometric}")
        raise ImageFault("unsupported", f"the picture is {kind}: only gray, palette and RGB are supported")
    colours = _COLOURS[photometric]
    if samples < colours:
        raise ImageFault("damaged", f"a pixel has {samples} samples, and needs {colours}")
    if samples > colours + 1 or (samples > colours and photometric in (PALETTE, YCBCR)):
        raise ImageFault("unsupported", f"a pixel has {samples} samples, {samples - colours} of them beside its colour")
    return photometric, colours


def _alpha(tiff: Tiff, directory: Directory, extra: int) -> int | None:
    """The kind of the sample beside the colour, if there is one."""
    if not extra:
        return None
    kind, stated = tiff.number(directory, 338, 0), directory.fields.get(338)
    if kind not in _ALPHAS or (stated and stated.length != extra):
        raise ImageFault("unsupported", f"the sample beside the colour is of an unknown kind ({kind})")
    return kind


def _coding(tiff: Tiff, directory: Directory, photometric: int, samples: int, bits: int) -> tuple[int, int]:
    """Compression and predictor: the latter is part of LZW and deflate, and without meaning elsewhere."""
    compression = tiff.number(directory, 259, NONE)
    name = _COMPRESSIONS.get(compression, f"of number {compression}")
    if compression not in (NONE, *FAX, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS):
        raise ImageFault("unsupported", f"the picture is compressed by a method that is not supported ({name})")
    if compression in FAX and (bits, samples) != (1, 1):
        raise ImageFault("damaged", "fax compression is for one bit a pixel")
    if compression == JPEG and (bits not in (8, 12) or samples not in (1, 3) or photometric == PALETTE):
        raise ImageFault("unsupported", f"JPEG of {samples} samples of {bits} bits in a TIFF")
    if photometric == YCBCR and (compression != JPEG or tiff.number(directory, 284, 1) != 1):
        raise ImageFault("unsupported", "YCbCr is supported in JPEG compression alone, and not in planes")
    if compression not in (LZW, DEFLATE, OLD_DEFLATE):
        return compression, 1
    predictor = _one_of(tiff, directory, 317, "Predictor", (1, HORIZONTAL))
    if predictor == HORIZONTAL and bits not in (8, 16):
        raise ImageFault("unsupported", f"a predictor with samples of {bits} bits")
    return compression, predictor


def _segment_size(tiff: Tiff, directory: Directory, width: int, height: int, limits: Limits) -> tuple[int, int, bool]:
    """Rows and columns of a strip or tile, and whether it is a tile."""
    if 322 not in directory.fields:
        rows = min(tiff.number(directory, 278, height), height)
        if rows < 1:
            raise ImageFault("damaged", "strips have no rows")
        return rows, width, False
    rows, columns = tiff.number(directory, 323, 0), tiff.number(directory, 322, 0)
    limits.check_size(columns, rows)
    if rows > max(MOST_TILE, height + 15) or columns > max(MOST_TILE, width + 15):
        raise ImageFault("damaged", f"tiles of {columns} x {rows} pixels are far larger than the picture")
    return rows, columns, True


def _tables(directory: Directory, tiled: bool, compression: int) -> tuple[Field, Field | None]:
    """The fields with the offsets and sizes of all segments."""
    offsets, sizes = (directory.fields.get(tag) for tag in ((324, 325) if tiled else (273, 279)))
    if offsets is None or (sizes is None and (compression != NONE or offsets.length != 1 or tiled)):
        raise ImageFault("damaged", "the TIFF does not say where its pixels are")
    return offsets, sizes


def _check_segments(layout: Layout, limits: Limits) -> None:
    limits.check_segments(layout.segments)
    for field in (layout.offsets, layout.sizes):
        if field is None:
            continue
        limits.check_segments(field.length)
        if field.length < layout.segments:
            raise ImageFault("damaged", f"{layout.segments - field.length:,} of {layout.segments:,} strips are missing")
    if layout.photometric == PALETTE and (not layout.colour_map or layout.colour_map.length != 3 << layout.bits):
        raise ImageFault("damaged", "the palette is missing, or of another size than the bits of a pixel")
    if layout.tables and layout.tables.size > MOST_TABLES:
        raise ImageFault("damaged", f"JPEG tables of {layout.tables.size:,} bytes")


def _one_of(tiff: Tiff, directory: Directory, tag: int, name: str, known: tuple[int, ...]) -> int:
    value = tiff.number(directory, tag, 1)
    if value not in known:
        raise ImageFault("unsupported", f"{name} {value} is not supported")
    return value
