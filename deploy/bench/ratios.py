"""Passages held against their bounds, and those through the stack against those on local files: numbers, and rows.

Rows are made of the plain values that `photochrom bench --json` prints, so that documents show them in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from photochrom.deploy.bench.measurement import Bare, Passage

Place = Literal["local", "stack"]

CLOCKS: dict[Place, tuple[str, str]] = {"local": ("", "seconds"), "stack": (", CPU", "cpu_seconds")}
"""By what the bare parts are told: on local files they bound images/s, in a worker what an image costs."""

BARE: dict[Bare, str] = {"network": "bare network", "codec": "bare codec", "s3_client": "bare S3 client"}

RATIOS = {
    "images_per_second_of_bound": "images/s, of the bound",
    "cpu_of_bound": "CPU, of the bound",
    "cpu_of_local_files": "CPU, of local files'",
    "images_per_second_a_process_of_local_files": "images/s a process, of local's",
}
"""Ratios by their keys, in the words of the tables."""


def on_local_files(passage: Passage) -> dict[str, float]:
    """The story against network and codec, one after the other; nothing where these were not measured."""
    bound = passage.bound.seconds
    return {"images_per_second_of_bound": passage.images_per_second * bound} if bound else {}


def through_stack(passage: Passage, local: Passage) -> dict[str, float]:
    """A worker's process against its bare parts, and against the same kind on local files, one process there."""
    cpu, bound = passage.cpu / passage.images, passage.bound.cpu
    each = passage.images_per_second / passage.processes
    found = {
        "cpu_of_local_files": cpu / (local.cpu / local.images),
        "images_per_second_a_process_of_local_files": each / local.images_per_second,
    }
    return ({"cpu_of_bound": cpu / bound} if bound else {}) | found


def bound_rows(place: Place, told: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """What the bare parts take, in ms: a label, and a cell for each kind."""
    suffix, clock = CLOCKS[place]
    for name, label in BARE.items():
        if all(name in one["bounds"] for one in told):
            yield label + suffix, *(f"{1e3 * one['bounds'][name][clock]:.1f}" for one in told)


def ratio_rows(told: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """The ratios that all kinds have, likewise."""
    for name, label in RATIOS.items():
        if all(name in one["ratios"] for one in told):
            yield label, *(f"{one['ratios'][name]:.2f}" for one in told)
