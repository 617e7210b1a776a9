"""What queue and S3 add to a worker's CPU time, against the same story on local files; and what they cost themselves.

One worker process, warm, and a warm process on local files colour the same photograph, by turns of some seconds. CPU
time is that of whole processes, from /proc, Celery's parent process and all; the servers' is beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from photochrom.deploy.bench.bounds import BareParts, spent_by
from photochrom.deploy.bench.machine import cpu_seconds
from photochrom.deploy.bench.measurement import Passage
from photochrom.deploy.bench.photographs import Kind, Sample, gray_jpeg
from photochrom.deploy.bench.through_stack import READ, WRITE, Measured, measured_stack
from photochrom.worker.inference.engine import load_engine, prepare_process
from photochrom.worker.s3.store import Location
from tests.benchmarks.figures import Figure, Plan, Section, at_most, by_turns, median_by
from tests.benchmarks.local_process import LocalProcess, Taken
from tests.benchmarks.story import MODEL, OPTIONS
from tests.benchmarks.turns import TURN, Turns

SIZES: dict[float, int] = {1: 640, 12: 192}
SHORT_SIZES: dict[float, int] = {1: 8}
"""Megapixels, and images of a repetition: jobs of 20 and 6. A large submission has jobs of up to 32: cheaper ones."""

MOST_REPETITIONS = 3
CALLS, SHORT_CALLS = 50, 5
"""Of the bare network and of the bare S3 client, in a repetition."""

LOOK_COMMANDS = 5
"""Of Redis, for a look at the ledger: a transaction of three."""


def measure(plan: Plan) -> Section:
    prepare_process(threads=1)
    figures: list[Figure] = []
    with measured_stack(workers=1) as measured:
        for megapixels, images in plan.of(SIZES, SHORT_SIZES).items():
            kind = Kind(f"{megapixels:g} MP gray JPEG", (Sample(".jpg", gray_jpeg(megapixels)),))
            figures += _of_kind(measured, kind, images, f"{megapixels:g}mp", plan)
    note = "CPU time is the user and system time of whole processes."
    return Section("Through queue and S3, one worker process", tuple(figures), note)


def _of_kind(measured: Measured, kind: Kind, images: int, key: str, plan: Plan) -> list[Figure]:
    data = kind.samples[0].data
    network = BareParts(data, load_engine(MODEL), OPTIONS).network
    warm = measured.passage(kind, plan.of(32, 2))
    [s3_client] = measured.bare_s3_clients(1)
    calls = plan.of(CALLS, SHORT_CALLS)
    with LocalProcess(data, ".jpg") as local:
        turn = min(images, max(1, round(TURN * warm.images_per_second)))  # two images may seem to come at once
        ways: dict[str, Callable[[], Any]] = {
            "queue": lambda: _passage(measured, Turns(measured.stack, local, turn), kind, images),
            "network": lambda: spent_by([network] * calls).cpu,
            "s3": lambda: spent_by([s3_client] * calls).cpu,
        }
        by_turns({"network": ways["network"], "s3": ways["s3"]}, 1)
        found = by_turns(ways, plan.of(min(plan.repetitions, MOST_REPETITIONS), 1))
    passage, local_taken, beside = median_by(found["queue"], lambda one: _cpu_ratio(*one[:2]))
    alone = {f"{name}_cpu_ms": 1e3 * median_by(found[name], float) for name in ("network", "s3")}
    beside |= {
        "network_cpu_ms": alone["network_cpu_ms"],
        "s3_client_cpu_ms": alone["s3_cpu_ms"],
        "source_bytes": len(data),
    }
    return [
        *against_local(key, kind.name, passage, local_taken),
        *(Figure(f"{key}_{name}", f"{kind.name}: {what}", beside[name], unit) for name, what, unit in BESIDE),
    ]


BESIDE = (
    ("redis_cpu_ms", "Redis, CPU", "ms"),
    ("s3_cpu_ms", "S3 server, CPU", "ms"),
    ("control_cpu_ms", "control, CPU", "ms"),
    ("network_cpu_ms", "the bare network, CPU of all its threads", "ms"),
    ("s3_client_cpu_ms", "the bare S3 client, CPU", "ms"),
    ("redis_commands", "commands to Redis", ""),
    ("redis_bytes", "bytes to and from Redis", "bytes"),
    ("source_bytes", "source", "bytes"),
    ("result_bytes", "result", "bytes"),
)
"""What is known of an image beside the worker's own cost: keys, words and units."""


def _cpu_ratio(passage: Passage, local: Taken) -> float:
    return (passage.cpu / passage.images) / (local.cpu / local.images)


def against_local(key: str, what: str, passage: Passage, local: Taken) -> list[Figure]:
    """Milliseconds of an image here and there, their ratios, and the worker's stages."""
    queue_cpu, local_cpu = 1e3 * passage.cpu / passage.images, 1e3 * local.cpu / local.images
    queue_wall, local_wall = 1e3 * passage.seconds / passage.images, 1e3 * local.seconds / local.images
    stages = [
        Figure(f"{key}_{stage}_cpu_ms", f"{what}: worker, {stage}, CPU", 1e3 * spent.cpu / passage.images, "ms")
        for stage, spent in passage.stages.items()
    ]
    beside = Figure(
        f"{key}_beside_cpu_ms", f"{what}: worker, beside, CPU", 1e3 * passage.cpu_beside / passage.images, "ms"
    )
    return [
        Figure(f"{key}_local_cpu_ms", f"{what}: local files, CPU", local_cpu, "ms"),
        Figure(f"{key}_worker_cpu_ms", f"{what}: worker, CPU", queue_cpu, "ms"),
        Figure(
            f"{key}_cpu_ratio", f"{what}: worker's CPU, of local's", _cpu_ratio(passage, local), "times", at_most(1.15)
        ),
        Figure(f"{key}_wall_ratio", f"{what}: worker's wall clock, of local's", queue_wall / local_wall, "times"),
        Figure(f"{key}_images_per_second", f"{what}: through queue and S3", 1e3 / queue_wall, "images/s"),
        *stages,
        beside,
    ]


def _passage(measured: Measured, turns: Turns, kind: Kind, images: int) -> tuple[Passage, Taken, dict[str, float]]:
    """A passage, what the local process took meanwhile, and what each server did for an image of the passage; the
    upload of the sources is not counted.
    """
    source, destination = f"{READ}{kind.name}/", f"{WRITE}{time.time_ns()}/"
    measured.upload(kind, images, source)
    before = _servers(measured)
    passage = measured.submitted(kind.name, source, destination, images, turns.wait)
    of_each = {name: (value - before[name]) / images for name, value in _servers(measured).items()}
    result = measured.store.head(*Location.parse(f"{destination}00000.jpg"))
    return passage, turns.local(), {**of_each, "result_bytes": float(result.size)}


def _servers(measured: Measured) -> dict[str, float]:
    """What they have done so far; our own looks at the ledger are not among the commands."""
    stack, told = measured.stack, measured.ledger._redis.info()
    processes = {"redis_cpu_ms": stack.redis.process, "s3_cpu_ms": stack.s3.process, "control_cpu_ms": stack.control}
    return {
        **{name: 1e3 * cpu_seconds(process.pid) for name, process in processes.items()},
        "redis_commands": float(told["total_commands_processed"] - LOOK_COMMANDS * measured.looks),
        "redis_bytes": float(told["total_net_input_bytes"] + told["total_net_output_bytes"]),
    }
