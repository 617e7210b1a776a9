"""Fingerprints: the same picture is found again whatever was done to its file, and another one is not."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from photochrom.training.data.fingerprint import DISTANCE, Fingerprints, fingerprint

PRINTS = st.integers(0, 2**64 - 1).map("{:016x}".format)


def scene(seed, width=240, height=180):
    """Soft shapes at random, as different from each other as photographs are."""
    corners = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def again(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


CHANGES = {
    "encoded anew": lambda image: again(image, 50),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "cropped": lambda image: image.crop((3, 2, image.width - 4, image.height - 3)),
    "gray": lambda image: image.convert("L"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "flat": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "mirrored": ImageOps.mirror,
    "mirrored, small and encoded anew": lambda image: again(ImageOps.mirror(image).resize((120, 90)), 50),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(4))
def test_a_changed_photograph_is_near(change, seed):
    image = scene(seed)
    known = Fingerprints([fingerprint(scene(100)), fingerprint(image)])
    assert known.near(fingerprint(CHANGES[change](image)))


def test_other_photographs_are_not_near():
    known = Fingerprints(fingerprint(scene(seed)) for seed in range(20))
    assert not any(known.near(fingerprint(scene(seed))) for seed in range(20, 60))


def test_upside_down_is_another_photograph():
    assert not Fingerprints([fingerprint(scene(1))]).near(fingerprint(ImageOps.flip(scene(1))))


def test_nothing_is_near_to_none():
    assert not Fingerprints([]).near("0" * 16)
    assert Fingerprints([]).distance("0" * 16) == 64


def test_a_fingerprint_is_16_hex_digits_for_every_mode():
    for mode in ("RGB", "L", "P", "CMYK", "RGBA"):
        found = fingerprint(scene(2).convert(mode))
        assert len(found) == 16
        assert int(found, 16) >= 0


@given(prints=st.lists(PRINTS, min_size=1, max_size=6), bits=st.sets(st.integers(0, 63), max_size=20))
def test_near_means_that_at_most_so_many_bits_differ(prints, bits):
    changed = int(prints[0], 16) ^ sum(1 << bit for bit in bits)
    distance = Fingerprints(prints).distance(f"{changed:016x}")
    assert distance <= len(bits)
    assert Fingerprints(prints).near(f"{changed:016x}") == (distance <= DISTANCE)
    if len(prints) == 1 and len(bits) < 16:
        assert distance == len(bits)
