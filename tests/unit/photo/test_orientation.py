"""EXIF orientation: the network sees every photograph upright, the stored pixels stay where they are."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from photochrom.worker.photo.base.orientation import TAG, as_stored, upright

ALL = range(1, 9)


def numbered(height, width, planes=()):
    return np.arange(int(np.prod(planes)) * height * width, dtype=np.uint8).reshape(*planes, height, width)


@given(orientation=st.integers(-3, 12), height=st.integers(1, 9), width=st.integers(1, 9))
def test_as_stored_undoes_upright_and_the_other_way_round(orientation, height, width):
    planes = numbered(height, width, (2,))
    np.testing.assert_array_equal(as_stored(upright(planes, orientation), orientation), planes)
    np.testing.assert_array_equal(upright(as_stored(planes, orientation), orientation), planes)


@pytest.mark.parametrize("orientation", ALL)
def test_upright_is_what_pillow_takes_for_upright(orientation):
    pixels = numbered(5, 7)
    exif = Image.Exif()
    exif[TAG] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    np.testing.assert_array_equal(upright(pixels, orientation), expected)


@pytest.mark.parametrize("orientation", ALL)
def test_the_eight_orientations_are_eight_different_pictures(orientation):
    square = numbered(4, 4)
    others = [upright(square, other) for other in ALL if other != orientation]
    assert not any(np.array_equal(upright(square, orientation), other) for other in others)


@pytest.mark.parametrize("orientation", [0, 9, -1, 1])
def test_an_unknown_orientation_means_upright(orientation):
    np.testing.assert_array_equal(upright(numbered(3, 4), orientation), numbered(3, 4))


@pytest.mark.parametrize("orientation", ALL)
def test_each_plane_is_turned_alike(orientation):
    planes = numbered(4, 6, (2,))
    for plane, turned in zip(planes, upright(planes, orientation), strict=True):
        np.testing.assert_array_equal(turned, upright(plane, orientation))
