"""Coloured pages to a TIFF, strip by strip: luma and alpha stay, and other readers read it."""

import io
import tempfile
import tracemalloc
import weakref

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.luma import join, strips
from photochrom.worker.photo.base.raster import Metadata, Raster
from photochrom.worker.photo.tiff import pages, write_pages
from photochrom.worker.photo.tiff.write import most_bytes
from tests.examples import examples
from tests.unit.photo.generate.tiff import by_hand, noise, plain_entries, tiff

LIMITS = Limits()
COMPRESSIONS = ["none", "lzw", "deflate", "packbits"]
TAGS = {"none": 1, "lzw": 5, "deflate": 8, "packbits": 32773}


def chroma(seed=0):
    return np.random.default_rng(seed).uniform(-0.4, 0.4, (2, 7, 9)).astype(np.float32)


def written(*rasters, big=False):
    file = io.BytesIO()
    write_pages(file, ((raster, strips(raster.luma, chroma())) for raster in rasters), big)
    return file.getvalue()


def raster(height=150, width=37, bits=8, alpha=False, **options):
    return Raster(
        luma=noise(height, width, bits=bits),
        alpha=noise(height, width, bits=bits, seed=9) if alpha else None,
        **options,
    )


def samples_of(raster):
    rgb = join(raster.luma, chroma())
    return rgb if raster.alpha is None else np.dstack([rgb, raster.alpha])


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_tifffile_opencv_and_pillow_read_what_was_written(compression, bits, alpha, big):
    page = raster(bits=bits, alpha=alpha, compression=compression)
    data, samples = written(page, big=big), samples_of(page)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.is_bigtiff == big
        found = file.pages[0]
        np.testing.assert_array_equal(found.asarray(), samples)
        assert (found.photometric, found.compression, found.rowsperstrip) == (2, TAGS[compression], 64)
        assert found.predictor == (2 if compression in ("lzw", "deflate") else 1)
        assert found.extrasamples == ((2,) if alpha else ())
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if alpha and bits == 8:  # where OpenCV multiplies colour by alpha
        np.testing.assert_array_equal(seen[..., 3], page.alpha)
    else:
        np.testing.assert_array_equal(seen[..., [2, 1, 0, 3][: samples.shape[2]]], samples)
    if bits == 8:
        image = Image.open(io.BytesIO(data))
        np.testing.assert_array_equal(np.asarray(image), samples)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB").convert("L")), page.luma)


@examples(60)
@given(data=st.data())
def test_luma_and_alpha_of_all_pages_come_back_bit_for_bit(data):
    kinds = st.tuples(st.integers(1, 140), st.integers(1, 40), st.sampled_from([8, 16]), st.booleans())
    rasters = [
        raster(height, width, bits, alpha, compression=data.draw(st.sampled_from(COMPRESSIONS)))
        for height, width, bits, alpha in data.draw(st.lists(kinds, min_size=1, max_size=4))
    ]
    back = list(pages(io.BytesIO(written(*rasters, big=data.draw(st.booleans()))), LIMITS))
    assert len(back) == len(rasters)
    for before, after in zip(rasters, back, strict=True):
        np.testing.assert_array_equal(after.luma, before.luma)
        assert after.luma.dtype == before.luma.dtype
        assert (after.alpha is None) == (before.alpha is None)
        if before.alpha is not None:
            np.testing.assert_array_equal(after.alpha, before.alpha)
        assert after.compression == before.compression
        assert after.metadata == before.metadata


def test_pages_become_pages_of_one_file_for_others_too():
    data = written(raster(70, 20), raster(30, 40, bits=16), raster(5, 6))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert [page.shape for page in file.pages] == [(70, 20, 3), (30, 40, 3), (5, 6, 3)]
    assert Image.open(io.BytesIO(data)).n_frames == 3


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_alpha_stays_of_its_kind(kind):
    entries = [*plain_entries(samples=2, size=40), (338, 3, 1, kind)]
    (page,) = pages(io.BytesIO(by_hand(entries, noise(4, 5, 2).tobytes())), LIMITS)
    np.testing.assert_array_equal(page.alpha, noise(4, 5, 2)[..., 1])
    with tifffile.TiffFile(io.BytesIO(written(page))) as file:
        assert [int(found) for found in file.pages[0].extrasamples] == [kind]


def test_the_same_work_twice_gives_the_same_bytes():
    page = raster(bits=16, alpha=True, compression="lzw", orientation=6, metadata=Metadata(dpi=(300, 300), xmp=b"<x/>"))
    assert written(page, page) == written(page, page)


def test_strips_are_written_as_they_come():
    page = Raster(noise(2000, 500, bits=16), compression="none")
    tracemalloc.start()
    with tempfile.TemporaryFile() as file:
        write_pages(file, [(page, strips(page.luma, chroma()))])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert file.tell() or file.seek(0, 2) > 6 * page.luma.size
    assert peak < 6 * page.luma.size * 0.8


def test_a_page_is_let_go_before_the_next_one_is_asked_for():
    def page():
        made = raster(10, 10)
        return made, strips(made.luma, chroma())

    def lazily():
        for _ in range(3):
            held = [page()]
            before = weakref.ref(held[0][0])
            yield held.pop()
            assert before() is None

    file = io.BytesIO()
    write_pages(file, lazily())
    assert len(list(pages(file, LIMITS))) == 3


@pytest.mark.parametrize("wrong", ["too few rows", "too wide", "of another type", "in small strips", "none"])
def test_strips_that_do_not_make_up_the_page_are_an_error(wrong):
    page = raster(130, 20)
    rgb = join(page.luma, chroma())
    given_strips = {
        "too few rows": [rgb[:64], rgb[64:128]],
        "too wide": [np.repeat(rgb, 2, axis=1)],
        "of another type": [rgb.astype(np.uint16)],
        "in small strips": np.array_split(rgb, 10),
        "none": [],
    }
    with pytest.raises(ValueError, match="strip"):
        write_pages(io.BytesIO(), [(page, given_strips[wrong])])


def test_a_file_without_pages_is_an_error():
    with pytest.raises(ValueError, match="page"):
        write_pages(io.BytesIO(), [])


class Huge(io.BytesIO):
    """Pretends that much has been written already."""

    def seek(self, place, whence=0):
        return 2**32 - 5000 if whence == 2 else super().seek(place, whence)


def test_more_than_4_gib_are_refused_where_the_file_is_no_bigtiff():
    page = raster(64, 64)
    with pytest.raises(ImageFault) as told:
        write_pages(Huge(), [(page, strips(page.luma, chroma()))])
    assert told.value.reason == "too-large"


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_bound_of_a_page_holds_for_the_worst_there_is(compression, bits):
    page = raster(640, 500, bits=bits, alpha=True, compression=compression)
    noisy = [noise(64, 500, 3, bits=bits, seed=seed) for seed in range(10)]
    file = io.BytesIO()
    write_pages(file, [(page, noisy)])
    assert len(file.getvalue()) <= most_bytes(640, 500, bits == 16)


def test_a_result_can_be_coloured_again_from_its_own_luma():
    (page,) = pages(io.BytesIO(tiff(noise(90, 33, bits=16), byteorder=">")), LIMITS)
    (again,) = pages(io.BytesIO(written(page)), LIMITS)
    (third,) = pages(io.BytesIO(written(again)), LIMITS)
    np.testing.assert_array_equal(third.luma, page.luma)
