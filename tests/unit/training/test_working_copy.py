"""Working copies: at which size, in which colours, which way up, and what is refused before it is decoded."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms

from photochrom.training.data import working_copy as module
from photochrom.training.data.working_copy import SHORT_SIDE, chroma_of, working_copy
from photochrom.training.metrics import colourfulness
from photochrom.worker.errors import ImageFault, OutOfMemoryFault
from photochrom.worker.photo.base import colorspace

ORIENTATION = 274

levels = arrays(np.uint8, (6, 7, 3), elements=st.integers(0, 255))


def refused(data):
    with pytest.raises(ImageFault) as fault:
        working_copy(data)
    return fault.value.reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_small_photograph_keeps_its_pixels(picture, encode, kind):
    data = encode(picture(1), kind)
    copy = working_copy(data)
    np.testing.assert_array_equal(copy.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert (copy.traits.height, copy.traits.width) == (64, 72)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(900, 600), (600, 900), (385, 384), (2000, 1000)])
def test_a_large_photograph_is_brought_to_working_size(picture, encode, kind, size):
    image = picture(2).resize(size, Image.Resampling.BICUBIC)
    copy = working_copy(encode(image, kind))
    height, width = copy.pixels.shape[:2]
    assert min(height, width) == SHORT_SIDE
    assert width / height == pytest.approx(size[0] / size[1], abs=0.005)
    assert (copy.traits.width, copy.traits.height) == size
    expected = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS), dtype=int)
    assert abs(copy.pixels - expected).mean() < 2


def test_traits_are_those_of_the_pixels(picture, encode):
    image = picture(3)
    traits = working_copy(encode(image)).traits
    assert traits.colourfulness == colourfulness(np.asarray(image))
    assert traits.mean_chroma == pytest.approx(chroma_of(np.asarray(image)).mean(axis=(1, 2)), abs=1e-6)


def test_chroma_of_a_neutral_pixel_is_zero_at_every_level():
    neutral = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert abs(chroma_of(neutral)).max() < 1e-7  # less than 1/30,000 of a level


@given(levels)
def test_chroma_of_is_the_u_and_v_of_split(rgb):
    found = chroma_of(rgb)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, colorspace.split(rgb.transpose(2, 0, 1) / 255)[1:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_photograph_stands_upright(picture, encode, kind):
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned by 90 degrees, clockwise
    image = picture(4, width=500, height=400)
    copy = working_copy(encode(image, kind, exif=exif))
    upright = image.transpose(Image.Transpose.ROTATE_270).resize((384, 480))
    assert copy.pixels.shape == (480, 384, 3)
    assert (copy.traits.height, copy.traits.width) == (500, 400)
    assert abs(copy.pixels.astype(int) - np.asarray(upright)).mean() < 5


def linear_profile():
    """sRGB's primaries with a gamma of 1: what lies in the file looks much lighter."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = int.from_bytes(profile[128:132])
    for tag in range(tags):
        at = 132 + 12 * tag
        if profile[at : at + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            start = int.from_bytes(profile[at + 4 : at + 8])
            profile[start : start + 12] = b"curv" + bytes(8)
            profile[at + 8 : at + 12] = (12).to_bytes(4)
    return bytes(profile)


@pytest.mark.parametrize("size", [(72, 64), (720, 640)])
def test_colours_are_those_that_the_profile_means(picture, encode, size):
    image = picture(5).resize(size)
    plain, meant = working_copy(encode(image)), working_copy(encode(image, icc_profile=linear_profile()))
    assert meant.pixels.shape == plain.pixels.shape
    assert meant.pixels.mean() > plain.pixels.mean() + 20


def test_a_profile_that_does_not_fit_is_passed_over(picture, encode):
    plain, odd = working_copy(encode(picture(6))), working_copy(encode(picture(6), icc_profile=b"no profile"))
    np.testing.assert_array_equal(plain.pixels, odd.pixels)


def test_what_is_transparent_is_seen_on_white(picture, encode):
    image = picture(7).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 20, 20))
    pixels = working_copy(encode(image)).pixels
    assert (pixels[:20, :20] == 255).all()
    np.testing.assert_array_equal(pixels[20:], np.asarray(picture(7))[20:])


def test_a_palette_is_averaged_as_colours(encode):
    checkers = np.indices((768, 768)).sum(axis=0) % 2
    image = Image.fromarray(np.array([[250, 10, 10], [10, 10, 250]], np.uint8)[checkers])
    pixels = working_copy(encode(image.quantize(8))).pixels
    assert abs(pixels[5:-5, 5:-5].astype(int) - (130, 10, 130)).max() < 8


def test_what_cannot_be_learned_from_is_refused_with_its_reason(picture, encode):
    assert refused(b"") == refused(b"no photograph") == "unreadable (UnidentifiedImageError)"
    assert refused(encode(picture(1), "JPEG")[:-800]) == "unreadable (OSError)"
    assert refused(encode(picture(1, width=300, height=63))) == "too small"
    assert refused(encode(picture(1).convert("L"))) == "next to no colour"
    assert refused(encode(picture(1).convert("L").convert("RGB"))) == "next to no colour"
    assert refused(encode(Image.new("I;16", (70, 70)), "TIFF")) == "next to no colour"


@pytest.mark.parametrize("size", [(20_000, 5_001), (60_000, 60_000)])
def test_a_bomb_is_left_out_before_it_is_decoded(size, encode, monkeypatch):
    header = bytearray(encode(Image.new("RGB", (8, 8))))
    header[16:24] = size[0].to_bytes(4) + size[1].to_bytes(4)
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4)
    monkeypatch.setattr(module, "as_seen", lambda *_: pytest.fail("decoded"))
    assert refused(bytes(header)) == "too many pixels"


@pytest.mark.parametrize("at", ["as_seen", "fingerprint"])
def test_memory_that_does_not_suffice_is_not_the_photographs_fault(picture, encode, monkeypatch, at):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(module, at, fail)
    with pytest.raises(OutOfMemoryFault):
        working_copy(encode(picture(1)))
