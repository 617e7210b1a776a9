"""Redis away: whatever the role, work goes on by itself when it is back. (The chaos driver has more ways to be away.)

The worker's stand-in for the model takes its time, so that every slot is taken when Redis goes; what a worker waits
for Redis before it gives a job back is shortened, so that this happens while Redis is away.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import redis

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.servers import Valkey
from photochrom.deploy.stack.stack import HOUSE, Stack
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import submit
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.queue.app import READY_FILE
from photochrom.worker.queue.redis_watch import STUCK_CODE
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings
from tests.chaos import pictures
from tests.chaos.outages import redis_full, redis_stopped
from tests.integration import hurried_worker

pytestmark = pytest.mark.integration

DEADLINE = 120.0
"""Seconds; only what is broken takes so long."""

IMAGES = 40

GIVEN_BACK = "reject requeue=True"
"""In Celery's line about it."""


class House:
    """Servers, control and one worker, which is in the middle of a submission."""

    def __init__(self, stack: Stack, settings: Settings, worker: Process) -> None:
        self.stack, self.settings, self.worker = stack, settings, worker
        assert stack.redis and stack.control
        self.redis, self.control = stack.redis, stack.control
        self.name = ""

    @property
    def ready(self) -> Path:
        return self.worker.folder / "ready"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis.url, socket_timeout=30)

    def begin(self) -> None:
        """Until there is work in every slot, and some is done."""
        store = Store(self.settings)
        for picture in pictures.plan(IMAGES, 0, 0, random.Random(1)):
            store.put("archive", f"scans/{picture.name}", picture.data())
        self.name = submit("s3://archive/scans", "s3://coloured/scans", settings=self.settings)
        self.wait_until(lambda: progress(self.name, self.settings).done > 2, "the first images")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + DEADLINE
        while not condition():
            for process in (self.worker, self.control):
                process.check()
            assert time.monotonic() < until, f"{what}: not within {DEADLINE} s\n{self.worker.tail()}"
            time.sleep(0.05)

    def is_told(self, action: str, process: Process | None = None) -> int:
        return (process or self.worker).log.read_text().count(f'"action": "{action}"')

    def work_goes_on(self) -> None:
        """All is done, once, by the processes that were there before, and nothing is left over."""
        self.wait_until(lambda: progress(self.name, self.settings).ended, "the end of the submission")
        now = progress(self.name, self.settings)
        assert (now.total, now.done, now.quarantined) == (IMAGES, IMAGES, 0)
        self.wait_until(self.ready.exists, "a worker that is ready")
        self.wait_until(lambda: Ledger(self.settings).taken() == [], "slots that are free")


@contextmanager
def house(folder: Path, *options: str, **environment: str) -> Iterator[House]:
    usual = {
        "PHOTOCHROM_CONTROL_INTERVAL": "0.2",
        "PHOTOCHROM_JOB_IMAGES": "2",
        "PHOTOCHROM_DEVICE": "cpu",
        "PHOTOCHROM_LOG_FORMAT": "json",
    }
    stack = Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, environment=usual | environment)
    with stack, stack.exported() as settings:
        command = [sys.executable, "-m", hurried_worker.__name__, "worker", "--concurrency", "2", *options]
        worker = Process("worker", command, folder, folder / "log")
        start(worker)
        try:
            made = House(stack, settings, worker)
            made.wait_until(made.ready.exists, "a worker that is ready")
            yield made
        finally:
            worker.stop(signal.SIGKILL)


def start(worker: Process) -> None:
    """In this process's environment, which is the stack's."""
    worker.start(os.environ | {"PYTHONPATH": str(HOUSE), READY_FILE: str(worker.folder / "ready")})


@pytest.mark.parametrize(
    ("away", "pool"),
    [
        (redis_stopped, "prefork"),
        (redis_stopped, "threads"),
        (redis_full, "threads"),
    ],
)
def test_work_goes_on_when_redis_is_back(
    tmp_path: Path, away: Callable[[Valkey], AbstractContextManager[None]], pool: str
) -> None:
    with house(tmp_path, "--pool", pool) as here:
        here.begin()
        with away(here.redis):
            here.wait_until(lambda: not here.ready.exists(), "a worker that is not ready")
            here.wait_until(lambda: GIVEN_BACK in here.worker.log.read_text(), "a job that is given back")
            here.wait_until(lambda: here.is_told("redis_lost", here.control) > 0, "control's word")
        here.work_goes_on()
        here.wait_until(lambda: here.is_told("redis_back") > 0, "a word of it")
        for process in (here.worker, here.control):
            assert here.is_told("redis_lost", process) == 1
            assert "Traceback" not in process.log.read_text()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_whose_slots_are_lost_all_the_same_is_connected_anew(tmp_path: Path, pool: str) -> None:
    with house(tmp_path, "--pool", pool) as here:
        here.begin()
        (tmp_path / hurried_worker.LOSE_SLOTS).touch()
        here.work_goes_on()
        assert here.is_told("queue_stuck") > 0
        assert here.is_told("worker_stopped") == 0


def test_a_worker_that_cannot_be_mended_ends_so_that_another_one_is_started(tmp_path: Path) -> None:
    with house(tmp_path, "--pool", "prefork") as here:
        here.begin()
        (tmp_path / hurried_worker.LOSE_THEM_AGAIN).touch()
        here.wait_until(lambda: not here.ready.exists(), "a worker that is not ready")
        until = time.monotonic() + DEADLINE
        while here.worker.running:
            assert time.monotonic() < until, here.worker.tail()
            time.sleep(0.05)
        assert here.worker.exit_code == STUCK_CODE
        assert here.is_told("worker_stopped") == 1
        (tmp_path / hurried_worker.LOSE_THEM_AGAIN).unlink()
        start(here.worker)
        here.work_goes_on()


def test_a_worker_that_cannot_reach_s3_leaves_the_queue_alone_until_it_can(tmp_path: Path) -> None:
    with house(tmp_path, "--pool", "prefork") as here:
        assert here.stack.s3
        here.begin()
        here.stack.s3.kill()
        here.wait_until(lambda: not here.ready.exists(), "a worker that is not ready")

        def is_left_alone() -> bool:
            """What waits, waits in Redis."""
            with here.client as client:
                waiting = sum(client.llen(keys.queue(step)) for step in keys.PRIORITIES.values())
            return bool(waiting) and Ledger(here.settings).taken() == []

        here.wait_until(is_left_alone, "a queue that is left alone")
        taken = here.is_told("job_done")
        for _ in range(40):
            assert is_left_alone()
            time.sleep(0.1)
        assert here.is_told("job_done") == taken
        here.stack.s3.start()
        here.work_goes_on()
