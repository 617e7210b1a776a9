"""From an encoded file to a photograph, or to the reason why it is none."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image, ImageCms

from worker.errors import ImageFault
from worker.photo.orientation import upright
from worker.photo.read import read

MOST = 10_000_000
KINDS = {"JPEG": "jpeg", "PNG": "png", "TIFF": "tiff"}


def pixels(height=30, width=44, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def gray():
    return Image.fromarray(pixels())


def coloured():
    return Image.fromarray(np.dstack([pixels(seed=seed) for seed in (1, 2, 3)]))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def oriented(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(gray(), kind, exif=exif)


def reason(data, most=MOST):
    with pytest.raises(ImageFault) as told:
        read(data, most)
    assert str(told.value)
    return told.value.reason


def png(width, height, depth, color, body=b""):
    """A PNG of our own making: Pillow writes neither 16-bit RGB nor a header without its pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def tiff(bits, samples, photometric, body, width=2, height=2):
    """A little-endian TIFF of one uncompressed strip, as Pillow would not write it."""
    entries = [(256, 3, width), (257, 3, height), (258, 3, None), (259, 3, 1), (262, 3, photometric)]
    entries += [(273, 4, None), (277, 3, samples), (278, 3, height), (279, 4, len(body))]
    behind = 8 + 2 + 12 * len(entries) + 4
    more = struct.pack(f"<{samples}H", *[bits] * samples)
    ifd = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        if tag == 258:
            ifd += struct.pack("<HHI", tag, 3, samples)
            ifd += struct.pack("<HH", bits, 0) if samples == 1 else struct.pack("<I", behind)
        elif tag == 273:
            ifd += struct.pack("<HHII", tag, 4, 1, behind + len(more))
        else:
            ifd += struct.pack("<HHII", tag, kind, 1, value)
    return b"II*\0" + struct.pack("<I", 8) + ifd + struct.pack("<I", 0) + more + body


# ---- what can be read


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_gray_photograph_is_its_own_luma(kind):
    photograph = read(encoded(gray(), kind), MOST)
    np.testing.assert_array_equal(photograph.luma, pixels())
    assert photograph.luma.dtype == np.uint8
    assert (photograph.format, photograph.orientation, photograph.alpha) == (KINDS[kind], 1, None)
    assert (photograph.exif, photograph.icc) == (b"", None)


@pytest.mark.parametrize("image", [gray(), coloured()], ids=["gray", "rgb"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"compression": "tiff_lzw"}], ids=str)
def test_the_luma_of_any_photograph_is_what_pillow_takes_for_it(image, kind, options):
    data = encoded(image, kind, **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    photograph = read(data, MOST)
    np.testing.assert_array_equal(photograph.luma, expected)
    assert photograph.format == KINDS[kind]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA"])
def test_other_8_bit_modes_are_read_as_what_they_show(kind, mode):
    image = coloured().quantize(17) if mode == "P" else coloured().convert(mode)
    expected = np.asarray(image.convert("RGB").convert("L") if mode == "P" else image.convert("L"))
    np.testing.assert_array_equal(read(encoded(image, kind), MOST).luma, expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_kept_beside_the_luma(kind, mode):
    image = gray().convert(mode)
    image.putalpha(Image.fromarray(pixels(seed=9)))
    photograph = read(encoded(image, kind), MOST)
    np.testing.assert_array_equal(photograph.alpha, pixels(seed=9))
    np.testing.assert_array_equal(photograph.luma, pixels())


def test_a_transparent_gray_becomes_alpha():
    alpha = read(encoded(gray(), transparency=200), MOST).alpha
    np.testing.assert_array_equal(alpha, np.where(pixels() == 200, 0, 255))
    assert (alpha == 0).any()


def test_a_tiff_whose_white_is_zero_is_read_as_it_is_to_be_seen():
    body = bytes([0, 255, 100, 10])
    np.testing.assert_array_equal(read(tiff(8, 1, 0, body), MOST).luma, [[255, 0], [155, 245]])
    np.testing.assert_array_equal(read(tiff(8, 1, 1, body), MOST).luma, [[0, 255], [100, 10]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_the_small_copy_and_not_the_luma(kind, orientation):
    photograph = read(oriented(kind, orientation), MOST)
    assert photograph.orientation == orientation
    if kind != "JPEG":
        np.testing.assert_array_equal(photograph.luma, pixels())
    height, width = photograph.upright_size
    assert (height, width) == ((44, 30) if orientation >= 5 else (30, 44))
    np.testing.assert_array_equal(photograph.gray(height, width), upright(photograph.luma, orientation))
    assert photograph.gray(12, 9).shape == (12, 9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", [0, 9, 60000])
def test_an_orientation_that_is_none_means_upright_and_is_not_passed_on(kind, orientation):
    photograph = read(oriented(kind, orientation), MOST)
    assert photograph.orientation == 1
    assert photograph.upright_size == (30, 44)
    exif = Image.Exif()
    exif.load(photograph.exif)
    assert 274 not in exif


def test_an_orientation_in_words_means_upright():
    exif = Image.Exif()
    exif[270] = "upright"  # a text, which is then made orientation's
    data = exif.tobytes().replace(struct.pack(">HH", 270, 2), struct.pack(">HH", 274, 2))
    data = data.replace(struct.pack("<HH", 270, 2), struct.pack("<HH", 274, 2))
    assert read(encoded(gray(), "JPEG", exif=data), MOST).orientation == 1


@pytest.mark.parametrize("kind", KINDS)
def test_resolution_is_kept(kind):
    across, down = read(encoded(gray(), kind, dpi=(300, 600)), MOST).dpi
    assert (round(across), round(down)) == (300, 600)


@pytest.mark.parametrize("dpi", [(0, 0), (1e6, 1e6)])
def test_a_resolution_that_no_format_can_hold_is_dropped(dpi):
    assert read(encoded(gray(), "PNG", dpi=dpi), MOST).dpi is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_is_kept_if_it_is_for_rgb(kind):
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for_gray = rgb[:16] + b"GRAY" + rgb[20:]
    assert read(encoded(coloured(), kind, icc_profile=rgb), MOST).icc == rgb
    assert read(encoded(gray(), kind, icc_profile=for_gray), MOST).icc is None
    assert read(encoded(gray(), kind), MOST).icc is None


def test_the_limit_of_pixels_is_still_allowed():
    assert read(encoded(gray()), 30 * 44).luma.shape == (30, 44)


# ---- what cannot


def test_no_bytes_are_empty():
    assert reason(b"") == "empty"


@pytest.mark.parametrize(
    "data", [b"Dear archive,", b"\0" * 1000, b"%PDF-1.7\n", encoded(gray(), "GIF"), encoded(gray(), "BMP")]
)
def test_what_is_no_jpeg_png_or_tiff_is_no_photograph(data):
    assert reason(data) == "not-a-photograph"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_file_is_damaged(kind, kept):
    data = encoded(gray(), kind)
    assert reason(data[: int(len(data) * kept)]) == "damaged"


def test_a_tiff_whose_strip_is_cut_off_is_damaged():
    assert reason(tiff(8, 1, 1, bytes(4))[:-2]) == "damaged"


def test_too_many_pixels_are_told_by_the_header_alone():
    start = time.process_time()
    assert reason(png(60_000, 60_000, 8, 0), 300_000_000) == "too-many-pixels"
    assert reason(encoded(gray()), 30 * 44 - 1) == "too-many-pixels"
    assert time.process_time() - start < 1  # to decode it takes 3.6 GB and half a minute


@pytest.mark.parametrize(("color", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["gray", "rgb", "la", "rgba"])
def test_a_16_bit_png_is_not_supported(color, samples):
    assert reason(png(2, 2, 16, color, (b"\0" + bytes(2 * 2 * samples)) * 2)) == "unsupported"


@pytest.mark.parametrize(("color", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["gray", "rgb", "la", "rgba"])
def test_the_same_png_of_8_bits_is_read(color, samples):
    assert read(png(2, 2, 8, color, (b"\0" + bytes(2 * samples)) * 2), MOST).luma.shape == (2, 2)


@pytest.mark.parametrize(("samples", "photometric"), [(1, 1), (3, 2)], ids=["gray", "rgb"])
def test_a_16_bit_tiff_is_not_supported(samples, photometric):
    assert reason(tiff(16, samples, photometric, bytes(2 * 4 * samples))) == "unsupported"
    assert read(tiff(8, samples, photometric, bytes(4 * samples)), MOST).luma.shape == (2, 2)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_not_supported(kind):
    assert reason(encoded(gray().convert("CMYK"), kind)) == "unsupported"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_several_pages_are_not_supported(kind):
    assert reason(encoded(gray(), kind, save_all=True, append_images=[coloured().convert("L")])) == "unsupported"


def test_the_picture_behind_a_jpegs_first_is_left_aside():
    """MPO: what cameras write who keep a preview, or the second eye's picture, behind a JPEG."""
    data = encoded(gray(), "MPO", save_all=True, append_images=[coloured().convert("L")])
    photograph = read(data, MOST)
    assert photograph.format == "jpeg"
    assert photograph.luma.shape == (30, 44)


# ---- whatever comes


def read_or_fault(data):
    try:
        photograph = read(data, 100_000)
    except ImageFault as fault:
        assert fault.reason in ("empty", "not-a-photograph", "too-many-pixels", "unsupported", "damaged")
    else:
        assert photograph.luma.dtype == np.uint8
        assert 1 <= photograph.orientation <= 8
        photograph.gray(4, 4)


starts = st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0"])


@pytest.mark.filterwarnings("ignore")
@given(start=starts, rest=st.binary(max_size=200))
@examples(max_examples=150)
def test_any_bytes_are_a_photograph_or_a_fault(start, rest):
    read_or_fault(start + rest)


def with_everything(kind):
    exif = Image.Exif()
    exif[274], exif[270] = 6, "Vienna, 1901"
    exif.get_ifd(0x8769)[36867] = "1901:01:01 00:00:00"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:200]
    return encoded(coloured().resize((9, 7)), kind, exif=exif.tobytes(), icc_profile=profile, dpi=(300, 300))


VALID = [
    with_everything("JPEG"),
    with_everything("PNG"),
    with_everything("TIFF"),
    encoded(coloured().resize((9, 7)), "TIFF", compression="tiff_lzw"),
    encoded(gray().convert("P").resize((9, 7)), transparency=b"\0\x80"),
    tiff(8, 1, 1, bytes(4)),
]
changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("data", VALID, ids=range(len(VALID)))
@given(changes=changes, cut=st.integers(0, 4000))
@examples(max_examples=60)
def test_a_damaged_file_is_a_photograph_or_a_fault(data, changes, cut):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    read_or_fault(bytes(damaged[: len(damaged) - cut] if cut < len(damaged) // 2 else damaged))


@pytest.mark.filterwarnings("ignore")
@given(
    entries=st.lists(
        st.tuples(
            st.sampled_from(
                [254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 282, 296, 317, 320, 338, 700, 34665]
            ),
            st.integers(0, 14),
            st.integers(0, 5) | st.integers(0, 2**32 - 1),
            st.integers(0, 300) | st.integers(0, 2**32 - 1),
        ),
        max_size=4,
    )
)
@examples(max_examples=120)
def test_a_tiff_of_senseless_tags_is_a_photograph_or_a_fault(entries):
    data = tiff(8, 1, 1, bytes(4))
    count = struct.unpack("<H", data[8:10])[0]
    ifd = data[10 : 10 + 12 * count] + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    moved = len(data)  # the directory goes to the end, where it may grow
    read_or_fault(
        data[:4]
        + struct.pack("<I", moved)
        + data[8:]
        + bytes(4)
        + struct.pack("<H", count + len(entries))
        + ifd
        + bytes(4)
    )
