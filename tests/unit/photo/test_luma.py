"""A photograph's own luma comes back exactly from the coloured result."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.worker.photo.base import luma as luma_module
from photochrom.worker.photo.base.luma import join, join_pixels, resampling
from tests.examples import examples


def luma_of(rgb):
    """Integer luma of BT.601, rounded: no floating point that could hide an error."""
    red, green, blue = rgb.astype(np.int64).transpose(2, 0, 1)
    return (299 * red + 587 * green + 114 * blue + 500) // 1000


def assert_exact(rgb, luma):
    """Rounded luma is the source's; before rounding it is off by half a green step (0.2935 of a level) at most."""
    np.testing.assert_array_equal(luma_of(rgb), luma)
    off = rgb.astype(np.int64) @ [299, 587, 114] - 1000 * luma.astype(np.int64)
    assert abs(off).max() <= 587 // 2


def random_luma(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def random_chroma(height, width, seed=1):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (2, height, width)).astype(np.float32)


def all_8_bit_luma_under_a_grid_of_chroma():
    steps = np.linspace(-0.5, 0.5, 41, dtype=np.float32)
    y, u, v = np.meshgrid(np.arange(256, dtype=np.uint8), steps, steps, indexing="ij")
    return y.reshape(256, -1), u.reshape(256, -1), v.reshape(256, -1)


def test_8_bit_luma_comes_back_under_every_chroma():
    y, u, v = all_8_bit_luma_under_a_grid_of_chroma()
    rgb = join_pixels(y, u, v)
    assert rgb.dtype == np.uint8
    assert_exact(rgb, y)


def test_pillow_reads_the_8_bit_luma_back():
    y, u, v = all_8_bit_luma_under_a_grid_of_chroma()
    np.testing.assert_array_equal(np.asarray(Image.fromarray(join_pixels(y, u, v)).convert("L")), y)


def test_16_bit_luma_comes_back_under_random_chroma():
    y = random_luma((400, 500), np.uint16)
    y[:2], y[2:4] = 0, 65535
    u, v = random_chroma(400, 500)
    rgb = join_pixels(y, u, v)
    assert rgb.dtype == np.uint16
    assert_exact(rgb, y)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_neutral_chroma_gives_red_green_and_blue_equal_to_luma(dtype):
    y = np.arange(np.iinfo(dtype).max + 1).astype(dtype).reshape(16, -1)
    with np.errstate(all="raise"):
        rgb = join(y, np.zeros((2, 3, 3), np.float32))
    np.testing.assert_array_equal(rgb, np.repeat(y[..., None], 3, axis=2))


def test_chroma_that_fits_is_kept_as_it_is():
    y = np.full((1, 1), 128, np.uint8)
    red, green, blue = join_pixels(y, np.full((1, 1), 0.1), np.full((1, 1), -0.05))[0, 0].astype(float)
    assert red == round(128 - 1.402 * 0.05 * 255)
    assert blue == round(128 + 1.772 * 0.1 * 255)
    assert green == pytest.approx(128 + 255 * (0.714136 * 0.05 - 0.344136 * 0.1), abs=1)


def test_chroma_that_does_not_fit_keeps_its_hue():
    rng = np.random.default_rng(5)
    y = rng.integers(1, 65535, 20_000, dtype=np.uint16)
    u, v = rng.uniform(-0.5, 0.5, (2, 20_000))
    red, green, blue = join_pixels(y, u, v).astype(float).T - y
    wanted = np.stack([1.402 * v, -0.344136 * u - 0.714136 * v, 1.772 * u])
    found = np.stack([red, green, blue])
    # both point the same way: what is left of `found` beside `wanted` is rounding
    share = (found * wanted).sum(0) / (wanted**2).sum(0)
    assert share.min() >= 0
    assert abs(found - share * wanted).max() < 1.5


def test_chroma_is_scaled_down_no_further_than_it_must_be():
    y = np.full(3, 250, np.uint8)
    rgb = join_pixels(y, np.array([0.5, 0, -0.5]), np.array([0, 0.5, 0.5]))
    np.testing.assert_array_equal(rgb.max(axis=1), 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 7), (70, 3), (130, 201)])
@pytest.mark.parametrize("chroma", [(1, 1), (1, 6), (6, 1), (8, 8), (56, 40)])
def test_luma_comes_back_at_every_size_of_photograph_and_chroma(dtype, shape, chroma):
    y = random_luma(shape, dtype)
    rgb = join(y, random_chroma(*chroma))
    assert rgb.shape == (*shape, 3)
    assert rgb.dtype == dtype
    np.testing.assert_array_equal(luma_of(rgb), y)


@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("chroma", [(12, 9), (200, 90)])
def test_strips_of_rows_give_what_one_strip_gives(monkeypatch, rows, chroma):
    y, planes = random_luma((150, 33), np.uint16), random_chroma(*chroma)
    monkeypatch.setattr(luma_module, "STRIP_ROWS", 10_000)
    whole = join(y, planes)
    monkeypatch.setattr(luma_module, "STRIP_ROWS", rows)
    # sums of other lengths round differently: a level of 65535 at most
    assert abs(join(y, planes).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", ["BLOCK_PIXELS", "BLOCK_COLUMNS", "BLOCK_PRODUCTS"])
@pytest.mark.parametrize("size", [1, 50, 500])
def test_blocks_of_any_size_give_what_one_block_gives(monkeypatch, dtype, name, size):
    y, planes = random_luma((150, 73), dtype), random_chroma(12, 9)
    for block in ("BLOCK_PIXELS", "BLOCK_COLUMNS", "BLOCK_PRODUCTS"):
        monkeypatch.setattr(luma_module, block, 2**40)
    whole = join(y, planes)
    monkeypatch.setattr(luma_module, name, size)
    rgb = join(y, planes)
    np.testing.assert_array_equal(luma_of(rgb), y)
    assert abs(rgb.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_row_longer_than_a_block_is_joined_too(dtype):
    y = random_luma((3, luma_module.BLOCK_PIXELS + 7), dtype)
    rgb = join(y, random_chroma(8, 40))
    np.testing.assert_array_equal(luma_of(rgb), y)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("turn", [lambda a: a[..., ::-1, :], lambda a: a.swapaxes(-1, -2), lambda a: a[..., ::-1]])
def test_planes_in_any_order_of_memory_are_joined_alike(dtype, turn):
    y, planes = random_luma((120, 90), dtype), random_chroma(10, 12)
    rgb = join(turn(y), turn(planes))
    np.testing.assert_array_equal(rgb, join(turn(y).copy(), turn(planes).copy()))
    np.testing.assert_array_equal(luma_of(rgb), turn(y))


def test_neither_luma_nor_chroma_is_changed():
    y, planes = random_luma((70, 90), np.uint16), random_chroma(10, 12)
    before = y.copy(), planes.copy()
    join(y, planes)
    join_pixels(y[:10, :12], *planes)
    np.testing.assert_array_equal(y, before[0])
    np.testing.assert_array_equal(planes, before[1])


@given(
    level=st.integers(0, 65535),
    u=st.floats(-0.5, 0.5, width=32),
    v=st.floats(-0.5, 0.5, width=32),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_every_pixel_follows_the_rule(level, u, v, dtype):
    """The rule in fractions, a pixel at a time: chroma scaled as little as fits, and luma exact."""
    top = np.iinfo(dtype).max
    y = level % (top + 1)
    rgb = join_pixels(np.full((1, 1), y, dtype), np.full((1, 1), u, np.float32), np.full((1, 1), v, np.float32))
    assert_exact(rgb, np.full((1, 1), y))
    wanted = [top * 1.402 * v, top * (-0.344136 * u - 0.714136 * v), top * 1.772 * u]
    scale = min([1.0] + [(top - y) / d if d > 0 else -y / d for d in wanted if abs(d) > 1e-6])
    red, green, blue = rgb[0, 0].astype(float)
    assert red == pytest.approx(y + scale * wanted[0], abs=0.501 + top * 1e-6)
    assert blue == pytest.approx(y + scale * wanted[2], abs=0.501 + top * 1e-6)
    assert green == pytest.approx(y + scale * wanted[1], abs=1 + top * 1e-6)


def test_chroma_stays_where_it_was_drawn():
    """Blue above left, red below right: neither a flip nor a transposition nor U for V goes unseen."""
    u, v = np.zeros((2, 8, 4), np.float32)
    u[:4, :2], v[4:, 2:] = 0.2, 0.2
    rgb = join(np.full((160, 80), 128, np.uint8), np.stack([u, v])).astype(int)
    above_left, above_right, below_left, below_right = rgb[20, 10], rgb[20, 70], rgb[140, 10], rgb[140, 70]
    assert above_left[2] - above_left[0] > 80
    assert below_right[0] - below_right[2] > 60
    assert np.ptp(above_right) < 10
    assert np.ptp(below_left) < 10


sizes = st.integers(1, 60)


@given(source=sizes, target=sizes)
def test_rows_of_the_resampling_matrix_sum_to_one(source, target):
    weights = resampling(source, 0, target, target)
    assert weights.shape == (target, source)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)


@given(source=sizes, target=sizes, data=st.data())
def test_some_rows_of_the_resampling_matrix_are_those_of_the_whole(source, target, data):
    start = data.draw(st.integers(0, target - 1))
    stop = data.draw(st.integers(start + 1, target))
    np.testing.assert_array_equal(
        resampling(source, start, stop, target), resampling(source, 0, target, target)[start:stop]
    )


@given(size=sizes)
def test_resampling_to_the_same_size_changes_nothing(size):
    np.testing.assert_allclose(resampling(size, 0, size, size), np.eye(size), atol=1e-6)


@given(source=sizes, target=sizes)
def test_resampling_is_the_same_from_either_end(source, target):
    weights = resampling(source, 0, target, target)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-5)


@given(
    shape=st.tuples(sizes, sizes),
    small=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    u=st.floats(-0.125, 0.125, width=32),
    v=st.floats(-0.125, 0.125, width=32),
)
@examples(50)
def test_a_constant_plane_of_chroma_stays_constant(shape, small, u, v):
    rgb = join(np.full(shape, 128, np.uint8), np.stack([np.full(small, u), np.full(small, v)]))
    expected = join_pixels(np.full((1, 1), 128, np.uint8), np.full((1, 1), u), np.full((1, 1), v))
    assert abs(rgb.astype(int) - expected).max() <= 1


def test_a_ramp_stays_a_ramp_between_the_edges():
    ramp = resampling(20, 0, 100, 100) @ np.arange(20, dtype=np.float32)
    np.testing.assert_allclose(np.diff(ramp)[10:-10], 0.2, atol=1e-4)


def test_shrinking_averages_stripes_instead_of_picking_them():
    stripes = np.resize(np.float32([1, -1]), 120)
    shrunk = resampling(120, 0, 24, 24) @ stripes
    assert abs(shrunk[2:-2]).max() < 0.05
