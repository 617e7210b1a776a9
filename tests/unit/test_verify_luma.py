"""`verify` knows the luma of every kind of PNG and TIFF, as two other libraries see it."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.unit.photo.generate import png, tiff
from tests.unit.photo.generate.verified import coloured, coloured_png, coloured_tiff, wrong


@pytest.mark.parametrize("kind", sorted(png.KINDS))
def test_the_luma_of_every_kind_of_png_is_known(kind):
    original = png.KINDS[kind]()
    luma, alpha = _luma_by_imagecodecs(original)
    rgb = coloured(luma) if alpha is None else np.dstack([coloured(luma), alpha])
    assert wrong(coloured_png(original, rgb), original) == set()
    other = rgb.copy()
    other[3, 2, 0] ^= 4
    assert wrong(coloured_png(original, other), original) == {"luma"}


def _luma_by_imagecodecs(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """By another library than the one that `verify` uses."""
    planes = imagecodecs.png_decode(data)
    planes = planes[..., None] if planes.ndim == 2 else planes
    alpha = planes[..., -1] if planes.shape[2] in (2, 4) else None
    luma = planes[..., 0] if planes.shape[2] < 3 else planes[..., :3].astype(int) @ [299, 587, 114]
    return (luma if planes.shape[2] < 3 else ((luma + 500) // 1000).astype(planes.dtype)), alpha


@pytest.mark.parametrize("kind", sorted(tiff.KINDS))
def test_the_luma_of_every_kind_of_tiff_is_known(kind):
    original = tiff.KINDS[kind]()
    results, alphas = [], []
    for page in tifffile.TiffFile(io.BytesIO(original)).pages:
        luma, alpha = _luma_by_tifffile(page)
        results.append(coloured(luma) if alpha is None else np.dstack([coloured(luma), alpha]))
        alphas.append(alpha)
    options = {} if alphas[0] is None else {"extrasamples": ["unassalpha"]}
    assert wrong(coloured_tiff(original, *results, **options), original) == set()
    results[-1][3, 2, 1] ^= 4
    assert wrong(coloured_tiff(original, *results, **options), original) == {"luma"}


def _luma_by_tifffile(page) -> tuple[np.ndarray, np.ndarray | None]:
    samples, bits = page.asarray(), page.bitspersample
    if page.photometric.name == "PALETTE":
        colours = page.colormap.T
        samples = (colours >> 8 if not (colours % 257).any() else colours)[samples]
        samples = samples.astype(np.uint8 if samples.max() < 256 else np.uint16)
    elif page.planarconfig == 2:
        samples = np.moveaxis(samples, 0, -1)
    if bits == 1:
        samples = samples.astype(np.uint8) * 255
    elif bits == 12:
        samples = samples << 4 | samples >> 8
    if page.photometric.name == "MINISWHITE":
        samples = np.iinfo(samples.dtype).max - samples
    colours = 1 if samples.ndim == 2 or samples.shape[2] == 2 else 3
    if samples.ndim == 2:
        return samples, None
    alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
    if colours == 1:
        return samples[..., 0], alpha
    return ((samples[..., :3].astype(int) @ [299, 587, 114] + 500) // 1000).astype(samples.dtype), alpha


def test_pillows_rounding_of_a_coloured_original_is_as_good_as_ours():
    colours = np.random.default_rng(1).integers(0, 256, (700, 700, 3), np.uint8)
    by_pillow = np.asarray(Image.fromarray(colours).convert("L"))
    exact = ((colours.astype(int) @ [299, 587, 114] + 500) // 1000).astype(np.uint8)
    assert (by_pillow != exact).any()
    original = png.png(colours, 8, png.RGB)
    for luma in (by_pillow, exact):
        assert wrong(coloured_png(original, coloured(luma)), original) == set()


# ---- other formats and codings


def encoded(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "options"), [("WEBP", {"lossless": True}), ("JPEG2000", {}), ("JPEG", {"keep_rgb": True})]
)
def test_the_luma_of_other_formats_is_known(format, options):
    colours = np.repeat(np.random.default_rng(3).integers(0, 256, (5, 3, 3), np.uint8), 8, axis=0).repeat(8, axis=1)
    original = encoded(Image.fromarray(colours), format, **options)
    luma = np.asarray(Image.fromarray(np.asarray(Image.open(io.BytesIO(original)))).convert("L"))
    assert wrong(coloured_png(original, coloured(luma)), original) == set()
    assert wrong(coloured_png(original, coloured(luma + 1)), original) == {"luma"}


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_the_luma_and_alpha_of_jpeg_2000_are_known(mode):
    image = Image.fromarray(tiff.noise(24, 16)).convert(mode)
    if mode != "L":
        image.putalpha(Image.fromarray(tiff.noise(24, 16, seed=4)))
    rgb = coloured(tiff.noise(24, 16))
    rgb = rgb if mode == "L" else np.dstack([rgb, tiff.noise(24, 16, seed=4)])
    original = encoded(image, "JPEG2000")
    assert wrong(coloured_png(original, rgb), original) == set()
    rgb[0, 0] ^= 8
    assert wrong(coloured_png(original, rgb), original) == {"luma"} | ({"alpha"} if mode != "L" else set())


def test_cmyk_is_compared_as_it_is_seen():
    image = Image.fromarray(tiff.noise(24, 16)).resize((64, 96)).convert("CMYK")
    original = encoded(image, "JPEG", quality=95)
    luma = np.asarray(Image.open(io.BytesIO(original)).convert("RGB").convert("L"))
    assert wrong(coloured_png(original, coloured(luma)), original) == set()
    assert wrong(coloured_png(original, coloured(luma // 2)), original) == {"luma"}
