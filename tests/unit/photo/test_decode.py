"""JPEG and WebP decoded the ordinary way: the luma that other decoders give, and what goes with it."""

import io
import struct
from fractions import Fraction

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.samples import luma_of, replicated
from photochrom.worker.photo.jpeg.decode import MOST_SCANS, read_jpeg, read_webp
from photochrom.worker.photo.jpeg.segments import SOS, parse, segment
from photochrom.worker.photo.metadata import icc
from tests.examples import examples
from tests.unit.photo.generate.profile import gray_profile

LIMITS = Limits(pixels=1_000_000, segments=200)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(bits=8, channels=3, height=40, width=50):
    dtype = np.uint8 if bits <= 8 else np.uint16
    return (
        np.random.default_rng(bits).integers(0, 2**bits, (height, width, channels)[: 2 + (channels > 1)]).astype(dtype)
    )


def coloured():
    """Smooth enough for JPEG, and coloured."""
    y, x = np.mgrid[:40, :50]
    return Image.fromarray(np.dstack([x * 5, y * 6, 255 - x * 2 - y]).astype(np.uint8))


def encoded(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def reason(data, read=read_jpeg, limits=LIMITS):
    with pytest.raises(ImageFault) as told:
        read(data, limits)
    assert str(told.value)
    return told.value.reason


def with_segments(*segments, image=None, **options):
    """Segments right behind SOI, before JFIF's."""
    data = encoded(image or coloured().convert("L"), **options)
    return data[:2] + b"".join(segment(marker, payload) for marker, payload in segments) + data[2:]


def metadata_of(*segments):
    return read_jpeg(with_segments(*segments), LIMITS).metadata


# ---- JPEG: pixels


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"quality": 100}], ids=str)
def test_a_gray_jpeg_is_its_own_luma(options):
    data = encoded(coloured().convert("L"), **options)
    raster = read_jpeg(data, LIMITS)
    np.testing.assert_array_equal(raster.luma, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    assert (raster.alpha, raster.orientation, raster.luma.dtype) == (None, 1, np.uint8)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": "4:4:4"}], ids=str)
def test_the_luma_of_ycbcr_is_its_y_without_a_way_through_rgb(options):
    data = encoded(coloured(), quality=60, **options)
    luma = read_jpeg(data, LIMITS).luma
    np.testing.assert_array_equal(luma, imagecodecs.jpeg8_decode(data, outcolorspace="YCBCR")[..., 0])
    assert (luma != np.asarray(Image.open(io.BytesIO(data)).convert("L"))).any()


def test_the_luma_of_an_rgb_jpeg_is_that_of_its_colours():
    data = encoded(coloured(), keep_rgb=True)
    rgb = imagecodecs.jpeg8_decode(data)
    np.testing.assert_array_equal(read_jpeg(data, LIMITS).luma, luma_of(rgb))


def test_the_first_of_several_pictures_in_a_file_is_read():
    other = coloured().convert("L").transpose(Image.Transpose.ROTATE_90)
    data = encoded(coloured(), "MPO", save_all=True, append_images=[other])
    assert read_jpeg(data, LIMITS).luma.shape == (40, 50)


@pytest.mark.parametrize("channels", [1, 3])
def test_12_bits_become_16(channels):
    samples = (np.asarray(coloured() if channels == 3 else coloured().convert("L")).astype(np.uint16) << 4) | 7
    data = imagecodecs.jpeg8_encode(samples, 95, bitspersample=12)
    decoded = imagecodecs.jpeg8_decode(data, outcolorspace="YCBCR" if channels == 3 else None)
    luma = read_jpeg(data, LIMITS).luma
    assert luma.dtype == np.uint16
    y = decoded.reshape(40, 50, -1)[..., 0].astype(int)
    np.testing.assert_array_equal(luma, y << 4 | y >> 8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_lossless_jpeg_loses_nothing(bits, channels):
    samples = noise(bits, channels)
    data = imagecodecs.jpeg8_encode(samples, lossless=True, bitspersample=bits)
    luma = read_jpeg(data, LIMITS).luma
    spread = replicated(samples, bits)
    np.testing.assert_array_equal(luma, luma_of(spread) if channels == 3 else spread)


ARITHMETIC = bytes.fromhex(
    "ffd8ffdb004300100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933383740485c4e404457453738506d51575f"
    "626768673e4d71797064785c656763ffc9000b080008000801011100ffcc000600101005ffda0008010100003f00fbc28e7e0380ffd9"
)
"""A ramp of 8 x 8 pixels at quality 50; no library at hand writes this coding."""


def test_arithmetic_coding_is_read():
    y, x = np.mgrid[:8, :8]
    ramp = (x * 30 + y * 3).astype(np.uint8)
    np.testing.assert_array_equal(
        read_jpeg(ARITHMETIC, LIMITS).luma, read_jpeg(encoded(Image.fromarray(ramp), quality=50), LIMITS).luma
    )


# ---- JPEG: CMYK


def test_cmyk_without_a_profile_is_converted_as_pillow_does_it():
    data = encoded(coloured().convert("CMYK"), quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").convert("L"))
    raster = read_jpeg(data, LIMITS)
    np.testing.assert_array_equal(raster.luma, expected)
    assert raster.metadata.icc == b""


def cmyk_profile():
    """Made of nothing but a lookup table of two steps: ink is darker than paper."""
    grid = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    lightness = 100 * (1 - grid[:, :3].mean(1)) * (1 - grid[:, 3])
    table = np.stack([lightness * 2.55, np.full(16, 128), np.full(16, 128)], -1).round().astype(np.uint8)
    ramp = bytes(range(256))
    lut = struct.pack(">4sI4B9i", b"mft1", 0, 4, 3, 2, 0, *(65536 * (n % 4 == 0) for n in range(9)))
    lut += ramp * 4 + table.tobytes() + ramp * 3
    head = b"lcms\2\x20\0\0prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    rest = head.ljust(124, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(lut)) + lut
    return struct.pack(">I", len(rest) + 4) + rest


def test_cmyk_goes_to_srgb_by_its_own_profile():
    inks = Image.merge("CMYK", [Image.new("L", (40, 30), 0)] * 3 + [Image.linear_gradient("L").resize((40, 30))])
    data = encoded(inks, quality=100, icc_profile=cmyk_profile())
    raster = read_jpeg(data, LIMITS)
    plain = read_jpeg(encoded(inks, quality=100), LIMITS).luma
    assert raster.metadata.icc == b""  # sRGB, as files without a profile are taken for
    assert raster.luma[0].mean() > 240
    assert raster.luma[-1].mean() < 20
    assert (np.diff(raster.luma[:, 20].astype(int)) <= 1).all()
    assert abs(raster.luma.astype(int) - plain).max() > 5


@pytest.mark.parametrize("profile", [SRGB, gray_profile(), b"no profile", cmyk_profile()[:200]], ids=range(4))
def test_cmyk_with_a_profile_that_cannot_be_its_own_is_refused(profile):
    assert reason(encoded(coloured().convert("CMYK"), icc_profile=profile)) == "profile"


# ---- JPEG: what goes with it


def block(**tags):
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[int(tag[1:])] = value
    return exif.tobytes()


def test_exif_gives_its_orientation_away():
    raster = read_jpeg(encoded(coloured(), exif=block(t274=6, t270="Vienna")), LIMITS)
    assert raster.orientation == 6
    read = Image.Exif()
    read.load(raster.metadata.exif)
    assert dict(read) == {270: "Vienna"}


@pytest.mark.parametrize("orientation", [0, 9, 60000])
def test_an_orientation_that_is_none_means_upright(orientation):
    assert read_jpeg(encoded(coloured(), exif=block(t274=orientation)), LIMITS).orientation == 1


def test_xmp_is_the_main_packet():
    extension = b"http://ns.adobe.com/xmp/extension/\0" + b"5" * 32 + struct.pack(">II", 4, 0) + b"<x/>"
    main = b"http://ns.adobe.com/xap/1.0/\0<x>main</x>"
    assert metadata_of((0xE1, extension), (0xE1, main), (0xE1, extension)).xmp == b"<x>main</x>"


def test_image_resources_may_be_spread_over_segments():
    parts = [(0xED, b"Photoshop 3.0\0" + part) for part in (b"8BIM\4\4\0\0", b"\0\0\0\2ab")]
    assert metadata_of(*parts, (0xED, b"Adobe_CM")).photoshop == b"8BIM\4\4\0\0\0\0\0\2ab"


def test_a_profile_is_put_together_and_becomes_one_for_colour():
    profile = gray_profile()
    parts = [(0xE2, b"ICC_PROFILE\0\2\2" + profile[100:]), (0xE2, b"ICC_PROFILE\0\1\2" + profile[:100])]
    assert metadata_of(*parts).icc == icc.for_colour(profile)
    assert read_jpeg(encoded(coloured(), icc_profile=SRGB), LIMITS).metadata.icc == SRGB
    assert reason(with_segments(parts[0])) == "profile"


@pytest.mark.parametrize(
    ("unit", "across", "down", "dpi"),
    [
        (1, 300, 600, (300, 600)),
        (2, 118, 1, (Fraction("299.72"), Fraction("2.54"))),
        (1, 1, 1, (1, 1)),
        (2, 65_535, 65_535, (Fraction("166458.9"), Fraction("166458.9"))),
        (0, 4, 3, None),
        (1, 0, 0, None),
        (7, 300, 300, None),
    ],
)
def test_resolution_is_jfif_s(unit, across, down, dpi):
    payload = b"JFIF\0\1\1" + struct.pack(">BHHBB", unit, across, down, 0, 0)
    assert metadata_of((0xE0, payload)).dpi == dpi


def test_resolution_is_exif_s_where_jfif_has_none():
    exif = block(t282=200.0, t283=100.0, t296=2)
    assert read_jpeg(encoded(coloured(), exif=exif), LIMITS).metadata.dpi == (200, 100)
    assert read_jpeg(encoded(coloured(), exif=exif, dpi=(300, 300)), LIMITS).metadata.dpi == (300, 300)
    assert read_jpeg(encoded(coloured(), exif=exif, dpi=(1, 1)), LIMITS).metadata.dpi == (200, 100)


def test_comments_come_in_their_order_whatever_their_encoding():
    comments = metadata_of((0xFE, "Straße".encode()), (0xFE, b"Stra\xdfe\0"), (0xFE, b"")).comments
    assert comments == (("Comment", "Straße"), ("Comment", "Straße"), ("Comment", ""))


@pytest.mark.parametrize(
    "stump", [(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4"), (0xEE, b"Adobe\0"), (0xE0, b"JFIF\0\1"), (0xE1, b"Exif\0\0M")]
)
def test_a_stump_of_metadata_does_not_keep_the_picture_from_being_read(stump):
    for image in (coloured(), coloured().convert("L")):
        data = with_segments(stump, image=image)
        luma = imagecodecs.jpeg8_decode(data, outcolorspace="GRAYSCALE")
        np.testing.assert_array_equal(read_jpeg(data, LIMITS).luma, luma)
    assert read_jpeg(with_segments(stump, (0xED, b"Photoshop 3.0\0ab")), LIMITS).metadata.photoshop.endswith(b"ab")


def test_metadata_of_12_bits_is_read_too():
    data = imagecodecs.jpeg8_encode(noise(12, 1), 90, bitspersample=12)
    data = data[:2] + segment(0xFE, b"twelve") + data[2:]
    assert read_jpeg(data, LIMITS).metadata.comments == (("Comment", "twelve"),)


def test_a_messy_file_that_pillow_reads_is_read_with_what_goes_with_it():
    data = with_segments((0xFE, b"Graben"))
    messy = data[:12] + b"\0\0" + data[12:]  # between two segments
    raster = read_jpeg(messy, LIMITS)
    np.testing.assert_array_equal(raster.luma, read_jpeg(data, LIMITS).luma)
    assert raster.metadata.comments == (("Comment", "Graben"),)
    assert reason(messy, limits=Limits(pixels=40 * 50 - 1)) == "too-many-pixels"


# ---- JPEG: what cannot be read


def frame_with(marker, precision=8, width=50, height=40, components=1):
    parts = b"".join(bytes((number + 1, 0x11, 0)) for number in range(components))
    payload = struct.pack(">BHHB", precision, height, width, components) + parts
    return b"\xff\xd8" + segment(marker, payload) + b"\xff\xd9"


def test_too_many_pixels_are_told_by_the_header_alone():
    for marker, precision in ((0xC0, 8), (0xC1, 12), (0xC3, 16)):
        assert reason(frame_with(marker, precision, 60_000, 60_000), limits=Limits()) == "too-many-pixels"
    assert reason(encoded(coloured()), limits=Limits(pixels=40 * 50 - 1)) == "too-many-pixels"
    assert read_jpeg(encoded(coloured()), Limits(pixels=40 * 50)).luma.shape == (40, 50)


def test_too_many_segments_are_refused():
    assert reason(with_segments(*[(0xFE, b"x")] * LIMITS.segments)) == "too-many-segments"


def with_scans(more):
    """A progressive JPEG whose last scan comes again and again; each time it is decoded, to no effect."""
    data = encoded(coloured().convert("L"), progressive=True)
    segments = parse(data, LIMITS)
    scans = [one for one in segments if one.marker == SOS]
    last = data[segments[segments.index(scans[-1]) - 1].start : scans[-1].end]
    return data[: scans[-1].end] + last * (more - len(scans)) + data[scans[-1].end :]


def test_too_many_scans_are_refused_since_each_costs_a_walk_through_the_picture():
    assert read_jpeg(with_scans(MOST_SCANS), Limits()).luma.shape == (40, 50)
    assert reason(with_scans(MOST_SCANS + 1), limits=Limits()) == "too-many-segments"
    messy = with_scans(MOST_SCANS + 1)
    assert reason(messy[:12] + b"\0\0" + messy[12:], limits=Limits()) == "too-many-segments"


def test_what_looks_like_a_scan_elsewhere_is_none():
    looks = b"\xff\xda" * (MOST_SCANS + 1)
    data = with_segments((0xFE, looks)) + looks
    np.testing.assert_array_equal(read_jpeg(data, LIMITS).luma, read_jpeg(with_segments(), LIMITS).luma)


@pytest.mark.parametrize("marker", [0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF])
def test_what_no_decoder_here_reads_is_not_supported(marker):
    assert reason(frame_with(marker)) == "unsupported"


@pytest.mark.parametrize("components", [2, 5])
def test_other_counts_of_components_are_not_supported(components):
    assert reason(frame_with(0xC0, components=components)) == "unsupported"


@pytest.mark.parametrize("kept", [0.01, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    "data",
    [
        encoded(coloured()),
        encoded(coloured().convert("L"), progressive=True),
        encoded(coloured().convert("CMYK")),
        imagecodecs.jpeg8_encode(noise(12, 1), 90, bitspersample=12),
        imagecodecs.jpeg8_encode(noise(16, 3), lossless=True, bitspersample=16),
    ],
    ids=["colour", "progressive", "CMYK", "12 bits", "lossless"],
)
def test_a_truncated_jpeg_is_damaged(data, kept):
    assert reason(data[: int(len(data) * kept)]) == "damaged"


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"GIF89a", encoded(coloured(), "PNG")], ids=range(5)
)
def test_what_is_no_jpeg_is_damaged(data):
    assert reason(data) == "damaged"


changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6)
VALID = [
    with_segments((0xFE, b"Graben"), (0xE2, b"ICC_PROFILE\0\1\1" + gray_profile()), exif=block(t274=6)),
    encoded(coloured().convert("CMYK"), icc_profile=cmyk_profile()),
    imagecodecs.jpeg8_encode(noise(12, 3), 90, bitspersample=12),
    imagecodecs.jpeg8_encode(noise(16, 1), lossless=True, bitspersample=16),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("data", VALID, ids=range(len(VALID)))
@given(changes=changes)
@examples(60)
def test_a_damaged_jpeg_is_a_photograph_or_a_fault(data, changes):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % min(len(damaged), 700)] = value  # headers above all
    try:
        raster = read_jpeg(bytes(damaged), LIMITS)
    except ImageFault as fault:
        assert fault.reason in ("damaged", "unsupported", "profile", "too-many-pixels", "too-many-segments")
    else:
        assert raster.luma.dtype in (np.uint8, np.uint16)


# ---- WebP


@pytest.mark.parametrize("alpha", [False, True])
def test_a_lossless_webp_of_gray_is_read_to_the_last_bit(alpha):
    gray = noise(8, 1)
    image = Image.fromarray(gray).convert("RGB")
    if alpha:
        image.putalpha(Image.fromarray(gray[::-1]))
    raster = read_webp(encoded(image, "WEBP", lossless=True, exact=True), LIMITS)
    np.testing.assert_array_equal(raster.luma, gray)
    if alpha:
        np.testing.assert_array_equal(raster.alpha, gray[::-1])
    else:
        assert raster.alpha is None


def test_a_lossy_webp_has_the_luma_of_its_colours():
    data = encoded(coloured(), "WEBP", quality=50)
    np.testing.assert_array_equal(read_webp(data, LIMITS).luma, luma_of(imagecodecs.webp_decode(data)))


def test_what_goes_with_a_webp_is_read():
    exif = block(t274=6, t270="Vienna", t282=200.0, t283=100.0)
    raster = read_webp(encoded(coloured(), "WEBP", exif=exif, xmp=b"<x/>", icc_profile=SRGB), LIMITS)
    metadata = raster.metadata
    assert (raster.orientation, metadata.dpi, metadata.xmp, metadata.icc) == (6, (200, 100), b"<x/>", SRGB)
    assert b"Vienna" in metadata.exif


def test_an_animated_webp_is_refused():
    data = encoded(coloured(), "WEBP", save_all=True, append_images=[coloured().rotate(180)])
    assert reason(data, read_webp) == "unsupported"


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"xmp": b"<x/>"}], ids=str)
def test_a_truncated_webp_is_damaged(options, kept):
    data = encoded(coloured(), "WEBP", **options)
    assert reason(data[: int(len(data) * kept)], read_webp) == "damaged"


def test_too_many_pixels_of_a_webp_are_told_by_its_header():
    assert reason(encoded(coloured(), "WEBP"), read_webp, Limits(pixels=40 * 50 - 1)) == "too-many-pixels"
    canvas = (16382).to_bytes(3, "little") * 2
    frame = b"VP8L\x05\0\0\0\x2f" + ((16382) | 16382 << 14).to_bytes(4, "little") + b"\0"
    body = b"WEBPVP8X\x0a\0\0\0\0\0\0\0" + canvas + frame
    assert reason(b"RIFF" + struct.pack("<I", len(body)) + body, read_webp, Limits(pixels=100_000_000)) in (
        "too-many-pixels",
        "damaged",
    )


@pytest.mark.parametrize("data", [b"", b"RIFF\0\0\0\0WEBP", encoded(coloured())], ids=range(3))
def test_what_is_no_webp_is_damaged(data):
    assert reason(data, read_webp) == "damaged"
