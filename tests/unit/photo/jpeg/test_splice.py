"""A spliced JPEG: the gray as it was in every decoder, the colour where it belongs, the original inside."""

import hashlib
import io

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg import jpegtran, kept, source
from photochrom.worker.photo.jpeg.chroma import planes
from photochrom.worker.photo.jpeg.metadata import changes
from photochrom.worker.photo.jpeg.segments import DHT, DQT, SOS, parse
from photochrom.worker.photo.jpeg.splice import splice
from photochrom.worker.photo.metadata.xmp import Statement
from tests.examples import examples
from tests.unit.photo.generate.jpeg import Kind, gray_jpeg, with_everything
from tests.unit.photo.generate.strategies import grid, kinds

LIMITS = Limits()
CHROMA = np.array([[[0.12, -0.05], [0.0, 0.08]], [[-0.1, 0.02], [0.15, -0.06]]], np.float32)


def opened(data):
    return source.read(data, LIMITS)


def coloured(data, keep_original=True, chroma=CHROMA):
    jpeg = opened(data)
    statement = Statement("model", "5" * 64, hashlib.sha256(data).hexdigest(), "spliced")
    found = planes(jpeg.luma, chroma, jpeg.height, jpeg.frame.width)
    return splice(jpeg, found, changes(jpeg.segments, statement), 90, keep_original=keep_original)


def readable(data):
    """The file with its height in its frame header, where decoders look for it."""
    segments = parse(data, LIMITS)
    frame = next(one for one in segments if one.marker in (0xC0, 0xC1, 0xC2))
    return data[: frame.at + 1] + opened(data).height.to_bytes(2, "big") + data[frame.at + 3 :]


def gray_of(data):
    return np.asarray(Image.open(io.BytesIO(readable(data))))


def luma_of(data):
    """The Y plane as libjpeg decodes it, without a trip through RGB."""
    return imagecodecs.jpeg8_decode(data, outcolorspace="YCBCR")[..., 0]


def check(data):
    result = coloured(data)
    assert kept.restore(result, LIMITS) == data
    np.testing.assert_array_equal(luma_of(result), gray_of(data))
    np.testing.assert_array_equal(luma_of(coloured(data, keep_original=False)), gray_of(data))


@pytest.mark.parametrize("start", range(0, len(grid()), 54))
def test_every_size_and_mode_comes_back_and_keeps_its_gray(start):
    for kind in grid()[start : start + 54]:
        check(gray_jpeg(kind))


@examples(1400)
@given(kinds())
def test_every_make_of_gray_jpeg_comes_back_and_keeps_its_gray(kind):
    try:
        check(gray_jpeg(kind))
    except ImageFault as fault:  # without its end a file may be cut short: libjpeg wants more of the smallest ones
        assert (fault.reason, kind.end) == ("damaged", False)


def test_every_decoder_sees_the_same_gray_and_the_same_colour():
    """Decoders differ in how they bring chroma to full size and round, not in what they read."""
    from torch import frombuffer, uint8
    from torchvision.io import ImageReadMode, decode_jpeg

    data = gray_jpeg(with_everything(width=200, height=150, mode="progressive", restart=0))
    result = coloured(data)
    flat = gray_of(data).astype(int)
    found = {
        "Pillow": np.asarray(Image.open(io.BytesIO(result))),
        "OpenCV": cv2.imdecode(np.frombuffer(result, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)[
            ..., ::-1
        ],
        "imagecodecs": imagecodecs.jpeg8_decode(result),
        "torchvision": decode_jpeg(frombuffer(bytearray(result), dtype=uint8), ImageReadMode.RGB)
        .permute(1, 2, 0)
        .numpy(),
    }
    for name, rgb in found.items():
        assert np.abs(rgb.astype(int) - found["Pillow"]).max() <= 3, name
        inside = (rgb > 0).all(axis=-1) & (rgb < 255).all(axis=-1)
        assert np.abs(rgb @ [0.299, 0.587, 0.114] - flat)[inside].max() <= 1.5, name


def test_the_colour_is_the_predicted_one():
    flat = io.BytesIO()
    Image.fromarray(np.full((64, 96), 128, np.uint8)).save(flat, "JPEG", quality=95)
    chroma = np.full((2, 4, 4), 0, np.float32) + np.array([0.1, -0.08], np.float32)[:, None, None]
    found = imagecodecs.jpeg8_decode(coloured(flat.getvalue(), chroma=chroma), outcolorspace="YCBCR")
    np.testing.assert_allclose(found[..., 1:].mean(axis=(0, 1)) - 128, [25.5, -20.4], atol=1)


def test_the_entropy_coded_gray_is_there_byte_for_byte():
    data = gray_jpeg(Kind(width=60, height=50, mode="progressive", component=7))
    scans = [one for one in parse(data, LIMITS) if one.marker == SOS]
    result = coloured(data, keep_original=False)
    assert all(data[one.at + len(one.payload) : one.end] in result for one in scans)


def test_chroma_has_tables_of_its_own():
    result = coloured(gray_jpeg(Kind(quantisation_slot=0)))
    segments = parse(result, LIMITS)
    slots = [one.payload[0] & 15 for one in segments if one.marker == DQT]
    assert len(slots) == len(set(slots)) == 2
    scans = [number for number, one in enumerate(segments) if one.marker == SOS]
    assert any(one.marker == DHT for one in segments[scans[0] : scans[1]])


def test_the_same_work_gives_the_same_bytes():
    data = gray_jpeg(with_everything())
    assert coloured(data) == coloured(data)


def test_a_file_without_its_original_is_smaller_and_says_so():
    data = gray_jpeg(with_everything(trailing=bytes(1000)))
    plain = coloured(data, keep_original=False)
    assert len(plain) < len(coloured(data))
    with pytest.raises(ImageFault) as told:
        kept.restore(plain, LIMITS)
    assert told.value.reason == "not-restorable"


@pytest.mark.skipif(not jpegtran.is_there(), reason="jpegtran is not installed")
@pytest.mark.parametrize("mode", ["baseline", "progressive"])
def test_jpegtran_makes_one_scan_of_it_with_the_same_pixels(mode):
    result = coloured(gray_jpeg(Kind(width=61, height=47, mode=mode, restart=0)), keep_original=False)
    whole = jpegtran.interleave(result)
    assert sum(one.marker == SOS for one in parse(whole, LIMITS)) == 1
    np.testing.assert_array_equal(
        imagecodecs.jpeg8_decode(whole, outcolorspace="YCBCR"), imagecodecs.jpeg8_decode(result, outcolorspace="YCBCR")
    )
