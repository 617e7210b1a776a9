"""The chroma planes of a JPEG: their size, their place, and that their colours can be shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.worker.photo.base.colorspace import G_FROM_U, G_FROM_V, U_SCALE, V_SCALE
from photochrom.worker.photo.jpeg.chroma import planes


def colours(luma, chroma):
    """Red, green and blue, unclipped, of pixels in levels."""
    y, (u, v) = luma.astype(np.float64), (chroma.astype(np.float64) - 128)
    return np.stack([y + V_SCALE * v, y + G_FROM_U * u + G_FROM_V * v, y + U_SCALE * u])


@given(
    st.integers(0, 255), st.floats(-0.5, 0.5, width=32), st.floats(-0.5, 0.5, width=32), st.integers(1, 9), st.data()
)
def test_no_colour_leaves_the_gamut(level, u, v, side, data):
    luma = np.full((side, side), level, np.uint8)
    chroma = np.full((2, 3, 3), 0, np.float32) + np.array([u, v], np.float32)[:, None, None]
    found = colours(luma[:1, :1], planes(luma, chroma, 2 * side, 2 * side)[:, :1, :1])
    assert found.min() > -1.5  # Cb and Cr are whole levels: half a level of each is 0.9 of blue
    assert found.max() < 256.5


@pytest.mark.parametrize(("u", "v"), [(0.2, -0.1), (-0.3, 0.05), (0.0, 0.4)])
def test_colour_that_fits_is_kept_and_colour_that_does_not_keeps_its_hue(u, v):
    luma = np.array([[128, 250]], np.uint8)
    chroma = np.array([u / 2, v / 2], np.float32)[:, None, None]
    found = planes(luma, chroma, 2, 4).astype(int) - 128
    np.testing.assert_allclose(found[:, 0, 0], [255 * u / 2, 255 * v / 2], atol=0.51)
    assert np.abs(found[:, 0, 1]).sum() < np.abs(found[:, 0, 0]).sum()
    assert (np.sign(found[:, 0, 1]) * np.sign(found[:, 0, 0]) >= 0).all()


def test_black_and_white_stay_neutral():
    chroma = np.full((2, 4, 4), 0.3, np.float32)
    luma = np.array([[0, 255]], np.uint8)
    assert (np.abs(planes(luma, chroma, 2, 4).astype(int) - 128) <= 1).all()


def test_no_chroma_is_neutral_at_every_level_and_divides_by_nothing():
    luma = np.arange(256, dtype=np.uint8)[None]
    with np.errstate(all="raise"):
        assert (planes(luma, np.zeros((2, 4, 4), np.float32), 2, 512) == 128).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 1), (3, 5), (16, 16), (17, 33), (301, 200)])
@pytest.mark.parametrize("reduction", [1, 2, 4])
def test_the_planes_have_half_the_photographs_size_rounded_up(height, width, reduction):
    luma = np.full((-(-height // reduction), -(-width // reduction)), 100, np.uint8)
    found = planes(luma, np.zeros((2, 7, 9), np.float32), height, width)
    assert (found.shape, found.dtype) == ((2, (height + 1) // 2, (width + 1) // 2), np.uint8)
    assert (found == 128).all()


@pytest.mark.parametrize("reduction", [1, 2, 4])
def test_chroma_lands_where_it_was_predicted(reduction):
    """Blue above and left, red below and right."""
    chroma = np.zeros((2, 8, 8), np.float32)
    chroma[0, :4, :4], chroma[1, 4:, 4:] = 0.2, 0.2
    luma = np.full((128 // reduction, 256 // reduction), 128, np.uint8)
    blue, red = planes(luma, chroma, 128, 256).astype(int) - 128
    assert blue[:28, :56].min() > 40
    assert red[36:, 72:].min() > 40
    assert np.abs(blue[36:, 72:]).max() <= 8
    assert np.abs(red[:28, :56]).max() <= 8
