"""The batched shape beside a simulated device, as a section: `tests.benchmarks.batching` measures it."""

from __future__ import annotations

import importlib

from tests.benchmarks.figures import Figure, Plan, Section, at_least

SHARE = "share_of_bound"

LABELS = {
    "batch_images": ("images of a batch, at most", ""),
    "one_at_a_time_per_second": ("simulated GPU, one at a time", "images/s"),
    "batched_per_second": ("simulated GPU, in batches", "images/s"),
    "bound_per_second": ("simulated GPU, its bound", "images/s"),
    SHARE: ("simulated GPU in batches, of its bound", ""),
}
"""What each key of `tests.benchmarks.batching.measure` is called, and its unit."""


def measure(plan: Plan) -> Section:
    batching = importlib.import_module("tests.benchmarks.batching")
    measured = batching.measure(repetitions=plan.of(batching.REPETITIONS, 1))
    return Section("Batches for a simulated device: 20 ms a batch and 2 ms an image", tuple(figures_of(measured)))


def figures_of(measured: dict[str, float]) -> list[Figure]:
    return [
        Figure(key, what, measured[key], unit, at_least(0.9) if key == SHARE else None)
        for key, (what, unit) in LABELS.items()
    ]
