"""Resolution, exactly: as each format states it, and what of it a format can state.

TIFF 6.0, section 8; Exif 3.0, 4.6.5; JFIF (T.871, 10.1); PNG 11.3.4.3; JPEG 2000 (T.800, I.5.3.7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeVar

Resolution = tuple[Fraction, Fraction]
"""Dots an inch, (across, down), both more than 0."""

Number = TypeVar("Number", int, Fraction)

_INCH, _CENTIMETER, _METER = Fraction(1), Fraction(254, 100), Fraction(254, 10_000)
"""What dots in each of them are multiplied by to be dots an inch."""

_TAG_UNITS = {2: _INCH, 3: _CENTIMETER}
_JFIF_UNITS = {1: _INCH, 2: _CENTIMETER}

INCHES = 2
"""The ResolutionUnit where a file says none."""

_MOST_OF_A_RATIONAL, _MOST_OF_JFIF, _MOST_OF_PNG = 2**32 - 1, 2**16 - 1, 2**31 - 1


def of_tags(unit: int, across: Fraction | None, down: Fraction | None) -> Resolution | None:
    """What ResolutionUnit, XResolution and YResolution of a TIFF or an EXIF block say; None if that is nothing."""
    factor = _TAG_UNITS.get(unit)
    return _positive(across * factor, down * factor) if factor and across and down else None


def of_jfif(unit: int, across: int, down: int) -> Resolution | None:
    """What unit and densities of a JFIF segment say; None if that is nothing but the shape of a pixel."""
    factor = _JFIF_UNITS.get(unit)
    return _positive(across * factor, down * factor) if factor else None


def of_meters(across: Fraction | int, down: Fraction | int) -> Resolution | None:
    """What dots a meter say, as PNG and JPEG 2000 have them."""
    return _positive(across * _METER, down * _METER)


def first_of(own: Resolution | None, exif: Resolution | None) -> Resolution | None:
    """A format's own statement, else EXIF's; but one dot an inch, which means that nobody knew, counts last."""
    if own and exif:
        return exif if max(own) <= 1 else own
    return own or exif


def in_tags(resolution: Resolution) -> tuple[int, Fraction, Fraction]:
    """ResolutionUnit, XResolution and YResolution, numerators and denominators of 1 to 2**32 - 1.

    Exact if either unit makes it so, inches before centimeters, else in the unit that comes nearer.
    """
    return _stated(resolution, _TAG_UNITS, lambda value: nearest_fraction(value, _MOST_OF_A_RATIONAL))


def in_jfif(resolution: Resolution) -> tuple[int, int, int]:
    """JFIF's unit and densities, 1 to 65,535 whole dots: of inches and centimeters, in what comes nearer."""
    return _stated(resolution, _JFIF_UNITS, lambda value: _nearest_whole(value, _MOST_OF_JFIF))


def in_meters(resolution: Resolution) -> tuple[int, int]:
    """The nearest whole dots a meter, 1 to 2**31 - 1, more than which PNG has no number for (7.1)."""
    across, down = (_nearest_whole(value / _METER, _MOST_OF_PNG) for value in resolution)
    return across, down


def nearest_fraction(value: Fraction, most: int) -> Fraction:
    """Of all fractions with numerator and denominator of 1 to `most`, the nearest to a value above 0.

    `Fraction.limit_denominator` bounds the denominator alone.
    """
    if not Fraction(1, most) < value < most:
        return max(Fraction(1, most), min(value, Fraction(most)))
    before, last = (0, 1), (1, 0)
    numerator, denominator = value.numerator, value.denominator
    while denominator:  # one convergent of the continued fraction after the other
        whole, rest = divmod(numerator, denominator)
        following = before[0] + whole * last[0], before[1] + whole * last[1]
        if max(following) > most:
            return _between(value, before, last, most)
        before, last, numerator, denominator = last, following, denominator, rest
    return value


def _between(value: Fraction, before: tuple[int, int], last: tuple[int, int], most: int) -> Fraction:
    """The nearer of the last convergent and the farthest step from the one before it that is small enough."""
    steps = min((most - start) // step for start, step in zip(before, last, strict=True))
    stepped = Fraction(before[0] + steps * last[0], before[1] + steps * last[1])
    return min(Fraction(*last), stepped, key=lambda fraction: abs(fraction - value))


def _nearest_whole(value: Fraction, most: int) -> int:
    return max(1, min(round(value), most))


def _positive(across: Fraction, down: Fraction) -> Resolution | None:
    return (across, down) if across > 0 and down > 0 else None


def _stated(
    resolution: Resolution, units: Mapping[int, Fraction], nearest: Callable[[Fraction], Number]
) -> tuple[int, Number, Number]:
    """The unit that makes the smallest relative error, and across and down in it."""

    def error(unit: int) -> Fraction:
        return max(abs(nearest(value / units[unit]) * units[unit] / value - 1) for value in resolution)

    unit = min(units, key=error)
    across, down = (nearest(value / units[unit]) for value in resolution)
    return unit, across, down
