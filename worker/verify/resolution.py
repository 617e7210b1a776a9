"""Resolution as each format states it, in exact dots per inch."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

from photochrom.worker.verify.page import Resolution, Tags

_INCH, _CENTIMETER, _METER = Fraction(1), Fraction(127, 50), Fraction(127, 5000)
"""How many of a unit's dots make one per inch."""

_TAG_UNITS, _JFIF_UNITS = {2: _INCH, 3: _CENTIMETER}, {1: _INCH, 2: _CENTIMETER}


def of_tags(tags: Tags) -> Resolution | None:
    """XResolution, YResolution and ResolutionUnit (TIFF 6.0; EXIF has the same)."""
    unit = _TAG_UNITS.get(_first(tags.get(("", 296), (2,))))
    across, down = (_fraction(_first(tags.get(("", tag), ()))) for tag in (282, 283))
    return _positive(across * unit, down * unit, None) if unit else None


def of_jfif(payload: bytes) -> Resolution | None:
    """JFIF's density (1.02, after the version): whole dots per inch or centimeter; an aspect ratio is none."""
    if len(payload) < 7:
        return None
    code, across, down = struct.unpack_from(">BHH", payload, 2)
    unit = _JFIF_UNITS.get(code)
    return _positive(across * unit, down * unit, unit) if unit else None


def of_phys(payload: bytes) -> Resolution | None:
    """PNG's pHYs in whole dots per meter; an aspect ratio is none."""
    if len(payload) != 9 or payload[8] != 1:
        return None
    across, down = struct.unpack(">II", payload[:8])
    return _positive(across * _METER, down * _METER, _METER)


def stated(own: Resolution | None, exif: Resolution | None) -> Resolution | None:
    """A format's own statement, else EXIF's; but one dot per inch, which says nothing, counts last."""
    return exif if exif and (own is None or max(own.across, own.down) <= 1) else own


def alike(wanted: Resolution, there: Resolution) -> bool:
    """Whether a resolution is the one that was wanted, or of whole dots the nearest to it."""
    pairs = ((wanted.across, there.across), (wanted.down, there.down))
    return all(abs(a - b) <= (there.step / 2 if there.step else 0) for a, b in pairs)


def _first(value: object) -> Any:
    return value[0] if isinstance(value, tuple) and value else None


def _fraction(value: object) -> Fraction:
    if not (isinstance(value, tuple) and len(value) == 2 and value[1]):
        return Fraction(0)
    return Fraction(*value)


def _positive(across: Fraction, down: Fraction, step: Fraction | None) -> Resolution | None:
    return Resolution(across, down, step) if across > 0 and down > 0 else None
