"""A JPEG encoded anew holds what goes with the photograph."""

import io
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.raster import Metadata, Raster
from photochrom.worker.photo.jpeg.decode import read_jpeg
from photochrom.worker.photo.jpeg.write import write_jpeg
from tests.examples import examples

LIMITS = Limits()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def coloured(height=40, width=50):
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 5, y * 6, 255 - x * 2 - y]).astype(np.uint8)


def written(metadata=None, orientation=1, rgb=None, quality=90):
    rgb = coloured() if rgb is None else rgb
    return write_jpeg(Raster(rgb[..., 0], None, orientation, metadata or Metadata()), rgb, quality)


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def read_back(metadata, orientation=1):
    return read_jpeg(written(metadata, orientation), LIMITS)


def reason(*arguments, **more):
    with pytest.raises(ImageFault) as told:
        written(*arguments, **more)
    return told.value.reason, str(told.value)


def test_the_picture_is_what_pillow_would_have_written():
    expected = io.BytesIO()
    Image.fromarray(coloured()).save(expected, "JPEG", quality=90, subsampling="4:2:0", optimize=True)
    assert written() == expected.getvalue()


def test_quality_is_what_was_asked_for():
    assert len(written(quality=50)) < len(written(quality=95))


def test_16_bits_are_rounded_to_8():
    fine = coloured().astype(np.uint16) * 257
    assert written(rgb=fine) == written()
    for off in (-128, 128):
        near = np.clip(fine.astype(int) + off, 0, 65535).astype(np.uint16)
        assert written(rgb=near) == written()


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 130])
def test_16_bits_are_rounded_in_every_strip(rows):
    fine = np.full((rows, 8, 3), 40_000, np.uint16)
    assert abs(np.asarray(opened(written(rgb=fine))).astype(int) - 156).max() <= 1


def test_everything_that_goes_with_it_comes_back():
    exif = Image.Exif()
    exif[270] = "Vienna"
    metadata = Metadata(
        exif=exif.tobytes().removeprefix(b"Exif\0\0"),
        xmp="<x>Straße</x>".encode(),
        photoshop=b"8BIM\4\4\0\0\0\0\0\2ab",
        icc=SRGB,
        dpi=(300, 600),
        comments=(("Comment", "Graben, Straße"), ("Comment", "a second one")),
    )
    data = written(metadata, 6)
    back = read_jpeg(data, LIMITS)
    assert back.orientation == 6
    assert back.metadata.comments == metadata.comments
    for field in ("xmp", "photoshop", "icc", "dpi"):
        assert getattr(back.metadata, field) == getattr(metadata, field)
    image = opened(data)
    assert {tag: image.getexif()[tag] for tag in (270, 274, 282, 283)} == {270: "Vienna", 274: 6, 282: 300, 283: 600}
    assert image.info["dpi"] == (300, 600)
    assert image.info["icc_profile"] == SRGB
    assert next(name for name, _ in image.applist) == "APP0"
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_COLOR).shape == (
        40,
        50,
        3,
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_comes_back(orientation):
    back = read_back(Metadata(), orientation)
    assert (back.orientation, back.metadata.exif) == (orientation, b"")


def test_a_photograph_that_says_nothing_gets_no_segments():
    assert [name for name, _ in opened(written()).applist] == ["APP0"]


@pytest.mark.parametrize("size", [65_502, 65_503, 200_000])
def test_long_profiles_and_resources_are_spread_over_segments(size):
    profile = SRGB + bytes(size)
    data = written(Metadata(icc=profile))
    count = data.count(b"ICC_PROFILE\0")
    assert all(data.count(b"ICC_PROFILE\0" + bytes((number, count))) == 1 for number in range(1, count + 1))
    back = read_back(Metadata(icc=profile, photoshop=b"8BIM" + bytes(size), comments=(("Comment", "x" * size),)))
    assert (back.metadata.icc, back.metadata.photoshop) == (profile, b"8BIM" + bytes(size))
    assert "".join(text for _, text in back.metadata.comments) == "x" * size


@pytest.mark.parametrize("field", ["exif", "xmp"])
def test_exif_and_xmp_beyond_one_segment_are_refused(field):
    most = {"exif": 65_527, "xmp": 65_504}[field]
    head = b"II*\0\x08\0\0\0\1\0" + b"\x0e\1\2\0\4\0\0\0abc\0" + bytes(4)
    fitting = head.ljust(most - len(head) % 2 - 60, b"\0") if field == "exif" else b"x" * most
    assert written(Metadata(**{field: fitting}))
    word, message = reason(Metadata(**{field: fitting + b"x" * 100}))
    assert word == "unsupported"
    assert field.upper() in message


def test_comments_of_a_png_keep_their_keyword():
    back = read_back(Metadata(comments=(("Title", "Graben"), ("Comment", "in the rain"))))
    assert back.metadata.comments == (("Comment", "Title: Graben"), ("Comment", "in the rain"))


@pytest.mark.parametrize("records", [b"\x1c\2\0\0\2\0\2", b"\x1c\2\x05\0\1x"])
def test_iptc_records_stand_among_the_image_resources(records):
    resource = b"8BIM\4\4\0\0" + len(records).to_bytes(4, "big") + records + bytes(len(records) % 2)
    other = b"8BIM\3\xed\0\0\0\0\0\2ab"
    assert read_back(Metadata(iptc=records)).metadata.photoshop == resource
    assert read_back(Metadata(iptc=records, photoshop=other)).metadata.photoshop == other + resource
    assert read_back(Metadata(iptc=b"other", photoshop=other + resource)).metadata.photoshop == other + resource


@pytest.mark.parametrize(
    ("dpi", "unit", "whole"),
    [
        (("299.9994", "118.11"), 1, (300, 118)),
        (("1.6", "65535"), 1, (2, 65_535)),
        (("299.72", "254"), 2, (118, 100)),
        (("166458.9", "2.54"), 2, (65_535, 1)),
        (("0.1", "0.1"), 1, (1, 1)),
        (("1e9", "1e9"), 2, (65_535, 65_535)),
    ],
)
def test_resolution_is_rounded_to_whole_dots_of_the_unit_that_comes_nearer(dpi, unit, whole):
    image = opened(written(Metadata(dpi=tuple(map(Fraction, dpi)))))
    assert (image.info["jfif_unit"], image.info["jfif_density"]) == (unit, whole)


def test_a_jpeg_without_a_resolution_gets_none():
    assert opened(written()).info["jfif_unit"] == 0


def test_the_exif_has_the_resolution_that_whole_dots_are_not():
    exif = opened(written(Metadata(dpi=(Fraction("300.3"), Fraction(2**32 - 1, 13))), orientation=6)).getexif()
    assert (exif[282], exif[283], exif[296]) == (Fraction("300.3"), Fraction(2**32 - 1, 13), 2)


def test_alpha_is_refused():
    with pytest.raises(ImageFault, match="JPEG has no alpha channel") as told:
        write_jpeg(Raster(coloured()[..., 0], coloured()[..., 1]), coloured(), 90)
    assert told.value.reason == "unsupported"


def test_a_picture_that_is_too_wide_is_refused():
    assert reason(rgb=np.zeros((1, 65_501, 3), np.uint8))[0] == "unsupported"


@given(
    comments=st.lists(st.tuples(st.text(max_size=10), st.text(max_size=30)), max_size=3),
    photoshop=st.binary(max_size=50),
    orientation=st.integers(1, 8),
)
@example(comments=[], photoshop=b"8BIM\0\0", orientation=1)  # the end of a resource is missing
@examples(50)
def test_whatever_goes_with_it_the_file_can_be_read(comments, photoshop, orientation):
    metadata = Metadata(photoshop=photoshop, comments=tuple(comments))
    opened(written(metadata, orientation))
    back = read_back(metadata, orientation)
    assert (back.orientation, back.metadata.photoshop) == (orientation, photoshop)


def test_the_same_input_gives_the_same_bytes():
    metadata = Metadata(icc=SRGB, dpi=(300, 300))
    assert written(metadata, 3) == written(metadata, 3)
