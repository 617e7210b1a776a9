"""Two processes against one, and a long run's first images against its last: on local files, one thread a process."""

from __future__ import annotations

import statistics
import time

from photochrom.deploy.bench.photographs import gray_jpeg
from tests.benchmarks.figures import Figure, Plan, Section, at_least, at_most, by_turns, medians
from tests.benchmarks.local_process import LocalProcess, Taken

MEGAPIXELS, SHORT_MEGAPIXELS = (1, 12), (0.3,)
IMAGES, SHORT_IMAGES = 16, 4
"""Of a turn, in each process."""

TURNS = 4
"""Of one and of two processes in a repetition: short ones, since a virtual machine's speed changes within seconds."""

LONG_MEGAPIXELS = 0.3
LONG, SHORT_LONG = 5000, 60
PART, SHORT_PART = 100, 20
"""Images of the long run, and how many at its beginning are compared with as many at its end."""


def measure(plan: Plan) -> Section:
    figures: list[Figure] = []
    for megapixels in plan.of(MEGAPIXELS, SHORT_MEGAPIXELS):
        figures += _two_against_one(megapixels, plan)
    return Section("More processes, and more images", (*figures, *_long_run(plan)))


def _two_against_one(megapixels: float, plan: Plan) -> list[Figure]:
    data, images = gray_jpeg(megapixels), plan.of(IMAGES, SHORT_IMAGES)
    with LocalProcess(data, ".jpg") as first, LocalProcess(data, ".jpg") as second:
        ways = {
            "one": lambda: images_per_second([first], images),
            "two": lambda: images_per_second([first, second], images),
        }
        return two_against_one(megapixels, medians(by_turns(ways, plan.of(TURNS * plan.repetitions, 1))))


def images_per_second(processes: list[LocalProcess], images: int) -> float:
    """Of all processes together, so many images each, all begun at once."""
    begun = time.perf_counter()
    for process in processes:
        process.begin(images)
    for process in processes:
        process.end()
    return len(processes) * images / (time.perf_counter() - begun)


def two_against_one(megapixels: float, rates: dict[str, float]) -> list[Figure]:
    key, what = f"{megapixels:g}mp", f"{megapixels:g} MP gray JPEG"
    return [
        Figure(f"{key}_one_process", f"{what}: one process", rates["one"], "images/s"),
        Figure(f"{key}_two_processes", f"{what}: two processes", rates["two"], "images/s"),
        Figure(f"{key}_two_against_one", f"{what}: two, of one's", rates["two"] / rates["one"], "times", at_least(1.8)),
    ]


def _long_run(plan: Plan) -> list[Figure]:
    part = plan.of(PART, SHORT_PART)
    with LocalProcess(gray_jpeg(LONG_MEGAPIXELS), ".jpg") as process:
        begin = process.colour(part)
        return long_run(begin, process.colour(plan.of(LONG, SHORT_LONG) - part), part)


def long_run(begin: Taken, rest: Taken, part: int) -> list[Figure]:
    """Of the first and the last `part` images the median time, and the memory behind them."""
    first, last = (1e3 * statistics.median(each) for each in (begin.each, rest.each[-part:]))
    held_first, held_last = begin.resident[-1] / 2**20, rest.resident[-1] / 2**20
    every = f"{begin.images + rest.images:,} images of {LONG_MEGAPIXELS:g} MP"
    return [
        Figure("first_ms", f"{every}: median of the first {part}", first, "ms"),
        Figure("last_ms", f"{every}: median of the last {part}", last, "ms"),
        Figure("last_against_first", f"{every}: last against first, time", last / first, "times", at_most(1.05)),
        Figure("first_mib", f"{every}: memory after the first {part}", held_first, "MiB"),
        Figure("last_mib", f"{every}: memory at the end", held_last, "MiB"),
        Figure("memory_growth", f"{every}: last against first, memory", held_last / held_first, "times", at_most(1.05)),
    ]
