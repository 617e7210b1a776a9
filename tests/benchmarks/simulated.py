"""The batched shape beside a simulated device, as a section: `tests.benchmarks.batching` measures it."""

from __future__ import annotations

import importlib

from tests.benchmarks.figures import Figure, Plan, Section, at_least

SHARE = "share_of_bound"
"""Key of the share of what the device could do."""


def measure(plan: Plan) -> Section:
    batching = importlib.import_module("tests.benchmarks.batching")
    return Section(
        "Batches for a simulated device: 20 ms a batch and 2 ms an image", tuple(figures_of(batching.measure()))
    )


def figures_of(measured: dict[str, float]) -> list[Figure]:
    return [
        Figure(key, key.replace("_", " "), value, "", at_least(0.9) if key == SHARE else None)
        for key, value in measured.items()
    ]
