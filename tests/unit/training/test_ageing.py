"""Ageing: luma stays luma, near what it was, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.training.data import ageing, photographs
from photochrom.training.data.ageing import FAULTS, aged


def gray(seed, height=48, width=48):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@given(seed=st.integers(0, 500), height=st.integers(8, 60), width=st.integers(8, 60))
def test_aged_luma_is_float32_in_0_to_1_of_the_same_size(seed, height, width):
    luma = aged(gray(seed, height, width), np.random.default_rng(seed))
    assert luma.dtype == np.float32
    assert luma.shape == (height, width)
    assert luma.min() >= 0
    assert luma.max() <= 1


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("fault", [fault for _, fault in FAULTS])
def test_every_fault_at_the_ends_of_the_scale(monkeypatch, value, fault):
    monkeypatch.setattr(ageing, "FAULTS", ((1.0, fault),))
    luma = aged(Image.new("L", (32, 32), value), np.random.default_rng(1))
    assert 0 <= luma.min() <= luma.max() <= 1


@pytest.mark.parametrize("fault", [fault for _, fault in FAULTS])
def test_a_fault_changes_the_picture_but_one_still_sees_it(fault):
    luma = np.asarray(gray(3), dtype=np.float32) / 255
    for seed in range(20):
        changed = fault(luma, np.random.default_rng(seed))
        assert changed.shape == luma.shape
        assert abs(changed - luma).max() > 0.01
        assert np.corrcoef(changed.ravel(), luma.ravel())[0, 1] > 0.75


def test_grain_of_film_is_coarser_than_noise():
    flat = np.full((128, 128), 0.5, np.float32)
    grain = ageing.film_grain(flat, np.random.default_rng(2)) - flat
    assert np.corrcoef(grain[:, 1:].ravel(), grain[:, :-1].ravel())[0, 1] > 0.3


def test_scratches_and_dust_cover_little_of_a_picture():
    flat = np.full((128, 128), 0.5, np.float32)
    touched = [np.mean(ageing.worn(flat, np.random.default_rng(seed)) != flat) for seed in range(30)]
    assert min(touched) > 0
    assert max(touched) < 0.06


def test_the_same_seed_ages_in_the_same_way():
    for seed in range(40):
        np.testing.assert_array_equal(*(aged(gray(seed), np.random.default_rng(seed)) for _ in range(2)))


def test_most_photographs_have_none_of_the_faults_and_each_fault_befalls_some(monkeypatch):
    befell = []
    marked = tuple((share, lambda luma, random, n=n: befell.append(n) or luma) for n, (share, _) in enumerate(FAULTS))
    monkeypatch.setattr(ageing, "FAULTS", marked)
    for seed in range(300):
        aged(gray(0, 8, 8), np.random.default_rng(seed))
    assert set(befell) == set(range(len(FAULTS)))
    assert len(befell) < 150


def test_the_truth_does_not_age(plain_photographs, monkeypatch):
    monkeypatch.setattr(ageing, "FAULTS", tuple((1.0, fault) for _, fault in FAULTS))
    for batch in photographs.training_batches(plain_photographs, (32,), 4, 3, seed=1, epoch=0):
        for rgb, luma in zip(batch.rgb, batch.luma, strict=True):
            assert np.ptp(rgb, axis=(1, 2)).max() == 0  # each is of one colour
            assert np.ptp(luma) > 0.01
