"""Resolution is a pair of exact numbers, and what a format cannot state exactly becomes the nearest that it can."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from photochrom.worker.photo.base import resolution
from photochrom.worker.photo.base.resolution import nearest_fraction

RATIONAL, CENTIMETER, METER = 2**32 - 1, Fraction("2.54"), Fraction("0.0254")
NUMBERS = st.integers(1, RATIONAL)
VALUES = st.builds(Fraction, NUMBERS, NUMBERS)


def inches(unit, across, down):
    factor = {2: 1, 3: CENTIMETER}[unit]
    return across * factor, down * factor


# ---- fractions of bounded numbers


@given(st.builds(Fraction, st.integers(1, 10**6), st.integers(1, 10**6)), st.integers(1, 12))
@example(Fraction(10**6, 10**6 - 1), 12)
@example(Fraction(12 * 10**5, 13 * 10**5 - 1), 12)
@example(Fraction(11 * 10**5, 4 * 10**5 - 1), 11)  # just above 11/4; with a denominator of less it would be 8/3
@example(Fraction(1, 10**6), 12)
@example(Fraction(10**6), 12)
def test_no_other_fraction_of_small_numbers_comes_nearer(value, most):
    found = nearest_fraction(value, most)
    assert 1 <= found.numerator <= most
    assert 1 <= found.denominator <= most
    all_there_are = (Fraction(*pair) for pair in product(range(1, most + 1), repeat=2))
    assert abs(found - value) == min(abs(fraction - value) for fraction in all_there_are)


@given(VALUES)
@example(Fraction(RATIONAL, 13))
@example(Fraction(RATIONAL, RATIONAL - 1))
@example(Fraction(1, RATIONAL))
@example(Fraction(RATIONAL))
def test_a_fraction_that_fits_stays_as_it_is(value):
    assert nearest_fraction(value, RATIONAL) == value


# ---- what formats can state


@given(across=VALUES, down=VALUES, unit=st.sampled_from([2, 3]))
@example(across=Fraction(RATIONAL, 13), down=Fraction(RATIONAL), unit=3)
def test_tags_state_again_what_tags_stated(across, down, unit):
    stated = resolution.of_tags(unit, across, down)
    assert stated == inches(unit, across, down)
    assert inches(*resolution.in_tags(stated)) == stated


@given(across=NUMBERS, down=NUMBERS)
@example(across=RATIONAL, down=RATIONAL - 1)
def test_tags_state_what_a_png_stated(across, down):
    stated = resolution.of_meters(across, down)
    assert stated == (across * METER, down * METER)
    assert inches(*resolution.in_tags(stated)) == stated


@given(across=st.integers(1, 2**16 - 1), down=st.integers(1, 2**16 - 1), unit=st.sampled_from([1, 2]))
def test_tags_and_a_jpeg_state_what_a_jpeg_stated(across, down, unit):
    stated = resolution.of_jfif(unit, across, down)
    assert stated == inches(unit + 1, across, down)
    assert inches(*resolution.in_tags(stated)) == stated
    again, *densities = resolution.in_jfif(stated)
    assert inches(again + 1, *densities) == stated


@given(across=st.integers(1, 2**31 - 1), down=st.integers(1, 2**31 - 1))
def test_a_png_states_again_what_a_png_stated(across, down):
    assert resolution.in_meters(resolution.of_meters(across, down)) == (across, down)


@given(across=VALUES, down=VALUES)
@example(across=Fraction(300), down=Fraction(300))
@example(across=Fraction(1, 100), down=Fraction(RATIONAL))
def test_a_png_has_the_nearest_whole_dots_a_meter(across, down):
    for dots, wanted in zip(resolution.in_meters((across, down)), (across / METER, down / METER), strict=True):
        assert abs(dots - wanted) <= Fraction(1, 2) or dots == (1 if wanted < 1 else 2**31 - 1)


@given(across=VALUES, down=VALUES)
@example(across=Fraction("111.8"), down=Fraction("111.8"))  # 44 a centimeter
@example(across=Fraction("300.2"), down=Fraction("300.2"))
@example(across=Fraction(100_000), down=Fraction(100_000))  # 16 bits hold it in centimeters alone
@example(across=Fraction(1, 100), down=Fraction(10**6))
def test_a_jpeg_has_the_nearest_whole_dots_of_an_inch_or_a_centimeter(across, down):
    def error(stated):
        return max(abs(ours / wanted - 1) for ours, wanted in zip(stated, (across, down), strict=True))

    def nearest(value):
        return max(1, min(int(value + Fraction(1, 2)), 2**16 - 1))

    unit, *densities = resolution.in_jfif((across, down))
    assert all(1 <= dots <= 2**16 - 1 for dots in densities)
    by_unit = [(nearest(across / factor) * factor, nearest(down / factor) * factor) for factor in (1, CENTIMETER)]
    assert error(inches(unit + 1, *densities)) == min(map(error, by_unit))


@pytest.mark.parametrize("value", [Fraction(10) ** -30, Fraction(10) ** 30])
def test_what_is_beyond_all_bounds_is_the_last_number_within(value):
    inside = RATIONAL if value > 1 else Fraction(1, RATIONAL)
    assert inches(*resolution.in_tags((value, value))) == (inside * (CENTIMETER if value > 1 else 1),) * 2
    assert resolution.in_meters((value, value)) == ((2**31 - 1,) * 2 if value > 1 else (1, 1))
    assert resolution.in_jfif((value, value)) == ((2, 2**16 - 1, 2**16 - 1) if value > 1 else (1, 1, 1))


# ---- what says nothing


def test_what_has_no_number_or_no_unit_says_nothing():
    assert resolution.of_tags(1, Fraction(300), Fraction(300)) is None
    assert resolution.of_tags(2, None, Fraction(300)) is None
    assert resolution.of_tags(2, Fraction(300), Fraction(0)) is None
    assert resolution.of_jfif(0, 4, 3) is None
    assert resolution.of_jfif(1, 300, 0) is None
    assert resolution.of_meters(0, 11811) is None


def test_one_dot_an_inch_counts_only_where_nothing_else_is_said():
    one, scan = (Fraction(1), Fraction(1)), (Fraction(300), Fraction(300))
    assert resolution.first_of(one, scan) == scan
    assert resolution.first_of(one, None) == one
    assert resolution.first_of(scan, one) == scan
    assert resolution.first_of(None, scan) == scan
    assert resolution.first_of(None, None) is None
