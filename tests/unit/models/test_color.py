"""RGB <-> YUV: the two directions undo each other, and both say what JPEG says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from photochrom.worker.photo.base import colorspace

pictures = arrays(np.float64, (3, 4, 5), elements=st.floats(0, 1, width=32))
levels = arrays(np.uint8, (6, 7, 3))


@given(pictures)
def test_joining_what_was_split_gives_the_picture_back(rgb):
    np.testing.assert_allclose(colorspace.join(*colorspace.split(rgb)), rgb, rtol=0, atol=1e-14)


@given(pictures, pictures)
def test_splitting_what_was_joined_gives_luma_and_chroma_back(luma, chroma):
    y, (u, v) = luma[0], chroma[:2] - 0.5
    found = colorspace.split(np.stack(colorspace.join(y, u, v)))
    np.testing.assert_allclose(found, (y, u, v), rtol=0, atol=1e-14)


@given(pictures)
def test_luma_and_chroma_of_a_picture_stay_in_their_ranges(rgb):
    luma, u, v = colorspace.split(rgb)
    assert -1e-12 <= luma.min() <= luma.max() <= 1 + 1e-12
    assert max(abs(u).max(), abs(v).max()) <= 0.5 + 1e-12


@given(pictures)
def test_numpy_and_torch_agree(rgb):
    tensors = colorspace.split(torch.from_numpy(rgb))
    np.testing.assert_allclose([plane.numpy() for plane in tensors], colorspace.split(rgb), rtol=0, atol=1e-15)
    back = colorspace.join(*tensors)
    np.testing.assert_allclose([plane.numpy() for plane in back], rgb, rtol=0, atol=1e-14)


@given(levels)
def test_luma_and_chroma_agree_with_pillow_within_a_level(rgb):
    theirs = np.asarray(Image.fromarray(rgb).convert("YCbCr"), dtype=np.float64).transpose(2, 0, 1)
    luma, u, v = colorspace.split(rgb.transpose(2, 0, 1) / 255)
    # Pillow truncates sums of weights that it rounded to 16 binary digits
    assert abs(255 * luma - theirs[0]).max() < 1.01
    # JPEG keeps chroma as 0..255 about 128
    assert abs(255 * np.stack([u, v]) + 128 - theirs[1:]).max() < 1.01


def test_u_is_blue_and_v_is_red():
    _, u, v = colorspace.split(np.eye(3))  # columns: pure red, green, blue
    assert u[2] == pytest.approx(0.5)
    assert v[0] == pytest.approx(0.5)
    assert u[1] < 0
    assert v[1] < 0


def test_the_shares_of_red_green_and_blue_sum_to_one():
    assert pytest.approx(1, abs=1e-15) == colorspace.KR + colorspace.KG + colorspace.KB


def test_the_constants_are_those_of_jfif():
    factors = (colorspace.V_SCALE, colorspace.G_FROM_U, colorspace.G_FROM_V, colorspace.U_SCALE)
    assert factors == pytest.approx((1.402, -0.344136, -0.714136, 1.772), abs=5e-7)


def test_what_a_card_records_is_what_the_code_computes_with():
    recorded = {key: value for key, value in colorspace.CONSTANTS.items() if key != "space"}
    assert recorded == {
        "kr": colorspace.KR,
        "kg": colorspace.KG,
        "kb": colorspace.KB,
        "chroma_offset": colorspace.CHROMA_OFFSET,
    }
