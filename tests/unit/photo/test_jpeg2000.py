"""JPEG 2000 files are read to the last bit, or not at all."""

import io
import struct
from fractions import Fraction

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.samples import luma_of, replicated
from photochrom.worker.photo.jpeg2000 import read_jpeg2000
from photochrom.worker.photo.metadata import icc
from tests.examples import examples
from tests.unit.photo.generate.profile import gray_profile

LIMITS = Limits(pixels=1_000_000, segments=200)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")


def noise(bits, channels, height=21, width=13):
    dtype = np.uint8 if bits <= 8 else np.uint16
    shape = (height, width, channels)[: 2 + (channels > 1)]
    return np.random.default_rng(bits).integers(0, 2**bits, shape).astype(dtype)


def encoded(samples, bits, kind="jp2"):
    return imagecodecs.jpeg2k_encode(samples, level=0, reversible=True, codecformat=kind, bitspersample=bits)


def box(name, content):
    return struct.pack(">I4s", 8 + len(content), name) + content


def enumerated(space):
    return box(b"colr", b"\1\0\0" + struct.pack(">I", space))


def jp2(samples, bits=8, *header, behind=()):
    """A file of our own boxes around the codestream of a library."""
    height, width, channels = (*samples.shape, 1)[:3]
    start = box(b"ihdr", struct.pack(">IIHBBBB", height, width, channels, bits - 1, 7, 0, 0))
    beginning = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    body = box(b"jp2h", start + b"".join(header)) + box(b"jp2c", encoded(samples, bits, "j2k"))
    return beginning + body + b"".join(behind)


def reason(data, limits=LIMITS):
    with pytest.raises(ImageFault) as told:
        read_jpeg2000(data, limits)
    assert str(told.value)
    return told.value.reason


# ---- pixels


@pytest.mark.parametrize("kind", ["jp2", "j2k"])
@pytest.mark.parametrize("bits", [1, 4, 8, 10, 12, 16])
def test_gray_is_its_own_luma(bits, kind):
    samples = noise(bits, 1)
    raster = read_jpeg2000(encoded(samples, bits, kind), LIMITS)
    np.testing.assert_array_equal(raster.luma, replicated(samples, bits))
    assert raster.luma.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert raster.alpha is None


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_colours_are_added_up_and_alpha_stays_beside_them(bits, channels):
    samples = noise(bits, channels)
    raster = read_jpeg2000(encoded(samples, bits), LIMITS)
    spread = replicated(samples, bits)
    np.testing.assert_array_equal(raster.luma, spread[..., 0] if channels == 2 else luma_of(spread))
    if channels == 3:
        assert raster.alpha is None
    else:
        np.testing.assert_array_equal(raster.alpha, spread[..., -1])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pillow_s_files_are_read_as_pillow_reads_them(mode):
    file = io.BytesIO()
    Image.fromarray(noise(8, 4)).convert(mode).save(file, "JPEG2000", quality_layers=[20], irreversible=True)
    seen = Image.open(file)
    np.testing.assert_array_equal(read_jpeg2000(file.getvalue(), LIMITS).luma, np.asarray(seen.convert("L")))


def test_the_luma_of_ycc_is_its_y():
    samples = noise(8, 3)
    np.testing.assert_array_equal(read_jpeg2000(jp2(samples, 8, enumerated(18)), LIMITS).luma, samples[..., 0])
    np.testing.assert_array_equal(read_jpeg2000(jp2(samples, 8, enumerated(16)), LIMITS).luma, luma_of(samples))


def test_a_palette_is_what_it_shows():
    palette = np.random.default_rng(3).integers(0, 256, (16, 3), dtype=np.uint8)
    indices = noise(4, 1)
    entries = box(b"pclr", struct.pack(">HB3B", 16, 3, 7, 7, 7) + palette.tobytes())
    mapping = box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3)))
    raster = read_jpeg2000(jp2(indices, 4, enumerated(16), entries, mapping), LIMITS)
    np.testing.assert_array_equal(raster.luma, luma_of(palette[indices]))
    assert reason(jp2(indices, 4, enumerated(18), entries, mapping)) == "unsupported"


# ---- what goes with them


def test_what_stands_in_boxes_is_read():
    exif = Image.Exif()
    exif[274], exif[270] = 6, "Vienna"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    behind = [
        box(b"uuid", XMP + b"<x/>"),
        box(b"uuid", IPTC + b"\x1c\2\0\0\0"),
        box(b"uuid", b"JpgTiffExif->JP2" + block),
    ]
    profile = box(b"colr", b"\2\0\0" + gray_profile())
    raster = read_jpeg2000(jp2(noise(8, 1), 8, profile, behind=behind), LIMITS)
    metadata = raster.metadata
    assert (raster.orientation, metadata.xmp, metadata.iptc) == (6, b"<x/>", b"\x1c\2\0\0\0")
    assert metadata.icc == icc.for_colour(gray_profile())
    assert b"Vienna" in metadata.exif


@pytest.mark.parametrize(
    ("numbers", "dpi"),
    [
        ((11811, 1, 23622, 1, 0, 0), ("599.9988", "299.9994")),
        ((1181, 10, 1181, 3, 2, -2), (Fraction(1181 * 254, 3 * 10**6), "299.974")),
        ((1, 0, 1, 1, 0, 0), None),
        ((65_535, 1, 1, 65_535, 127, -128), (Fraction(254, 65_535 * 10**132), Fraction(65_535 * 254 * 10**123))),
    ],
)
@pytest.mark.parametrize("name", [b"resc", b"resd"])
def test_resolution_is_a_fraction_with_an_exponent(name, numbers, dpi):
    resolution = box(b"res ", box(name, struct.pack(">4H2b", *numbers)))
    stated = read_jpeg2000(jp2(noise(8, 1), 8, enumerated(17), resolution), LIMITS).metadata.dpi
    assert stated == (tuple(map(Fraction, dpi)) if dpi else None)


# ---- what cannot be read


@pytest.mark.parametrize("space", [12, 14, 0])
def test_other_colour_spaces_are_not_supported(space):
    assert reason(jp2(noise(8, 4), 8, enumerated(space))) == "unsupported"


@pytest.mark.parametrize("space", [b"CMYK", b"Lab "])
def test_profiles_of_other_colour_spaces_are_not_supported(space):
    profile = gray_profile()[:16] + space + gray_profile()[20:]
    assert reason(jp2(noise(8, 4), 8, box(b"colr", b"\2\0\0" + profile))) == "unsupported"


def test_a_profile_that_is_none_is_refused():
    assert reason(jp2(noise(8, 1), 8, box(b"colr", b"\2\0\0no profile"))) == "profile"


def test_five_components_are_not_supported():
    assert reason(size_segment(components=5)) == "unsupported"


def test_several_pictures_are_not_supported():
    second = box(b"jp2c", encoded(noise(8, 1), 8, "j2k"))
    assert reason(jp2(noise(8, 1), 8, enumerated(17), behind=[second])) == "unsupported"


def size_segment(width=4, height=5, components=1, kind=b"\7\1\1", others=b""):
    """The beginning of a codestream, and no more."""
    sizes = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, width, height, 0, 0, components)
    content = sizes + (kind * components)[: 3 * components - len(others)] + others
    return b"\xff\x4f\xff\x51" + struct.pack(">H", 2 + len(content)) + content


def test_too_many_pixels_are_told_by_the_header_alone():
    assert reason(size_segment(60_000, 60_000), Limits()) == "too-many-pixels"
    data = encoded(noise(8, 1), 8)
    assert reason(data, Limits(pixels=21 * 13 - 1)) == "too-many-pixels"
    assert read_jpeg2000(data, Limits(pixels=21 * 13)).luma.shape == (21, 13)
    assert reason(size_segment(0, 5)) == "damaged"


def test_too_many_boxes_are_refused():
    assert reason(jp2(noise(8, 1), 8, *[box(b"xxxx", b"")] * LIMITS.segments)) == "too-many-segments"


@pytest.mark.parametrize("kind", [b"\x87\1\1", b"\x10\1\1", b"\7\2\2"], ids=["signed", "17 bits", "subsampled"])
def test_other_components_are_not_supported(kind):
    assert reason(size_segment(kind=kind)) == "unsupported"


def test_components_of_different_kinds_are_not_supported():
    assert reason(size_segment(components=3, others=b"\x0b\1\1")) == "unsupported"


@pytest.mark.parametrize("kind", ["jp2", "j2k"])
def test_a_file_cut_off_anywhere_is_damaged(kind):
    data = encoded(noise(8, 1, 6, 5), 8, kind)
    for length in range(len(data)):
        assert reason(data[:length]) == "damaged"


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\x4f\xff\x51"], ids=range(3))
def test_what_is_no_jpeg_2000_is_damaged(data):
    assert reason(data) == "damaged"


def test_a_box_that_is_longer_than_the_file_is_damaged():
    start = box(b"jP  ", b"\r\n\x87\n")
    assert reason(start + struct.pack(">I4s", 100, b"jp2h") + bytes(20)) == "damaged"
    assert reason(start + struct.pack(">I4sQ", 1, b"jp2h", 2**63) + bytes(20)) == "damaged"
    assert reason(start + struct.pack(">I4s", 3, b"jp2h") + bytes(20)) == "damaged"


changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=5)


@given(changes=changes)
@examples(150)
def test_a_damaged_file_is_a_photograph_or_a_fault(changes):
    damaged = bytearray(jp2(noise(8, 3), 8, enumerated(16), behind=[box(b"uuid", XMP + b"<x/>")]))
    for place, value in changes:
        damaged[place % 300] = value
    try:
        raster = read_jpeg2000(bytes(damaged), LIMITS)
    except ImageFault as fault:
        assert fault.reason in ("damaged", "unsupported", "profile", "too-many-pixels", "too-many-segments")
    else:
        assert raster.luma.dtype in (np.uint8, np.uint16)
