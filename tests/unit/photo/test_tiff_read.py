"""Every kind of TIFF, to luma: tifffile, Pillow and plain arithmetic say what it has to be."""

import io
import tracemalloc

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.tiff import needs_big, pages, segments
from tests.examples import examples
from tests.unit.photo.generate.tiff import KINDS, by_hand, noise, plain_entries, tiff

LIMITS = Limits()


def read(data):
    return list(pages(io.BytesIO(data), LIMITS))


def only(data):
    (page,) = read(data)
    return page


def luma_of(rgb):
    """By the rule in words, and in Pillow's way of rounding where there are 8 bits."""
    if rgb.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).convert("L"))
    red, green, blue = np.moveaxis(rgb.astype(np.int64), -1, 0)
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint16)


def repeated(samples, bits):
    """The bits written one after another until 8 or 16 places are full."""
    wide = 8 if bits <= 8 else 16
    strings = (f"{sample:0{bits}b}" * wide for sample in samples.flat)
    return np.array([int(string[:wide], 2) for string in strings]).reshape(samples.shape)


def expected(page):
    """The luma of a page as tifffile decodes it."""
    samples = page.asarray()
    if page.planarconfig == 2:
        samples = np.moveaxis(samples, 0, -1)
    if page.photometric == 3:
        table = page.colormap
        table = (table // 257).astype(np.uint8) if not (table % 257).any() else table
        return luma_of(np.moveaxis(table[:, samples], 0, -1))
    samples = repeated(samples.astype(int), page.bitspersample).astype(
        np.uint8 if page.bitspersample <= 8 else np.uint16
    )
    if page.photometric == 2:
        return luma_of(samples[..., :3])
    luma = samples[..., 0] if samples.ndim == 3 else samples
    return np.iinfo(luma.dtype).max - luma if page.photometric == 0 else luma


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_as_tifffile_reads_it(kind):
    data = KINDS[kind]()
    with tifffile.TiffFile(io.BytesIO(data)) as reference:
        assert len(reference.pages) == len(read(data))
        for page, raster in zip(reference.pages, read(data), strict=True):
            luma = expected(page)
            assert raster.luma.dtype == luma.dtype
            np.testing.assert_array_equal(raster.luma, luma)
            assert (raster.alpha is not None) == ("alpha" in kind or "rgba" in kind)
            if raster.alpha is not None:
                np.testing.assert_array_equal(raster.alpha, page.asarray()[..., -1])


@examples(150)
@given(data=st.data())
def test_order_layout_compression_and_depth_make_no_difference(data):
    """One picture, stored in all ways: the luma is the same, and so is the alpha."""
    draw = data.draw
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    colours, alpha = draw(st.sampled_from([1, 3])), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    samples = rng.integers(0, np.iinfo(dtype).max, (height, width, colours + alpha), dtype=dtype, endpoint=True)
    planar = colours + alpha > 1 and draw(st.booleans())
    compression = draw(st.sampled_from([None, "lzw", "deflate", "adobe_deflate", "packbits"]))
    layout = draw(st.sampled_from([{"tile": (16, 32)}, {"rowsperstrip": 1}, {"rowsperstrip": 7}, {"rowsperstrip": 99}]))
    options = {
        "photometric": "rgb" if colours == 3 else "minisblack",
        "planarconfig": ("separate" if planar else "contig") if colours + alpha > 1 else None,
        "extrasamples": ["unassalpha"] if alpha else None,
        "compression": compression,
        "predictor": compression in ("lzw", "deflate", "adobe_deflate") and draw(st.booleans()),
    }
    stored = np.moveaxis(samples, -1, 0) if planar else samples
    stored = stored if colours + alpha > 1 else samples[..., 0]
    file = tiff(stored, byteorder=draw(st.sampled_from("<>")), big=draw(st.booleans()), **options, **layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "BAND_BYTES", draw(st.sampled_from([1, 500, 2**20])))
        raster = only(file)
    luma = luma_of(samples[..., :3]) if colours == 3 else samples[..., 0]
    assert raster.luma.dtype == dtype
    np.testing.assert_array_equal(raster.luma, luma)
    if alpha:
        np.testing.assert_array_equal(raster.alpha, samples[..., -1])
    else:
        assert raster.alpha is None
    assert raster.compression == {None: "none", "adobe_deflate": "deflate"}.get(compression, compression)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", range(1, 17))
def test_few_bits_are_repeated_until_they_fill_eight_or_sixteen(bits, photometric):
    samples = noise(6, 11, bits=bits)
    packed = imagecodecs.packints_encode(samples, bits, runlen=11) if bits not in (8, 16) else samples.tobytes()
    entries = plain_entries(11, 6, bits=bits, photometric=photometric, size=len(packed))
    luma = only(by_hand(entries, packed)).luma
    full = repeated(samples, bits)
    np.testing.assert_array_equal(luma, full if photometric else np.iinfo(luma.dtype).max - full)
    assert luma.dtype == (np.uint8 if bits <= 8 else np.uint16)


def test_two_and_four_bits_are_scaled_exactly():
    for bits, factor in ((1, 255), (2, 85), (4, 17)):
        samples = np.arange(1 << bits, dtype=np.uint8)[None]
        packed = imagecodecs.packints_encode(samples, bits)
        entries = plain_entries(1 << bits, 1, bits=bits, size=len(packed))
        np.testing.assert_array_equal(only(by_hand(entries, packed)).luma, samples * factor)


@pytest.mark.parametrize("bits", [1, 4, 12])
def test_alpha_of_few_bits_is_scaled_as_luma_is(bits):
    samples = noise(6, 11, 2, bits=bits)
    packed = imagecodecs.packints_encode(samples, bits, runlen=22)
    page = only(by_hand(plain_entries(11, 6, bits=bits, samples=2, size=len(packed)), packed))
    np.testing.assert_array_equal(page.luma, repeated(samples[..., 0], bits))
    np.testing.assert_array_equal(page.alpha, repeated(samples[..., 1], bits))


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bits_are_read_from_the_other_end_where_the_file_says_so(bits):
    samples = noise(6, 11, bits=bits)
    packed = imagecodecs.packints_encode(samples, bits, runlen=11) if bits < 8 else samples.tobytes()
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in packed)
    entries = [*plain_entries(11, 6, bits=bits, size=len(packed)), (266, 3, 1, 2)]
    np.testing.assert_array_equal(only(by_hand(entries, mirrored)).luma, repeated(samples, bits))


def palette(table, indices, bits=8):
    table = np.asarray(table, np.uint16)
    return tiff(indices, photometric="palette", colormap=table) if bits == 8 else None


@pytest.mark.parametrize(
    ("factor", "dtype", "shown"), [(257, np.uint8, 1), (256, np.uint8, 1), (1, np.uint8, 1), (250, np.uint16, 250)]
)
def test_a_palette_has_the_depth_its_entries_mean(factor, dtype, shown):
    """16 bits as they stand, or 8 that were multiplied; entries that are 8 bits as they stand are a known mistake."""
    table, indices = noise(3, 256, seed=3).astype(np.uint16), noise(9, 13)
    luma = only(palette(table * factor, indices)).luma
    assert luma.dtype == dtype
    np.testing.assert_array_equal(luma, luma_of(np.moveaxis((table * shown).astype(dtype)[:, indices], 0, -1)))


def pillow(image, **options):
    file = io.BytesIO()
    image.save(file, "TIFF", **options)
    return file.getvalue()


@pytest.mark.parametrize("bits", [1, 4])
def test_a_palette_of_few_bits(bits):
    indices = noise(6, 11, bits=bits)
    packed = imagecodecs.packints_encode(indices, bits, runlen=11)
    table = noise(3, 1 << bits, seed=1).astype(np.uint16) * 257
    entries = [*plain_entries(11, 6, bits=bits, photometric=3, size=len(packed)), (320, 3, table.size, 0)]
    place = len(by_hand(entries, packed))
    entries[-1] = (320, 3, table.size, place)
    luma = only(by_hand(entries, packed + table.tobytes())).luma
    np.testing.assert_array_equal(luma, luma_of(np.moveaxis((table // 257).astype(np.uint8)[:, indices], 0, -1)))


@pytest.mark.parametrize("rows", [7, 100])
def test_gray_jpeg_in_strips_with_common_tables(rows):
    image = Image.fromarray(np.asarray(Image.fromarray(noise(9, 8)).resize((61, 50))))
    data = pillow(image, compression="jpeg", tiffinfo={278: 8 * (rows // 8) or 8})
    np.testing.assert_array_equal(only(data).luma, np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2), (2, 1)])
def test_of_a_ycbcr_jpeg_the_y_is_luma_as_it_stands(subsampling):
    rgb = np.asarray(Image.fromarray(noise(9, 8, 3)).resize((64, 48)))
    data = tiff(rgb, photometric="rgb", compression="jpeg", compressionargs={"level": 90}, subsampling=subsampling)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        assert page.photometric == 6
        jpeg = data[page.dataoffsets[0] :][: page.databytecounts[0]]
        near = luma_of(page.asarray()).astype(int)
    raster = only(data)
    np.testing.assert_array_equal(raster.luma, imagecodecs.jpeg8_decode(jpeg, outcolorspace="YCBCR")[..., 0])
    assert abs(raster.luma - near).mean() < 2
    assert raster.compression == "deflate"


def test_an_rgb_jpeg_becomes_luma_by_the_rule():
    rgb = np.asarray(Image.fromarray(noise(9, 8, 3)).resize((64, 48)))
    options = {"compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}, "subsampling": (1, 1)}
    data = tiff(rgb, photometric="rgb", **options)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.pages[0].photometric == 2
        np.testing.assert_array_equal(only(data).luma, luma_of(file.pages[0].asarray()))


def test_every_page_of_the_chain_is_a_page_also_one_that_is_marked_as_smaller():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(noise(30, 20), metadata=None)
        writer.write(noise(15, 10), metadata=None, subfiletype=1)
        writer.write(noise(30, 21, bits=16), metadata=None, subfiletype=2)
    assert [page.luma.shape for page in read(file.getvalue())] == [(30, 20), (15, 10), (30, 21)]


def test_pages_are_decoded_one_by_one_as_they_are_asked_for():
    good, bad = noise(30, 20), noise(30, 20, seed=1)
    data = bytearray(tiff(good, bad, compression="lzw"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages[1].dataoffsets[0]
    data[place : place + 20] = b"\xff" * 20
    found = pages(io.BytesIO(bytes(data)), LIMITS)
    np.testing.assert_array_equal(next(found).luma, good)
    with pytest.raises(ImageFault, match="strip or tile 1") as told:
        next(found)
    assert told.value.reason == "damaged"


@pytest.mark.parametrize("turn", range(10))
def test_pixels_stay_as_stored_and_the_orientation_is_told(turn):
    samples = noise(4, 5)
    data = by_hand([*plain_entries(), (274, 3, 1, turn)], samples.tobytes())
    page = only(data)
    np.testing.assert_array_equal(page.luma, samples)
    assert page.orientation == (turn if 1 <= turn <= 8 else 1)


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("planar", [False, True])
def test_a_page_in_one_strip_takes_its_luma_and_small_change(compression, planar):
    samples = noise(3, 700, 900, bits=16) if planar else noise(700, 900, 3, bits=16)
    options = {"photometric": "rgb", "planarconfig": "separate" if planar else "contig", "compression": compression}
    data = tiff(samples, rowsperstrip=700, **options)
    source = io.BytesIO(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "BAND_BYTES", 2**15)
        tracemalloc.start()
        luma = next(pages(source, LIMITS)).luma
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert luma.nbytes < peak < luma.nbytes + 1_200_000 < samples.nbytes


def test_a_result_is_a_bigtiff_where_the_source_is_one_or_the_size_asks_for_it():
    assert not needs_big(io.BytesIO(tiff(noise(9, 9))), LIMITS)
    assert needs_big(io.BytesIO(tiff(noise(9, 9), big=True)), LIMITS)
    wide = by_hand(plain_entries(20_000, 15_000, bits=16, compression=5, size=99), bytes(99))
    assert not needs_big(io.BytesIO(wide), LIMITS)
    palette = by_hand(
        [*plain_entries(30_000, 30_000, bits=8, photometric=3, compression=5, size=99), (320, 3, 768, 200)], bytes(2000)
    )
    assert needs_big(io.BytesIO(palette), LIMITS._replace(pixels=10**9))
    twice = by_hand(plain_entries(30_000, 30_000, bits=16, compression=5, size=99), bytes(99))
    assert needs_big(io.BytesIO(twice), LIMITS._replace(pixels=10**9))
