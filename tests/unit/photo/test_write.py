"""From a coloured picture back to a file: every pixel of the luma, and what belonged to the photograph."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from worker.errors import ImageFault
from worker.photo.luma import join
from worker.photo.orientation import upright
from worker.photo.read import Photograph, read
from worker.photo.write import CONTENT_TYPES, write

MOST = 10_000_000
LOSSLESS = ["png", "tiff"]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def luma(height=30, width=44, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def photograph(**changes):
    plain = {"alpha": None, "format": "png", "orientation": 1, "exif": b"", "icc": None, "dpi": None}
    return Photograph(**{"luma": luma(), **plain, **changes})


def source(kind, mode="L", orientation=None, description=None, **options):
    image = Image.fromarray(luma()).convert(mode)
    exif = Image.Exif()
    if orientation:
        exif[274] = orientation
    if description:
        exif[270] = description
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **options)
    return file.getvalue()


def coloured(of):
    chroma = np.stack([np.full((3, 4), 0.1), np.full((3, 4), -0.05)]).astype(np.float32)
    return join(of.luma, chroma)


def opened(data):
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_a_photograph_of_any_format_gives_its_luma_back_exactly(kind, mode, format):
    if (kind, mode) == ("JPEG", "1"):
        pytest.skip("no such file")
    before = read(source(kind, mode), MOST)
    result = opened(write(coloured(before), before, format, 95))
    assert result.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(result.convert("L")), before.luma)
    if mode != "1":  # black and white have no colour
        assert not np.array_equal(np.asarray(result)[..., 0], np.asarray(result)[..., 2])


@pytest.mark.parametrize("kind", ["TIFF"])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "tiff_lzw"}, {"compression": "group4"}, {"tiffinfo": {278: 1}}]
)
@pytest.mark.parametrize("format", ["jpeg", *LOSSLESS])
def test_how_the_source_was_stored_does_not_spoil_the_result(kind, options, format):
    """Pillow takes a TIFF's strips, bits and compression for EXIF; passed on, no reader opens the result."""
    before = read(source(kind, "1" if "group4" in options.values() else "L", **options), MOST)
    result = opened(write(coloured(before), before, format, 95))
    assert (result.format.lower(), result.mode, result.size) == (format, "RGB", (44, 30))
    result.load()
    assert not {258, 259, 262, 273, 278, 279}.intersection(_exif_of(before))


def _exif_of(photograph):
    exif = Image.Exif()
    exif.load(photograph.exif)
    return exif


@pytest.mark.parametrize("format", LOSSLESS)
def test_png_and_tiff_keep_every_pixel_and_say_what_they_are(format):
    rgb = np.random.default_rng(3).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    result = opened(write(rgb, photograph(), format, 1))
    np.testing.assert_array_equal(np.asarray(result), rgb)
    assert Image.MIME[result.format] == CONTENT_TYPES[format]


def test_jpeg_is_near_and_nearer_with_more_quality():
    smooth = np.asarray(Image.fromarray(luma(4, 4)).resize((64, 64), Image.Resampling.BICUBIC))
    rgb = join(smooth, np.full((2, 2, 2), 0.05, np.float32))
    few, many = (write(rgb, photograph(), "jpeg", quality) for quality in (20, 95))
    errors = [abs(np.asarray(opened(data)).astype(int) - rgb).mean() for data in (few, many)]
    assert errors[1] < errors[0]
    assert errors[1] < 2
    assert len(few) < len(many)
    assert Image.MIME[opened(many).format] == CONTENT_TYPES["jpeg"]


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_kept_and_the_pixels_stay_where_they_are(kind, format, orientation):
    before = read(source(kind, orientation=orientation), MOST)
    result = opened(write(coloured(before), before, format, 95))
    assert result.getexif().get(274, 1) == orientation
    if format == "tiff":  # which Pillow turns as it loads it: what the file says itself
        assert (result.tag_v2[256], result.tag_v2[257]) == (44, 30)
    seen = ImageOps.exif_transpose(result).convert("L")
    np.testing.assert_array_equal(np.asarray(seen), upright(luma(), orientation))


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_jpegs_orientation_is_kept_too(orientation):
    before = read(source("JPEG", orientation=orientation), MOST)
    result = opened(write(coloured(before), before, "jpeg", 95))
    assert result.getexif().get(274, 1) == orientation
    assert result.size == (44, 30)


@pytest.mark.parametrize("format", ["jpeg", *LOSSLESS])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_what_exif_tells_of_the_photograph_is_kept(kind, format):
    before = read(source(kind, description="Vienna, 1901"), MOST)
    assert opened(write(coloured(before), before, format, 95)).getexif()[270] == "Vienna, 1901"


@pytest.mark.parametrize("format", ["jpeg", *LOSSLESS])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_what_camera_and_scanner_say_of_themselves_is_kept(kind, format):
    """EXIF has directories within directories, which libtiff does not write."""
    exif = Image.Exif()
    exif[34665] = {36867: "1901:02:03 04:05:06"}
    file = io.BytesIO()
    Image.fromarray(luma()).save(file, kind, exif=exif.tobytes())
    before = read(file.getvalue(), MOST)
    result = opened(write(coloured(before), before, format, 95))
    assert result.getexif().get_ifd(34665)[36867] == "1901:02:03 04:05:06"
    assert result.getexif().get(270) is None
    if format != "jpeg":
        np.testing.assert_array_equal(np.asarray(result.convert("L")), before.luma)


@pytest.mark.parametrize("format", ["jpeg", *LOSSLESS])
def test_an_rgb_profile_is_kept(format):
    result = opened(write(coloured(photograph()), photograph(icc=SRGB), format, 95))
    assert result.info["icc_profile"] == SRGB


@pytest.mark.parametrize("format", ["jpeg", *LOSSLESS])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_gray_profile_does_not_get_into_a_coloured_file(kind, format):
    before = read(source(kind, icc_profile=SRGB[:16] + b"GRAY" + SRGB[20:]), MOST)
    assert "icc_profile" not in opened(write(coloured(before), before, format, 95)).info


@pytest.mark.parametrize("format", ["jpeg", *LOSSLESS])
def test_resolution_is_kept(format):
    across, down = opened(write(coloured(photograph()), photograph(dpi=(300.0, 600.0)), format, 95)).info["dpi"]
    assert (round(across), round(down)) == (300, 600)


@pytest.mark.parametrize("format", LOSSLESS)
def test_alpha_is_kept(format):
    before = photograph(alpha=luma(seed=4))
    result = opened(write(coloured(before), before, format, 95))
    assert result.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(result)[..., 3], luma(seed=4))
    np.testing.assert_array_equal(np.asarray(result.convert("RGB").convert("L")), luma())


def refused(before, format):
    with pytest.raises(ImageFault) as told:
        write(np.dstack([before.luma] * 3), before, format, 95)
    return told.value.reason


def test_alpha_is_refused_for_jpeg():
    assert refused(photograph(alpha=luma(seed=4)), "jpeg") == "unsupported"


def test_a_picture_too_long_for_jpeg_is_refused_and_not_for_png():
    long = photograph(luma=np.zeros((65_501, 1), np.uint8))
    assert refused(long, "jpeg") == "unsupported"
    assert opened(write(np.dstack([long.luma] * 3), long, "png", 95)).size == (1, 65_501)


def test_exif_too_long_for_jpeg_is_refused():
    exif = Image.Exif()
    exif[270] = "x" * 70_000
    assert refused(photograph(exif=exif.tobytes()), "jpeg") == "unsupported"
