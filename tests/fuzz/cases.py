"""Which files are tried: the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from tests.fuzz.damage import ANYWHERE, BY_KIND
from tests.fuzz.seeds import TO_TRUNCATE, seeds


class Case(NamedTuple):
    """A malformed file, of a kind, and how it was made, in words."""

    kind: str
    made: str
    data: bytes


def truncated(kind: str) -> Iterator[Case]:
    """A small file of that kind, cut off at every byte."""
    data = TO_TRUNCATE[kind]()
    return (Case(kind, f"cut off at {size} of {len(data)}", data[:size]) for size in range(len(data) + 1))


def damaged(kind: str, count: int, seed: int) -> Iterator[Case]:
    """So many files of that kind, damaged at random. Case n is the same whatever `count` is."""
    return (_damaged(kind, number, seed) for number in range(count))


def _damaged(kind: str, number: int, seed: int) -> Case:
    rng = random.Random(f"{seed} {kind} {number}")
    whole = seeds(kind)
    data = rng.choice(whole)
    if rng.random() < 0.1:
        other = rng.choice(whole)
        data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]
        return Case(kind, f"{number}: spliced", data)
    ways = [rng.choice((*ANYWHERE, *BY_KIND.get(kind, ()) * 2)) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    for way in ways:
        data = way(data, rng) if data else data
    return Case(kind, f"{number}: {', '.join(way.__name__ for way in ways)}", data)
