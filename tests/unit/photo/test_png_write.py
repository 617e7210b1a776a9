"""A coloured PNG holds every bit of colour, alpha and metadata, and is never in memory as pixels."""

import io
import struct
import tracemalloc
from fractions import Fraction

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from photochrom.worker.photo.base import luma
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.raster import Metadata, Raster
from photochrom.worker.photo.metadata import icc
from photochrom.worker.photo.png.chunks import kept
from photochrom.worker.photo.png.read import read_png
from photochrom.worker.photo.png.write import write_png
from tests.examples import examples
from tests.unit.photo.generate.png import GRAY, chunk, random_png

LIMITS = Limits(pixels=10_000_000)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(dtype=np.uint8, height=70, width=13, channels=3, seed=0):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def strips(rgb, rows=64):
    return (rgb[top : top + rows] for top in range(0, len(rgb), rows))


def written(rgb, alpha=None, metadata=None, orientation=1, rows=64):
    raster = Raster(rgb[..., 0], alpha, orientation, metadata or Metadata())
    return write_png(raster, strips(rgb, rows))


def read_back(metadata, orientation=1):
    return read_png(written(picture(), metadata=metadata, orientation=orientation), LIMITS)


def block(**tags):
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[int(tag[1:])] = value
    return exif.tobytes().removeprefix(b"Exif\0\0")


# ---- pixels


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 40)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    has_alpha=st.booleans(),
    rows=st.integers(1, 70),
)
@examples(80)
def test_every_pixel_comes_back_in_other_decoders(size, dtype, has_alpha, rows):
    rgb = picture(dtype, *size)
    alpha = picture(dtype, *size, seed=1)[..., 0] if has_alpha else None
    data = written(rgb, alpha, rows=rows)
    expected = rgb if alpha is None else np.dstack([rgb, alpha])
    np.testing.assert_array_equal(imagecodecs.png_decode(data), expected)
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(seen[..., [2, 1, 0, 3][: seen.shape[2]]], expected)
    if dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_luma_and_alpha_come_back_exactly_from_a_coloured_photograph(dtype):
    gray, alpha = picture(dtype)[..., 0], picture(dtype, seed=1)[..., 0]
    chroma = np.random.default_rng(2).uniform(-0.5, 0.5, (2, 9, 5)).astype(np.float32)
    data = write_png(Raster(gray, alpha), luma.strips(gray, chroma))
    raster = read_png(data, LIMITS)
    np.testing.assert_array_equal(raster.luma, gray)
    np.testing.assert_array_equal(raster.alpha, alpha)
    assert raster.luma.dtype == dtype


def test_how_rows_come_in_strips_makes_no_difference():
    assert len({written(picture(), rows=rows) for rows in (1, 7, 64, 70)}) == 1


def test_the_same_picture_gives_the_same_bytes():
    metadata = Metadata(icc=SRGB, comments=(("Title", "Graben"),), dpi=(300, 300))
    assert written(picture(), metadata=metadata) == written(picture(), metadata=metadata)


def peak_of(height):
    gray = np.zeros((height, 1024), np.uint16)
    tracemalloc.start()
    write_png(Raster(gray), (np.zeros((64, 1024, 3), np.uint16) for _ in range(height // 64)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_height_of_the_picture():
    assert peak_of(4096) < 1.1 * peak_of(1024)


@pytest.mark.parametrize("shape", [(69, 13, 3), (71, 13, 3), (70, 12, 3), (70, 13, 4)])
def test_strips_of_another_size_than_the_picture_s_are_a_mistake(shape):
    with pytest.raises(ValueError, match=r"of a picture|for a picture"):
        write_png(Raster(np.zeros((70, 13), np.uint8)), strips(np.zeros(shape, np.uint8)))


# ---- what goes with them


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("exif", [b"", block(t270="Vienna")])
def test_exif_comes_back_with_its_orientation(exif, orientation):
    metadata = Metadata(exif=exif, dpi=(200, 100))
    image = Image.open(io.BytesIO(written(picture(), metadata=metadata, orientation=orientation)))
    assert image.getexif().get(274, 1) == orientation
    assert image.getexif().get(270) == ("Vienna" if exif else None)
    assert ("exif" in image.info) == bool(exif or orientation > 1)
    back = read_back(metadata, orientation)
    assert (back.orientation, bool(back.metadata.exif)) == (orientation, bool(exif))


def test_profile_and_xmp_come_back_byte_for_byte():
    packet = "<x:xmpmeta>Straße</x:xmpmeta>".encode()
    metadata = Metadata(xmp=packet, icc=icc.for_colour(SRGB))
    back = read_back(metadata).metadata
    assert (back.xmp, back.icc, back.comments) == (packet, SRGB, ())
    image = Image.open(io.BytesIO(written(picture(), metadata=metadata)))
    assert (image.info["xmp"], image.info["icc_profile"]) == (packet, SRGB)


@pytest.mark.parametrize("dpi", [(300, 600), (72, 72), (Fraction("118.11"), Fraction(3, 2))])
def test_resolution_comes_back_as_near_as_whole_dots_a_meter_can_be(dpi):
    half_a_dot = 0.0127
    assert read_back(Metadata(dpi=dpi)).metadata.dpi == pytest.approx(dpi, abs=half_a_dot)
    image = Image.open(io.BytesIO(written(picture(), metadata=Metadata(dpi=dpi))))
    assert image.info["dpi"] == pytest.approx(tuple(map(float, dpi)), abs=half_a_dot)


@pytest.mark.parametrize(("dpi", "meters"), [(Fraction(1, 100), 1), (2**32 - 1, 2**31 - 1)])
def test_a_resolution_beyond_what_a_png_can_state_is_the_last_that_it_can(dpi, meters):
    data = written(picture(), metadata=Metadata(dpi=(dpi, dpi)), orientation=6)
    assert struct.pack(">4sIIB", b"pHYs", meters, meters, 1) in data
    exif = Image.open(io.BytesIO(data)).getexif()
    assert (exif[282], exif[283], exif[296]) == (dpi, dpi, 2)


@pytest.mark.parametrize(
    ("text", "kind"), [("Straße", b"tEXt"), ("Graben " * 300, b"zTXt"), ("Anna Ž 1901", b"iTXt"), ("", b"tEXt")]
)
def test_a_comment_stands_in_the_plainest_chunk_that_holds_it(text, kind):
    data = written(picture(), metadata=Metadata(comments=(("Title", text), ("Title", "a second one"))))
    assert data.count(kind + b"Title\0") == (2 if kind == b"tEXt" else 1)
    assert read_png(data, LIMITS).metadata.comments == (("Title", text), ("Title", "a second one"))
    if text:
        assert Image.open(io.BytesIO(data)).text["Title"] in (text, "a second one")


@given(keyword=st.text(max_size=100), text=st.text(max_size=50))
@example(keyword="XML:com.adobe.xmp", text="no packet")
@example(keyword=" XML:com.adobe.xmp\0", text="")
@examples(60)
def test_any_comment_makes_a_file_that_can_be_read(keyword, text):
    data = written(picture(), metadata=Metadata(comments=((keyword, text),)))
    ((word, back),) = read_png(data, LIMITS).metadata.comments
    assert back == text.replace("\0", "\ufffd")
    assert 1 <= len(word) <= 79
    Image.open(io.BytesIO(data)).load()


def test_a_keyword_has_at_most_79_letters():
    back = read_back(Metadata(comments=(("Straße " * 20, "text"), ("\0", "text"), ("日本", "text")))).metadata.comments
    assert [keyword for keyword, _ in back] == [("Straße " * 20)[:79], "Comment", "??"]


@pytest.mark.parametrize(("field", "kind"), [("photoshop", "8bim"), ("iptc", "iptc")])
def test_what_png_has_no_chunk_for_is_written_in_imagemagicks_way(field, kind):
    stored = bytes(range(256)) * 5
    ((keyword, text),) = read_back(Metadata(**{field: stored})).metadata.comments
    empty, name, length, *lines = text.split("\n")
    assert (keyword, empty, name, int(length)) == (f"Raw profile type {kind}", "", kind, len(stored))
    assert bytes.fromhex("".join(lines)) == stored


def source_with(*chunks):
    return random_png(GRAY, 8, 70, 13, chunks=b"".join(chunk(name, data) for name, data in chunks))


def test_a_png_s_own_chunks_come_out_as_they_stood():
    own = [
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"pHYs", struct.pack(">IIB", 3, 4, 0)),
        (b"iTXt", b"Title\0\0\0de\0Titel\0Graben"),
        (b"zTXt", b"Comment\0\0no zlib stream"),
        (b"tEXt", b"Title\0Graben"),
    ]
    source = source_with(*own, (b"tIME", b"\x07\x6d\1\1\0\0\0"))
    raster = read_png(source, LIMITS)
    result = write_png(raster, strips(np.dstack([raster.luma] * 3)), kept(source, LIMITS))
    found = kept(result, LIMITS)
    assert [(one.name, bytes(one.data)) for one in found.chunks] == own
    assert found.dropped == ()
    np.testing.assert_array_equal(read_png(result, LIMITS).luma, raster.luma)


def test_resolution_and_texts_are_not_said_twice():
    source = source_with((b"pHYs", struct.pack(">IIB", 11811, 11811, 1)), (b"tEXt", b"Title\0Graben"))
    raster = read_png(source, LIMITS)
    result = write_png(raster, strips(np.dstack([raster.luma] * 3)), kept(source, LIMITS))
    assert (result.count(b"pHYs"), result.count(b"tEXt")) == (1, 1)


def test_what_a_png_does_not_say_in_chunks_comes_from_the_metadata():
    raster = Raster(picture()[..., 0], metadata=Metadata(dpi=(300, 300), comments=(("Title", "Graben"),)))
    result = write_png(raster, strips(picture()), kept(source_with((b"sRGB", b"\0")), LIMITS))
    back = read_png(result, LIMITS).metadata
    assert back.comments == (("Title", "Graben"),)
    assert round(back.dpi[0]) == 300
