"""How long things take to start: a worker to its first image, `photochrom --help`, `photochrom submit`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from photochrom.deploy.bench.machine import cpu_seconds
from photochrom.deploy.bench.photographs import gray_jpeg
from photochrom.deploy.stack.process import POLL
from photochrom.deploy.stack.stack import HOUSE, Stack
from photochrom.producer.records.submission import submit
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings
from tests.benchmarks.figures import Figure, Plan, Section, at_most, by_turns, medians

READ, WRITE = "s3://photochrom-start-in/", "s3://photochrom-start-out/"
MEGAPIXELS = 1
SUBMITTED = 10
"""Images of the submission whose command is timed."""

DEADLINE = 180.0  # seconds for what takes seconds


def measure(plan: Plan) -> Section:
    with Stack(read=[READ], write=[WRITE], workers=0) as stack, stack.exported() as settings:
        store = Store(settings)
        for number in range(SUBMITTED):
            store.put("photochrom-start-in", f"{number}.jpg", gray_jpeg(MEGAPIXELS))
        with tempfile.TemporaryDirectory(prefix="photochrom-") as folder:  # a worker finds its model where it left it
            stack.environment |= {"PHOTOCHROM_MODEL_CACHE": folder}
            ways: dict[str, Callable[[], tuple[float, float]]] = {
                "worker": lambda: first_image(stack, settings),
                "help": lambda: command(["--help"], os.environ),
                "submit": lambda: command(["submit", READ, "--to", f"{WRITE}{time.time_ns()}/"], os.environ),
            }
            by_turns(ways, 1 - plan.short)
            found = by_turns(ways, plan.of(plan.repetitions, 1))
    wall = medians({name: [seconds for seconds, _ in values] for name, values in found.items()})
    cpu = medians({name: [seconds for _, seconds in values] for name, values in found.items()})
    return Section("Starting", tuple(figures_of(wall, cpu)), "Of each the median; CPU is user and system time.")


def figures_of(wall: dict[str, float], cpu: dict[str, float]) -> list[Figure]:
    return [
        Figure("worker_first_image_s", "a worker, from its start to its first image", wall["worker"], "s", at_most(5)),
        Figure("worker_first_image_cpu_s", "a worker, from its start to its first image, CPU", cpu["worker"], "s"),
        Figure("help_s", "photochrom --help", wall["help"], "s", at_most(0.3)),
        Figure("help_cpu_s", "photochrom --help, CPU", cpu["help"], "s"),
        Figure("submit_s", f"photochrom submit of {SUBMITTED} images", wall["submit"], "s"),
        Figure("submit_cpu_s", f"photochrom submit of {SUBMITTED} images, CPU", cpu["submit"], "s", at_most(1.5)),
    ]


def first_image(stack: Stack, settings: Settings) -> tuple[float, float]:
    """Wall-clock and CPU seconds from a worker's start to its first image's outcome; it waits in the queue before."""
    ledger = Ledger(settings)
    submission = submit(READ, f"{WRITE}{time.time_ns()}/", settings=settings)
    _until(lambda: ledger.cursor(submission).get("listed") == "1")
    begun = time.perf_counter()
    process = stack.start_worker("worker1")
    _until(lambda: ledger.counts(submission).done > 0)
    seconds, cpu = time.perf_counter() - begun, cpu_seconds(process.pid)
    _until(lambda: ledger.counts(submission).done == SUBMITTED)
    stack.stop(process)
    return seconds, cpu


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing has happened for {DEADLINE:.0f} s")
        time.sleep(POLL)


def command(arguments: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of `photochrom ARGUMENTS`, from exec to exit."""
    script = Path(sys.executable).with_name("photochrom")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "photochrom.deploy.cli"]
    begun = time.perf_counter()
    child = subprocess.Popen([*program, *arguments], cwd=HOUSE, env=dict(environment), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)  # or it would be waited for again
    if child.returncode:
        raise RuntimeError(f"photochrom {' '.join(arguments)} ended with {child.returncode}")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime
