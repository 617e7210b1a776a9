"""A worker that is told to stop has ended in time, whatever it has in hand, and nothing of it is lost."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.stack import HOUSE, Stack
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import submit
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3.store import Store
from tests.chaos import pictures
from tests.integration.slow_worker import HANG, HANGING

pytestmark = pytest.mark.integration

DEADLINE = 180.0
"""Seconds; far below the visibility time-out, after which a lost message would come again."""

IMAGES = 8


def wait_until(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {DEADLINE} s"
        time.sleep(0.05)


def start_worker(name: str, folder: Path, hang: bool) -> Process:
    (folder / name).mkdir()
    if hang:
        (folder / name / HANG).touch()
    arguments = ["-m", "tests.integration.slow_worker", "worker", "--name", name, "--concurrency", "2"]
    process = Process(name, [sys.executable, *arguments], folder / name, folder / f"{name}.log")
    process.start(os.environ | {"PYTHONPATH": str(HOUSE)})
    return process


def test_a_worker_whose_images_hang_ends_in_time_and_another_one_does_them(tmp_path: Path) -> None:
    environment = {"PHOTOCHROM_CONTROL_INTERVAL": "0.2", "PHOTOCHROM_DRAIN_SECONDS": "10"}
    with (
        Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, environment=environment) as stack,
        stack.exported() as settings,
    ):
        store = Store(settings)
        for picture in pictures.plan(IMAGES, 0, 0, random.Random(1)):
            store.put("archive", f"scans/{picture.name}", picture.data())
        stopped = start_worker("stopped", tmp_path, hang=True)
        try:
            name = submit("s3://archive/scans", "s3://coloured/scans", settings=settings)
            wait_until((tmp_path / "stopped" / HANGING).exists, "an image in hand")
            os.kill(stopped.pid or 0, signal.SIGTERM)
            wait_until(lambda: not stopped.running, "its end")
        finally:
            stopped.stop(signal.SIGKILL)
        assert stopped.exit_code == 0
        assert progress(name, settings).done == 0
        assert Ledger(settings).taken() == [], "not given back"

        other = start_worker("other", tmp_path, hang=False)
        try:
            wait_until(lambda: progress(name, settings).ended, "the end of the submission")
        finally:
            other.stop()
        now = progress(name, settings)
        assert (now.total, now.done, now.quarantined) == (IMAGES, IMAGES, 0)
