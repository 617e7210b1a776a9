"""Where the time of a photograph goes: seconds by stage, each second in one stage only.

Stages may lie within each other, since pages are read and composed while the result is written: the inner one's time is
not the outer one's. With PROMETHEUS_MULTIPROC_DIR set, the counters of several processes add up in that folder.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeVar, get_args

from prometheus_client import Counter

Stage = Literal["fetch", "read", "predict", "compose", "write", "store"]
STAGES: tuple[Stage, ...] = get_args(Stage)

_SECONDS = Counter("photochrom_stage_seconds", "Seconds of wall clock spent in a stage of colouring", ["stage"])
_CPU_SECONDS = Counter("photochrom_stage_cpu_seconds", "Seconds of its thread's CPU time spent in a stage", ["stage"])

Item = TypeVar("Item")


class Spent(NamedTuple):
    """Seconds of wall clock, and of the CPU time of the threads that the stages ran in."""

    seconds: float
    cpu: float


class _Clock(threading.local):
    """The stages that a thread is in, and since when the innermost has not been credited."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.since = Spent(0, 0)

    def enter(self, stage: Stage) -> None:
        self._credit()
        self.stages.append(stage)

    def leave(self) -> None:
        self._credit()
        self.stages.pop()

    def _credit(self) -> None:
        now = Spent(time.perf_counter(), time.thread_time())
        if self.stages:
            stage = self.stages[-1]
            _SECONDS.labels(stage).inc(now.seconds - self.since.seconds)
            _CPU_SECONDS.labels(stage).inc(now.cpu - self.since.cpu)
        self.since = now


_clock = _Clock()


@contextmanager
def stage(name: Stage) -> Iterator[None]:
    """Count what is done within as time of this stage, also as a decorator of a function."""
    _clock.enter(name)
    try:
        yield
    finally:
        _clock.leave()


def staged(name: Stage, items: Iterable[Item]) -> Iterator[Item]:
    """The same items, with the time that it takes to make each of them counted as time of this stage."""
    iterator = iter(items)
    while True:
        with stage(name):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
        del item  # while the next is made


def spent() -> dict[Stage, Spent]:
    """What this process has spent so far, by stage."""
    seconds, cpu = _by_stage(_SECONDS), _by_stage(_CPU_SECONDS)
    return {name: Spent(seconds.get(name, 0.0), cpu.get(name, 0.0)) for name in STAGES}


def _by_stage(counter: Counter) -> dict[str, float]:
    samples = (sample for metric in counter.collect() for sample in metric.samples)
    return {sample.labels["stage"]: sample.value for sample in samples if sample.name.endswith("_total")}
