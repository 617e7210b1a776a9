"""Resolution as each format states it, in dots per inch (across, down)."""

from __future__ import annotations

import struct

from worker.verify.page import Tags

_INCHES = {2: 1.0, 3: 2.54}
"""How many of a unit's dots make one per inch: TIFF's ResolutionUnit, inch and centimetre."""


def of_tags(tags: Tags) -> tuple[float, float] | None:
    """XResolution, YResolution and ResolutionUnit (TIFF 6.0; EXIF has the same)."""
    unit = _first(tags.get(("", 296), (2,)))
    across, down = (_fraction(_first(tags.get(("", tag), ()))) for tag in (282, 283))
    return _sensible(across * _INCHES[unit], down * _INCHES[unit]) if unit in _INCHES else None


def of_jfif(payload: bytes) -> tuple[float, float] | None:
    """JFIF's density (1.02, after the version): dots per inch or centimetre; an aspect ratio is none."""
    if len(payload) < 7:
        return None
    unit, across, down = struct.unpack_from(">BHH", payload, 2)
    return _sensible(across * _INCHES[unit + 1], down * _INCHES[unit + 1]) if unit in (1, 2) else None


def of_phys(payload: bytes) -> tuple[float, float] | None:
    """PNG's pHYs in metres; an aspect ratio is none."""
    if len(payload) != 9 or payload[8] != 1:
        return None
    across, down = struct.unpack(">II", payload[:8])
    return _sensible(across * 0.0254, down * 0.0254)


def alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two resolutions are the same but for what a format rounds: JFIF and PNG have whole dots."""
    return all(abs(a - b) <= 0.02 + 1e-4 * a or round(a) == b for a, b in zip(one, other, strict=True))


def _first(value: object) -> object:
    return value[0] if isinstance(value, tuple) and value else None


def _fraction(value: object) -> float:
    if not (isinstance(value, tuple) and len(value) == 2 and value[1]):
        return 0.0
    return value[0] / value[1]


def _sensible(across: float, down: float) -> tuple[float, float] | None:
    return (across, down) if across > 0 and down > 0 else None
