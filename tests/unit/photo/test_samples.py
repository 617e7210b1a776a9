"""Stored samples become luma as the standards say, to the last bit."""

import numpy as np
import pytest
from PIL import Image

from photochrom.worker.photo.base.samples import luma_of, replicated


def colours(dtype, channels=3, shape=(150, 41), seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (*shape, channels), dtype=dtype, endpoint=True)


def exact(rgb):
    red, green, blue = rgb[..., :3].astype(np.int64).transpose(2, 0, 1)
    return (299 * red + 587 * green + 114 * blue + 500) // 1000


@pytest.mark.parametrize("channels", [3, 4])
def test_8_bit_luma_is_pillows(channels):
    rgb = colours(np.uint8, channels)
    luma = luma_of(rgb)
    assert luma.dtype == np.uint8
    np.testing.assert_array_equal(luma, np.asarray(Image.fromarray(rgb[..., :3].copy()).convert("L")))
    assert abs(luma.astype(int) - exact(rgb)).max() <= 1


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_luma_is_the_rounded_sum(channels):
    rgb = colours(np.uint16, channels)
    rgb[0] = 65535
    luma = luma_of(rgb)
    assert luma.dtype == np.uint16
    np.testing.assert_array_equal(luma, exact(rgb))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_luma_of_gray_in_three_colours_is_that_gray(dtype):
    gray = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1)
    np.testing.assert_array_equal(luma_of(np.dstack([gray] * 3)), gray)


@pytest.mark.parametrize("bits", range(1, 17))
def test_few_bits_fill_the_whole_range(bits):
    levels = np.arange(2**bits, dtype=np.uint16)
    spread = replicated(levels, bits).astype(int)
    wide = 8 if bits <= 8 else 16
    assert (spread[0], spread[-1]) == (0, 2**wide - 1)
    np.testing.assert_array_equal(spread >> (wide - bits), levels)  # and so each level can be had back
    assert abs(spread - levels * float(2**wide - 1) / (2**bits - 1)).max() < 1
    assert replicated(levels, bits).dtype == (np.uint8 if bits <= 8 else np.uint16)


@pytest.mark.parametrize(("bits", "factor"), [(1, 255), (2, 85), (4, 17), (8, 1)])
def test_1_2_and_4_bits_are_spread_evenly(bits, factor):
    np.testing.assert_array_equal(replicated(np.arange(2**bits, dtype=np.uint8), bits), np.arange(2**bits) * factor)


def test_samples_are_not_changed_in_place():
    samples = np.array([1, 2, 3], np.uint16)
    replicated(samples, 12)
    assert samples.tolist() == [1, 2, 3]
