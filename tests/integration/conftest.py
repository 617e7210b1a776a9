"""A whole Photochrom whose processes are sent what they should not be: each role once, a stand-in for the model."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.servers import free_ports
from photochrom.deploy.stack.stack import HOUSE, Stack
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import submit
from photochrom.worker.ledger import keys
from photochrom.worker.queue.app import COLORIZE, READY_FILE, SUBMIT, TRAIN_STEP
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings
from tests.acceptance.conftest import gray_jpeg

DEADLINE = 120.0
"""Seconds; only what is broken takes so long."""


@dataclass
class Role:
    """A process and its queue; `arguments` are good ones of its task, about something that is not there."""

    process: Process
    queue: str
    task: str
    arguments: list[object]

    @property
    def log(self) -> str:
        return self.process.log.read_text(errors="replace")


@dataclass
class House:
    stack: Stack
    settings: Settings
    roles: dict[str, Role]
    metrics_port: int

    @property
    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.settings.redis_url.get_secret_value())

    def is_idle(self, name: str) -> bool:
        """Whether a role's queue is empty, and nothing of it unacknowledged."""
        with self.redis as client:
            return not client.llen(self.roles[name].queue) and not client.hlen(keys.UNACKED.format(role=name))

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + DEADLINE
        while not condition():
            for role in self.roles.values():
                role.process.check()
            assert time.monotonic() < until, f"{what}: not within {DEADLINE} s"
            time.sleep(0.05)

    def colour_one(self, name: str) -> None:
        """A good submission goes through."""
        Store(self.settings).put("archive", f"{name}/1.jpg", gray_jpeg(1))
        submit(f"s3://archive/{name}", f"s3://coloured/{name}", settings=self.settings, name=name)
        self.wait_until(lambda: progress(name, self.settings).ended, "the end of a good submission")
        assert progress(name, self.settings).done == 1
        self.wait_until(lambda: self.is_idle("colorize"), "its job's last words")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("worker")
    environment = {"PHOTOCHROM_CONTROL_INTERVAL": "0.2", "PHOTOCHROM_LOG_LEVEL": "DEBUG"}
    stack = Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, control=False, environment=environment)
    with stack, stack.exported() as settings:
        [port] = free_ports(1)
        stack.environment["PHOTOCHROM_METRICS_PORT"] = str(port)
        control = stack.start_control()
        del stack.environment["PHOTOCHROM_METRICS_PORT"]
        training = stack.start_training()
        command = [sys.executable, "-m", "tests.integration.slow_worker", "worker", "--concurrency", "1"]
        worker = Process("worker", [*command, "--pool", "prefork"], folder, folder / "log")
        ready = folder / "ready"
        worker.start(os.environ | {"PYTHONPATH": str(HOUSE), READY_FILE: str(ready)})
        try:
            worker.wait_until(ready.exists, DEADLINE)
            missing = {"submission": "hostile", "task": {}, "images": []}
            roles = {
                "colorize": Role(worker, keys.QUEUE, COLORIZE, [missing]),
                "control": Role(control, "photochrom.control", SUBMIT, ["s3://nowhere/in", "s3://coloured/out"]),
                "training": Role(training, keys.TRAINING_QUEUE, TRAIN_STEP, ["no-such-run"]),
            }
            yield House(stack, settings, roles, port)
        finally:
            worker.stop(signal.SIGKILL)
