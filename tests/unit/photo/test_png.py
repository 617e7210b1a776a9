"""A PNG of any kind is read whole or not at all; Pillow and OpenCV are the judges."""

import io
import struct
import zlib
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
from photochrom.worker.photo.base.samples import luma_of
from photochrom.worker.photo.metadata import icc
from photochrom.worker.photo.png.read import read_png
from tests.examples import examples
from tests.unit.photo.generate.png import (
    GRAY,
    GRAY_ALPHA,
    KINDS,
    PALETTE,
    RGB,
    RGBA,
    SIGNATURE,
    chunk,
    claim,
    png,
    random_png,
)
from tests.unit.photo.generate.profile import gray_profile

LIMITS = Limits(pixels=1_000_000, segments=200)


def reason(data, limits=LIMITS):
    with pytest.raises(ImageFault) as told:
        read_png(data, limits)
    assert str(told.value)
    return told.value.reason


def samples(depth, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 2**depth, shape)


def exact(rgb):
    red, green, blue = rgb.astype(np.int64).transpose(2, 0, 1)
    return (299 * red + 587 * green + 114 * blue + 500) // 1000


def by_pillow(rgb):
    return np.asarray(Image.fromarray(rgb.astype(np.uint8)).convert("L"))


# ---- pixels


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_gray_is_its_own_luma(depth, interlaced):
    gray = samples(depth, 21, 13)
    raster = read_png(png(gray, depth, GRAY, interlaced=interlaced), LIMITS)
    assert raster.luma.dtype == (np.uint16 if depth == 16 else np.uint8)
    np.testing.assert_array_equal(raster.luma, gray * (np.iinfo(raster.luma.dtype).max // (2**depth - 1)))
    assert (raster.alpha, raster.orientation, raster.metadata.exif) == (None, 1, b"")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_alpha_stays_beside_gray(depth, interlaced):
    both = samples(depth, 21, 13, 2)
    raster = read_png(png(both, depth, GRAY_ALPHA, interlaced=interlaced), LIMITS)
    np.testing.assert_array_equal(raster.luma, both[..., 0])
    np.testing.assert_array_equal(raster.alpha, both[..., 1])
    assert raster.alpha.dtype == raster.luma.dtype


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("color", [RGB, RGBA])
@pytest.mark.parametrize("depth", [8, 16])
def test_colours_are_added_up_at_their_own_depth(depth, color, interlaced):
    stored = samples(depth, 70, 13, 4 if color == RGBA else 3)
    raster = read_png(png(stored, depth, color, interlaced=interlaced), LIMITS)
    expected = exact(stored[..., :3]) if depth == 16 else by_pillow(stored[..., :3])
    np.testing.assert_array_equal(raster.luma, expected)
    if color == RGBA:
        np.testing.assert_array_equal(raster.alpha, stored[..., 3])
    else:
        assert raster.alpha is None


@pytest.mark.parametrize("transparent", [b"", b"\0\x80"])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_palette_is_what_it_shows(depth, transparent):
    indices = samples(depth, 21, 13)
    palette = samples(8, 2**depth, 3, seed=1).astype(np.uint8)
    chunks = chunk(b"PLTE", palette.tobytes()) + (chunk(b"tRNS", transparent) if transparent else b"")
    raster = read_png(png(indices, depth, PALETTE, chunks), LIMITS)
    np.testing.assert_array_equal(raster.luma, by_pillow(palette[indices]))
    if transparent:
        np.testing.assert_array_equal(raster.alpha, np.choose(np.minimum(indices, 2), [0, 128, 255]))
    else:
        assert raster.alpha is None


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_gray_becomes_alpha(depth):
    gray = samples(depth, 21, 13)
    key = int(gray[3, 4])
    raster = read_png(png(gray, depth, GRAY, chunk(b"tRNS", struct.pack(">H", key))), LIMITS)
    np.testing.assert_array_equal(raster.alpha, np.where(gray == key, 0, np.iinfo(raster.luma.dtype).max))
    np.testing.assert_array_equal(raster.luma, read_png(png(gray, depth, GRAY), LIMITS).luma)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_becomes_alpha(depth):
    stored = samples(depth, 21, 13, 3)
    stored[5, 6] = stored[3, 4]
    stored[7, 7] = stored[3, 4] ^ [0, 0, 1]
    raster = read_png(png(stored, depth, RGB, chunk(b"tRNS", struct.pack(">3H", *stored[3, 4]))), LIMITS)
    assert [raster.alpha[3, 4], raster.alpha[5, 6]] == [0, 0]
    assert raster.alpha[7, 7] == np.iinfo(raster.luma.dtype).max


@pytest.mark.parametrize("kind", KINDS)
def test_opencv_sees_the_same_luma(kind):
    seen = cv2.imdecode(np.frombuffer(KINDS[kind](), np.uint8), cv2.IMREAD_UNCHANGED)
    if seen.ndim == 3:
        seen = exact(seen[..., 2::-1]) if seen.shape[2] >= 3 else seen[..., 0]
    assert abs(read_png(KINDS[kind](), LIMITS).luma.astype(int) - seen).max() <= 1  # 8-bit ties


@pytest.mark.parametrize("height", range(1, 10))
@pytest.mark.parametrize("width", range(1, 10))
def test_interlaced_pictures_of_every_small_size_are_read(width, height):
    gray = samples(8, height, width)
    np.testing.assert_array_equal(read_png(png(gray, 8, GRAY, interlaced=True), LIMITS).luma, gray)


@pytest.mark.parametrize("name", ["SUB", "UP", "AVG", "PAETH", "ALL"])
@pytest.mark.parametrize(("depth", "channels"), [(8, 1), (16, 1), (8, 2), (16, 2), (8, 3), (16, 3), (8, 4), (16, 4)])
def test_every_filter_is_taken_off_within_strips_and_between_them(depth, channels, name, monkeypatch):
    monkeypatch.setattr("photochrom.worker.photo.png.rows._STRIP_BYTES", 300)
    stored = samples(depth, 30, 13, channels).astype(np.uint8 if depth == 8 else np.uint16)
    stored[:, 1:] = stored[:, :-1] // 2 + stored[:, 1:] // 2
    encoded = imagecodecs.png_encode(stored.squeeze(), filter=imagecodecs.PNG.FILTER[name])
    raster = read_png(encoded, LIMITS)
    np.testing.assert_array_equal(raster.luma, luma_of(stored) if channels > 2 else stored[..., 0])
    if channels in (2, 4):
        np.testing.assert_array_equal(raster.alpha, stored[..., -1])


def test_pixels_may_lie_in_many_chunks():
    gray = samples(8, 21, 13)
    np.testing.assert_array_equal(read_png(png(gray, 8, GRAY, pieces=100), LIMITS).luma, gray)


# ---- what goes with them


def with_chunks(*chunks):
    return png(samples(8, 5, 4), 8, GRAY, b"".join(chunk(name, data) for name, data in chunks))


def metadata_of(*chunks):
    return read_png(with_chunks(*chunks), LIMITS).metadata


def test_exif_gives_its_orientation_away():
    exif = Image.Exif()
    exif[274], exif[270] = 6, "Vienna"
    block = exif.tobytes()
    for stored in (block, block.removeprefix(b"Exif\0\0")):
        raster = read_png(with_chunks((b"eXIf", stored)), LIMITS)
        assert raster.orientation == 6
        read = Image.Exif()
        read.load(raster.metadata.exif)
        assert dict(read) == {270: "Vienna"}


@pytest.mark.parametrize("packet", [b"<x/>", "<x>Straße</x>".encode(), b"\xff\xfe<\0", b""])
def test_xmp_is_a_text_of_its_own(packet):
    name = b"XML:com.adobe.xmp"
    assert metadata_of((b"iTXt", name + b"\0\0\0\0\0" + packet)).xmp == packet
    compressed = metadata_of((b"iTXt", name + b"\0\1\0\0\0" + zlib.compress(packet)))
    assert compressed.xmp == packet
    assert compressed.comments == ()


def test_texts_are_comments():
    metadata = metadata_of(
        (b"tEXt", b"Title\0Stra\xdfe"),
        (b"zTXt", b"Description\0\0" + zlib.compress(b"Karlskirche " * 100)),
        (b"iTXt", b"Author\0\0\0de\0Urheber\0" + "Anna Ž".encode()),
        (b"tEXt", b"Raw profile type iptc\0\niptc\n       3\n1c0200\n"),
    )
    assert metadata.comments == (
        ("Title", "Straße"),
        ("Description", "Karlskirche " * 100),
        ("Author", "Anna Ž"),
        ("Raw profile type iptc", "\niptc\n       3\n1c0200\n"),
    )


@pytest.mark.parametrize(
    "unreadable",
    [
        (b"tEXt", b"no end of the keyword"),
        (b"zTXt", b"Title\0\0no zlib stream"),
        (b"zTXt", b"Title\0\0" + zlib.compress(bytes(1000))[:-1]),
        (b"iTXt", b"Title\0\0\0de"),
    ],
)
def test_a_text_that_cannot_be_read_does_not_stop_a_good_photograph(unreadable):
    assert metadata_of(unreadable, (b"tEXt", b"Title\0Graben")).comments == (("Title", "Graben"),)


def test_bytes_that_should_be_utf_8_are_marked():
    assert metadata_of((b"iTXt", b"Title\0\0\0\0\0Stra\xdfe")).comments == (("Title", "Stra\ufffde"),)


@pytest.mark.parametrize(
    ("across", "down", "unit", "dpi"),
    [
        (11811, 23622, 1, (Fraction("299.9994"), Fraction("599.9988"))),
        (1, 2, 0, None),
        (11811, 11811, 0, None),
        (0, 0, 1, None),
        (2**32 - 1, 1, 1, (Fraction("0.0254") * (2**32 - 1), Fraction("0.0254"))),
    ],
)
def test_resolution_counts_where_it_has_a_unit(across, down, unit, dpi):
    assert metadata_of((b"pHYs", struct.pack(">IIB", across, down, unit))).dpi == dpi


def test_resolution_stands_in_the_exif_too():
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 200.0, 100.0, 2
    assert metadata_of((b"eXIf", exif.tobytes())).dpi == (200, 100)
    for dots, across in ((11811, Fraction("299.9994")), (1, 200)):  # one a meter is less than one an inch
        pixels = struct.pack(">IIB", dots, dots, 1)
        assert metadata_of((b"pHYs", pixels), (b"eXIf", exif.tobytes())).dpi[0] == across


def test_a_profile_becomes_one_for_colour():
    stored = b"Gray\0\0" + zlib.compress(gray_profile())
    assert metadata_of((b"iCCP", stored)).icc == icc.for_colour(gray_profile())
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = io.BytesIO()
    Image.new("RGB", (3, 3)).save(file, "PNG", icc_profile=srgb)
    assert read_png(file.getvalue(), LIMITS).metadata.icc == srgb


@pytest.mark.parametrize("stored", [b"x", b"x\0\0no zlib stream", b"x\0\0" + zlib.compress(b"no profile")])
def test_a_profile_that_cannot_be_read_is_refused(stored):
    assert reason(with_chunks((b"iCCP", stored))) == "profile"


# ---- what cannot be read


def test_too_many_pixels_are_told_by_the_header_alone():
    assert reason(claim(60_000, 60_000), Limits()) == "too-many-pixels"
    assert reason(random_png(GRAY, 8), Limits(pixels=21 * 13 - 1)) == "too-many-pixels"
    assert read_png(random_png(GRAY, 8), Limits(pixels=21 * 13)).luma.shape == (21, 13)
    assert reason(claim(0, 7)) == "damaged"


def test_too_many_chunks_are_refused():
    assert reason(with_chunks(*[(b"tEXt", b"a\0b")] * LIMITS.segments)) == "too-many-segments"


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_compressed_bomb_is_refused(name, monkeypatch):
    monkeypatch.setattr("photochrom.worker.photo.png.chunks.MOST_METADATA", 1_000_000)
    bomb = zlib.compress(bytes(600_000))
    stored = {
        b"zTXt": b"a\0\0" + bomb,
        b"iTXt": b"a\0\1\0\0\0" + bomb,
        b"iCCP": b"a\0\0" + zlib.compress(bytes(1_000_001)),
    }
    assert reason(with_chunks(*[(name, stored[name])] * 2)) == "unsupported"
    if name != b"iCCP":
        assert read_png(with_chunks((name, stored[name])), LIMITS).metadata.comments[0] == ("a", "\0" * 600_000)


def test_an_animation_is_refused_and_not_cut_down_to_its_first_picture():
    file = io.BytesIO()
    frames = [Image.fromarray(samples(8, 5, 4, seed=seed).astype(np.uint8)) for seed in (0, 1)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert reason(file.getvalue()) == "unsupported"


@pytest.mark.parametrize("color", [GRAY, RGBA, PALETTE])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_file_cut_off_anywhere_is_damaged(color, interlaced):
    data = random_png(color, 8, 6, 5, interlaced=interlaced)
    for length in range(8, len(data)):
        assert reason(data[:length]) == "damaged"


def test_a_file_with_a_changed_byte_anywhere_is_damaged():
    data = random_png(GRAY, 8, 6, 5, chunks=chunk(b"tEXt", b"Title\0Graben"))
    for place in range(len(data)):
        assert reason(data[:place] + bytes((data[place] ^ 0x10,)) + data[place + 1 :]) in ("damaged", "too-many-pixels")


def test_what_follows_the_end_is_left_aside():
    data = random_png(GRAY, 8)
    np.testing.assert_array_equal(read_png(data + b"whatever", LIMITS).luma, read_png(data, LIMITS).luma)


def header(width=4, height=5, depth=8, color=0, *rest):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, *(rest or (0, 0, 0))))


ROWS = chunk(b"IDAT", zlib.compress(bytes(5 * 5)))
END = chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "parts",
    {
        "no IHDR": [ROWS, END],
        "a short IHDR": [chunk(b"IHDR", b"\0\0\0\4\0\0\0\5"), ROWS, END],
        "no IDAT": [header(), END],
        "too few rows": [header(), chunk(b"IDAT", zlib.compress(bytes(5 * 4))), END],
        "no zlib stream": [header(), chunk(b"IDAT", b"whatever it is"), END],
        "an unknown filter": [header(), chunk(b"IDAT", zlib.compress(b"\7" * 5 * 5)), END],
        "an impossible depth": [header(depth=3), ROWS, END],
        "an impossible colour": [header(color=1), ROWS, END],
        "no palette": [header(color=3), ROWS, END],
        "unknown interlacing": [header(4, 5, 8, 0, 0, 0, 2), ROWS, END],
        "unknown compression": [header(4, 5, 8, 0, 1, 0, 0), ROWS, END],
        "a palette that ends within a colour": [header(color=3), chunk(b"PLTE", b"1234"), ROWS, END],
        "a palette of 257 colours": [header(color=3), chunk(b"PLTE", bytes(3 * 257)), ROWS, END],
        "a length beyond the end": [header(), b"\xff\xff\xff\xf0IDAT", ROWS, END],
    }.items(),
    ids=lambda pair: pair[0],
)
def test_a_file_that_breaks_the_rules_is_damaged(parts):
    assert reason(SIGNATURE + b"".join(parts[1])) == "damaged"


def test_an_unknown_critical_chunk_is_not_supported():
    assert reason(SIGNATURE + chunk(b"CgBI", b"1234") + header() + ROWS + END) == "damaged"  # IHDR has to be first
    assert reason(SIGNATURE + header() + chunk(b"CgBI", b"1234") + ROWS + END) == "unsupported"


def test_a_picture_wider_than_libpng_reads_is_not_supported():
    assert reason(claim(1_000_001, 1), Limits()) == "unsupported"
    assert read_png(random_png(GRAY, 1, 1, 1_000_000), Limits()).luma.shape == (1, 1_000_000)


def test_pixels_beyond_the_last_are_never_inflated():
    stream = zlib.compressobj()
    pixels = stream.compress(bytes(5 * 5 + 1000)) + stream.flush(zlib.Z_FULL_FLUSH)
    data = SIGNATURE + header() + chunk(b"IDAT", pixels + b"what no decompressor would let pass") + END
    np.testing.assert_array_equal(read_png(data, LIMITS).luma, np.zeros((5, 4)))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("kind", [(GRAY, 1), (GRAY, 16), (RGB, 16), (RGBA, 8), (PALETTE, 2)])
def test_strips_of_rows_give_what_one_strip_gives(kind, interlaced, monkeypatch):
    data = random_png(*kind, 50, 31, interlaced=interlaced)
    whole = read_png(data, LIMITS)
    for size in (1, 100, 1000):
        monkeypatch.setattr("photochrom.worker.photo.png.rows._STRIP_BYTES", size)
        monkeypatch.setattr("photochrom.worker.photo.png.rows._PIECE_BYTES", size % 99 + 1)
        np.testing.assert_array_equal(read_png(data, LIMITS).luma, whole.luma)


changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6)


@given(kind=st.sampled_from(sorted(KINDS)), changes=changes, which=st.integers(0, 9))
@examples(200)
def test_a_chunk_with_senseless_data_is_a_photograph_or_a_fault(kind, changes, which):
    """Checksums are right, so that it is not they that stop it."""
    data = KINDS[kind]()
    chunks, at = [], len(SIGNATURE)
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], bytearray(data[at + 8 : end])))
        at = end + 4
    content = chunks[which % len(chunks)][1]
    for place, value in changes:
        if content:
            content[place % len(content)] = value
    try:
        raster = read_png(SIGNATURE + b"".join(chunk(name, bytes(content)) for name, content in chunks), LIMITS)
    except ImageFault as fault:
        assert fault.reason in ("damaged", "too-many-pixels")
    else:
        assert raster.luma.dtype in (np.uint8, np.uint16)
        assert raster.luma.ndim == 2
