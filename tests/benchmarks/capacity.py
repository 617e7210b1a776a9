"""What a fleet takes, worked out from measured costs: `python -m tests.benchmarks.capacity bench.json`.

Nothing is measured here. The costs of an image are those that the section "queue" measured; whatever else goes in is
an option, and is printed with the results as Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

DAY = 86_400
GIGABIT = 1e9 / 8  # bytes
SIZES = (1, 12)  # megapixels
PHOTOGRAPHS = (1_000_000, 100_000_000)

PLAIN = ",.12g"
"""Format of an assumption: as it was given."""

GETS, PUTS, HEADS = 1, 1, 1
"""Requests to S3 for an image: its source, its result, and a look at what is there."""


@dataclass(frozen=True)
class Assumed:
    """What was not measured. Each field is an option of the command; MEANING says what it is."""

    gpu_images_per_second: float = 300.0
    cores: int = 32
    gigabits: float = 25.0
    days: float = 7.0
    s3_reads_per_second: float = 5500.0
    s3_writes_per_second: float = 3500.0
    s3_prefixes: int = 1
    redis_commands_per_second: float = 100_000.0
    keys_per_second: float = 10_000.0
    window: int = 50_000
    job_images: int = 32
    job_bytes: int = 64 * 2**20
    message_bytes: int = 150


MEANING = {
    "gpu_images_per_second": "images/s that a GPU's network computes in batches",
    "cores": "cores of a machine, with a GPU or without",
    "gigabits": "gigabits/s between a machine and S3, each way",
    "days": "days within which a fleet is to have coloured everything",
    "s3_reads_per_second": "GET and HEAD requests/s that S3 answers for a prefix (AWS documents 5,500)",
    "s3_writes_per_second": "PUT requests/s that S3 answers for a prefix (AWS documents 3,500)",
    "s3_prefixes": "prefixes that sources are spread over, and results likewise",
    "redis_commands_per_second": "commands/s that one Redis answers",
    "keys_per_second": "keys/s that control lists, writes to the manifest and enqueues (make bench-producer)",
    "window": "images of a submission in flight (WINDOW)",
    "job_images": "most images in a job (JOB_IMAGES)",
    "job_bytes": "most bytes of sources in a job (JOB_BYTES)",
    "message_bytes": "bytes of a queued message for each of its images",
}


class Cost(NamedTuple):
    """What an image of so many megapixels costs: CPU seconds of a worker in all, of it all but the network, and CPU
    seconds of control; bytes in and out; commands to Redis, and bytes to and from it."""

    megapixels: float
    worker: float
    codec: float
    control: float
    source: float
    result: float
    commands: float
    redis_bytes: float


class Limit(NamedTuple):
    """Something that is there once for the whole fleet, and the images/s at which it is used up."""

    what: str
    images_per_second: float


def costs(measured: dict[str, Any], sizes: Iterable[float] = SIZES) -> list[Cost]:
    """From the JSON of `python -m tests.benchmarks`. Raises KeyError for a size that was not measured."""
    values = {key: figure["value"] for key, figure in measured["sections"]["queue"]["figures"].items()}
    return [_cost(values, size) for size in sizes]


def _cost(values: dict[str, float], size: float) -> Cost:
    def of(name: str) -> float:
        return values[f"{size:g}mp_{name}"]

    worker = of("worker_cpu_ms") / 1e3
    return Cost(
        size,
        worker,
        max(0.0, worker - of("network_cpu_ms") / 1e3),
        of("control_cpu_ms") / 1e3,
        of("source_bytes"),
        of("result_bytes"),
        of("redis_commands"),
        of("redis_bytes"),
    )


def machine_rate(cost: Cost, assumed: Assumed, gpus: int) -> Limit:
    """Images/s of one machine with so many GPUs (0: its cores compute the network too), and what bounds them."""
    limits = [Limit("network link", assumed.gigabits * GIGABIT / max(cost.source, cost.result))]
    if gpus:
        limits.append(Limit("GPU", gpus * assumed.gpu_images_per_second))
    limits.append(Limit("cores", assumed.cores / (cost.codec if gpus else cost.worker)))
    return min(limits, key=lambda limit: limit.images_per_second)


def shared_limits(cost: Cost, assumed: Assumed) -> list[Limit]:
    """What the whole fleet shares, first to be used up first."""
    prefixes = assumed.s3_prefixes
    limits = [
        Limit("S3, HEAD of results", prefixes * assumed.s3_reads_per_second / HEADS),
        Limit("S3, PUT of results", prefixes * assumed.s3_writes_per_second / PUTS),
        Limit("S3, GET of sources", prefixes * assumed.s3_reads_per_second / GETS),
        Limit("Redis, commands", assumed.redis_commands_per_second / cost.commands),
        Limit("control, listing and enqueueing", assumed.keys_per_second),
    ]
    return sorted(limits, key=lambda limit: limit.images_per_second)


def report(found: Sequence[Cost], assumed: Assumed) -> str:
    """The whole sheet as Markdown."""
    return (
        "\n\n".join(
            [
                _table("Assumed", ("value", "what"), _assumptions(assumed)),
                _table("For each GPU kept busy", ("", "cores", "Gbit/s in", "Gbit/s out"), _per_gpu(found, assumed)),
                _table("Machines and days", MACHINES, _machines(found, assumed)),
                _table("What the fleet asks of the rest", ASKED, _asked(found, assumed)),
                _table(
                    "Where the first limit lies",
                    ("", "limit", "images/s", "machines, cores only", "machines with one GPU"),
                    _limits(found, assumed),
                ),
            ]
        )
        + "\n"
    )


MACHINES = ("photographs", "size", "machine", "images/s", "bound by", "days on one", "machines for it in time")
ASKED = (
    "photographs",
    "size",
    "images/s",
    "Redis, commands/s",
    "Redis, MB/s",
    "Redis, MB held",
    "S3, requests/s",
    "S3, Gbit/s",
    "jobs/s",
    "control, cores",
)


def _assumptions(assumed: Assumed) -> list[tuple[str, ...]]:
    return [
        (f"{getattr(assumed, field.name):{PLAIN}}", f"{MEANING[field.name]} (`--{field.name.replace('_', '-')}`)")
        for field in fields(assumed)
    ]


def _per_gpu(found: Sequence[Cost], assumed: Assumed) -> list[tuple[str, ...]]:
    rate = assumed.gpu_images_per_second
    return [
        (
            f"{cost.megapixels:g} MP at {rate:g} images/s",
            f"{rate * cost.codec:.1f}",
            f"{rate * cost.source / GIGABIT:.2f}",
            f"{rate * cost.result / GIGABIT:.2f}",
        )
        for cost in found
    ]


def _machines(found: Sequence[Cost], assumed: Assumed) -> list[tuple[str, ...]]:
    rows = []
    for photographs in PHOTOGRAPHS:
        for cost in found:
            for gpus, kind in ((0, f"{assumed.cores} cores"), (1, f"{assumed.cores} cores, 1 GPU")):
                bound, rate = machine_rate(cost, assumed, gpus)
                days = photographs / rate / DAY
                needed = math.ceil(days / assumed.days)
                size = f"{cost.megapixels:g} MP"
                rows.append((f"{photographs:,}", size, kind, f"{rate:,.0f}", bound, f"{days:.2f}", f"{needed:,}"))
    return rows


def _asked(found: Sequence[Cost], assumed: Assumed) -> list[tuple[str, ...]]:
    """At the rate that ends in the days that are assumed."""
    rows = []
    for photographs in PHOTOGRAPHS:
        for cost in found:
            rate = photographs / (assumed.days * DAY)
            job = max(1, min(assumed.job_images, int(assumed.job_bytes / cost.source)))
            rows.append(
                (
                    f"{photographs:,}",
                    f"{cost.megapixels:g} MP",
                    f"{rate:,.1f}",
                    f"{rate * cost.commands:,.0f}",
                    f"{rate * cost.redis_bytes / 1e6:.2f}",
                    f"{redis_megabytes(photographs, assumed):,.1f}",
                    f"{rate * (GETS + PUTS + HEADS):,.0f}",
                    f"{rate * (cost.source + cost.result) / GIGABIT:.2f}",
                    f"{rate / job:,.1f}",
                    f"{rate * cost.control:.2f}",
                )
            )
    return rows


def redis_megabytes(photographs: int, assumed: Assumed) -> float:
    """Two bits an image of the submission, done and quarantined, and the messages of the images in flight."""
    return (photographs / 4 + min(photographs, assumed.window) * assumed.message_bytes) / 1e6


def _limits(found: Sequence[Cost], assumed: Assumed) -> list[tuple[str, ...]]:
    return [
        (
            f"{cost.megapixels:g} MP",
            limit.what,
            f"{limit.images_per_second:,.0f}",
            *(
                f"{limit.images_per_second / machine_rate(cost, assumed, gpus).images_per_second:,.0f}"
                for gpus in (0, 1)
            ),
        )
        for cost in found
        for limit in shared_limits(cost, assumed)
    ]


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return f"### {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.capacity", description=__doc__)
    parser.add_argument("measured", type=Path, help="the JSON that python -m tests.benchmarks has written")
    for field in fields(Assumed):
        kind = type(field.default)
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(
            name, type=kind, default=field.default, help=f"{MEANING[field.name]} ({field.default:{PLAIN}})"
        )
    given = vars(parser.parse_args())
    measured = json.loads(given.pop("measured").read_text())
    try:
        found = costs(measured)
    except KeyError as error:
        parser.error(f"{error} was not measured: the section queue is wanted, and not of a short run")
    print(f"Costs measured on: {measured['machine']}; {measured['engine']}\n")
    print(report(found, Assumed(**given)), end="")


if __name__ == "__main__":
    main()
