"""Malformed files: the same for the same seed, and malformed indeed."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import damage
from tests.fuzz.cases import damaged, truncated
from tests.fuzz.seeds import KINDS, TO_TRUNCATE, seeds


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_files_however_many(kind):
    few, many = list(damaged(kind, 20, seed=3)), list(damaged(kind, 40, seed=3))
    assert few == many[:20]
    assert few != list(damaged(kind, 20, seed=4))


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_file_is_cut_off_at_every_byte(kind):
    whole = TO_TRUNCATE[kind]()
    assert [case.data for case in truncated(kind)] == [whole[:size] for size in range(len(whole) + 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_hardly_any_damaged_file_is_a_whole_one(kind):
    whole = set(seeds(kind))
    untouched = [case for case in damaged(kind, 300, seed=1) if case.data in whole]
    assert len(untouched) < 30
    assert len({case.data for case in damaged(kind, 300, seed=1)}) > 250


@pytest.mark.parametrize(
    "way", sorted({*damage.ANYWHERE, *sum(damage.BY_KIND.values(), ())}, key=lambda way: way.__name__)
)
def test_damage_of_every_sort_works_on_any_bytes(way):

    for seed in range(200):
        rng = random.Random(seed)
        assert isinstance(way(rng.randbytes(rng.randrange(1, 60)), rng), bytes)
