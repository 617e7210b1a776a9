"""The shape for a device, on a CPU: one process, whose threads work beside each other and share one death."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.stack import HOUSE, Stack
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import submit
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.queue.app import READY_FILE
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings
from tests.acceptance.conftest import gray_jpeg
from tests.chaos import pictures
from tests.chaos.worker import SECONDS
from tests.integration.slow_worker import HANG

pytestmark = pytest.mark.integration

SOURCE, DESTINATION = "s3://archive/scans", "s3://coloured/scans"

DEADLINE = 120.0
"""Seconds; nothing here lasts so long unless it is broken."""

THREADS = 6


def wait_until(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {DEADLINE} s"
        time.sleep(0.05)


@contextmanager
def servers(**environment: str) -> Iterator[Settings]:
    """Servers and a control process, in whose environment the workers of a test are started."""
    usual = {"PHOTOCHROM_CONTROL_INTERVAL": "0.2", "PHOTOCHROM_DEVICE": "cpu"}
    stack = Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, environment=usual | environment)
    with stack, stack.exported() as settings:
        yield settings


@contextmanager
def worker(module: str, folder: Path, name: str = "worker") -> Iterator[Process]:
    """A worker of one process, which may be started again; killed at the end."""
    folder = folder / name
    folder.mkdir()
    arguments = ["-m", module, "worker", "--pool", "threads", "--concurrency", str(THREADS), "--name", name]
    process = Process(name, [sys.executable, *arguments], folder, folder / "log")
    try:
        start(process)
        yield process
    finally:
        process.stop(signal.SIGKILL)


def start(process: Process) -> None:
    process.start(os.environ | {"PYTHONPATH": str(HOUSE), READY_FILE: str(process.folder / "ready")})


def starts(name: str, settings: Settings, images: int) -> list[int]:
    return list(Ledger(settings).starts(name, range(images)).values())


def test_threads_of_one_process_colour_with_one_model_and_end_in_order(tmp_path: Path) -> None:
    images = 20
    with servers(PHOTOCHROM_MODEL="vgg16-yuv", PHOTOCHROM_JOB_IMAGES="2") as settings:
        store = Store(settings)
        for number in range(images):
            store.put("archive", f"scans/{number:02d}.jpg", gray_jpeg(number))
        with worker("photochrom.deploy.cli", tmp_path) as process:
            wait_until((process.folder / "ready").exists, "a worker that is ready")
            name = submit(SOURCE, DESTINATION, settings=settings)
            ledger, most, before = Ledger(settings), 0, set[str]()

            def looked_until_the_end() -> bool:
                nonlocal most, before
                now = set(ledger.taken())
                most, before = max(most, len(now & before)), now  # one that ends may still be beside the next
                return ledger.counts(name).done == images

            wait_until(looked_until_the_end, "the end of the submission")
            assert 1 < most <= THREADS, "messages that nobody works on"
            process.stop(patience=DEADLINE)
            assert process.exit_code == 0
            assert not (process.folder / "ready").exists()
        assert progress(name, settings).done == images
        assert len(list(store.list(Location.parse(DESTINATION).folder()))) == images


def test_a_killer_takes_no_neighbour_with_it(tmp_path: Path) -> None:
    """It kills the process, with all that its threads have in hand, as often as it is started."""
    innocent = 2 * THREADS - 1
    quickly = {"PHOTOCHROM_VISIBILITY_TIMEOUT": "4", "PHOTOCHROM_JOB_IMAGES": "2", "PHOTOCHROM_MAX_STARTS": "2"}
    with servers(**quickly, **{SECONDS: "0.7"}) as settings:  # so that neighbours are in hand on a busy machine, too
        store = Store(settings)
        for picture in [
            *pictures.plan(innocent, 0, 0, random.Random(1)),
            pictures.Picture(innocent, pictures.Kind.POISON),
        ]:
            store.put("archive", f"scans/{picture.name}", picture.data())
        with worker("tests.integration.late_worker", tmp_path) as process:
            name, deaths, most = submit(SOURCE, DESTINATION, settings=settings), 0, 0
            until = time.monotonic() + DEADLINE
            while not progress(name, settings).ended:
                assert time.monotonic() < until, process.tail()
                if not process.running:
                    deaths += 1
                    most = max(most, sum(starts(name, settings, innocent)))
                    start(process)
                time.sleep(0.02)
        now = progress(name, settings)
        assert (now.done, now.reasons) == (innocent, {"poison": 1})
        assert most > 0, "no neighbour was in hand"
        assert deaths == 2


def test_threads_that_hang_are_given_up_in_time_and_another_worker_does_their_work(tmp_path: Path) -> None:
    images = 8
    with servers(PHOTOCHROM_DRAIN_SECONDS="10", PHOTOCHROM_JOB_IMAGES="2") as settings:
        store = Store(settings)
        for picture in pictures.plan(images, 0, 0, random.Random(1)):
            store.put("archive", f"scans/{picture.name}", picture.data())
        with worker("tests.integration.slow_worker", tmp_path, "stopped") as stopped:
            (stopped.folder / HANG).touch()
            name = submit(SOURCE, DESTINATION, settings=settings)
            wait_until(lambda: sum(starts(name, settings, images)) == THREADS, "images in hand")
            os.kill(stopped.pid or 0, signal.SIGTERM)
            wait_until(lambda: not stopped.running, "its end")
            assert stopped.exit_code == 0
        assert progress(name, settings).done == 0
        assert Ledger(settings).taken() == [], "not given back"
        with worker("tests.integration.slow_worker", tmp_path, "other"):
            wait_until(lambda: progress(name, settings).ended, "the end of the submission")
        now = progress(name, settings)
        assert (now.total, now.done, now.quarantined) == (images, images, 0)
