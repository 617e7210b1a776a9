"""What is done to a running Photochrom, when, and how it is set up again afterwards.

Blows fall by progress, not by time: at random shares of the images that have ended, so that a run on a slow machine
is hit as often, and all along its way.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.stack import Stack
from photochrom.worker.errors import PhotochromError
from tests.chaos.outages import Outage
from tests.chaos.worker import TRAP

FIRST, LAST, LAST_OUTAGE = 0.02, 0.95, 0.6
"""Between which shares of the images that have ended blows fall; after an outage there has to be work left."""

WARM_PATIENCE = 30.0
"""Seconds for an orderly end before a supervisor would use SIGKILL."""

LONGEST_PAUSE = 2.0
"""Seconds until a process or server is started again, at the most."""

AFTER_LOSS = 4.0
"""Seconds: the control process is killed at some moment of so many after Redis is lost, while it rebuilds."""

STEP = re.compile(rb" (?:done|quarantined|gave back) ")
"""In a line of a worker's log that says what it did with an image."""

TRAPPED = "worker: kill -9 as it takes a job"

KILLS = {
    "worker: kill -9 of all": 4,
    "worker: kill -9 of the parent": 2,
    "worker: kill -9 of a child": 4,
    TRAPPED: 3,
    "control: kill -9": 3,
}
TERMS = {"worker: SIGTERM": 2, "worker: SIGTERM to all": 1, "control: SIGTERM": 1}
"""Ways to end a process, and how often each is taken beside the others of its kind."""

TERMS_A_KILL = 1 / 3
"""So many SIGTERMs come on top of the kills."""

REDIS_TERM, REDIS_KILL, REDIS_LOSS = "Redis: SIGTERM", "Redis: kill -9", "Redis: lost with its data"
S3_KILL = "S3: kill -9"
AGAIN = "a job sent a second time"


@dataclass(frozen=True, order=True)
class Blow:
    """What is to happen when a share `at` of the images have ended."""

    at: float
    what: str
    outage: Outage | None = None


def plan(
    chance: random.Random,
    *,
    kills: int,
    redis_restarts: int,
    redis_losses: int,
    s3_restarts: int,
    again: int,
    outages: Sequence[Outage] = (),
) -> list[Blow]:
    """All blows of a run, in order; `kills` are those by kill -9 of our own processes."""
    what = chance.choices(list(KILLS), list(KILLS.values()), k=kills)
    what += chance.choices(list(TERMS), list(TERMS.values()), k=round(kills * TERMS_A_KILL))
    what += [REDIS_KILL if number % 2 == 0 else REDIS_TERM for number in range(redis_restarts)]
    what += [REDIS_LOSS] * redis_losses + [S3_KILL] * s3_restarts + [AGAIN] * again
    blows = [Blow(chance.uniform(FIRST, LAST), kind) for kind in what]
    blows += [Blow(chance.uniform(FIRST, LAST_OUTAGE), str(outage), outage) for outage in outages]
    return sorted(blows)


class Service:
    """One of our processes, and its supervisor: whatever ends is swept up and started again after a pause."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        folder: Path,
        environment: Mapping[str, str],
        checkouts: Sequence[Path],
    ) -> None:
        command = [sys.executable, "-m", "tests.chaos.worker", *arguments]
        self.process = Process(name, command, folder, folder / "log" / f"{name}.log")
        self.starts = self.overdue = 0
        self._environment, self._checkouts = dict(environment), checkouts
        self._steps = self._read = 0
        self._up_at = 0.0
        self._patience_ends: float | None = None

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid

    def look_after(self, chance: random.Random) -> None:
        """Notice its end, start it again when its pause is over, end it for good when it takes too long to end."""
        now = time.monotonic()
        if self.process.running:
            if self._patience_ends and now > self._patience_ends:
                self.overdue, self._patience_ends = self.overdue + 1, None
                os.killpg(self.pid, signal.SIGKILL)
        elif self._up_at == 0.0:
            self._up_at = now + chance.uniform(0, LONGEST_PAUSE if self.starts else 0)
        elif now >= self._up_at:
            checkout = self._checkouts[self.starts % len(self._checkouts)]
            named = {"PYTHONPATH": str(checkout), "PYTHONFAULTHANDLER": "1"}
            self.process.start(self._environment | named)  # what is left of the earlier one, a child perhaps, ends now
            self.starts, self._up_at, self._patience_ends = self.starts + 1, 0.0, None

    def signal(self, number: int, to: Callable[[int, int], None] = os.kill) -> None:
        """Send a signal to the process, or (`to=os.killpg`) to its children too."""
        if number == signal.SIGTERM:
            self._patience_ends = time.monotonic() + WARM_PATIENCE
        with suppress(ProcessLookupError):
            to(self.pid, number)

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def running(self) -> bool:
        return self.process.running

    def steps(self) -> int:
        """How many images it has ended or given back, in all its lives."""
        if self.process.log.exists():
            with self.process.log.open("rb") as log:
                log.seek(self._read)
                lines = log.read().rpartition(b"\n")
                self._read += len(lines[0]) + len(lines[1])
                self._steps += len(STEP.findall(lines[0]))
        return self._steps

    def children(self) -> list[int]:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = (map(int, line.split()) for line in listed.splitlines())
        return [pid for pid, parent in pairs if parent == self.pid]

    def log(self) -> str:
        return self.process.log.read_text(errors="replace") if self.process.log.exists() else ""


class Scene:
    """Everything that runs, and what is done to it."""

    def __init__(self, stack: Stack, services: list[Service], chance: random.Random) -> None:
        self.stack, self.chance = stack, chance
        self.control = next(service for service in services if service.name == "control")
        self.workers = [service for service in services if service is not self.control]
        self.done: Counter[str] = Counter()
        self._control_dies_at: float | None = None

    @property
    def services(self) -> list[Service]:
        return [self.control, *self.workers]

    @property
    def one(self) -> Service:
        """The worker whose credentials and way to S3 are its own."""
        return self.workers[-1]

    def kill_all_of(self, service: Service) -> None:
        """Its supervisor starts it again."""
        if service.running:
            service.signal(signal.SIGKILL, os.killpg)

    @property
    def _trap(self) -> Path:
        return self.control.process.folder / TRAP

    def look_after(self) -> None:
        """Play the supervisor, once."""
        if self._control_dies_at and time.monotonic() > self._control_dies_at and self.control.process.running:
            self._control_dies_at = None
            self._kill("control: kill -9", self.control)
        for service in self.services:
            service.look_after(self.chance)

    def strike(self, blow: Blow, send_again: Callable[[], None]) -> bool:
        """Carry out a blow; False when that was not possible just now."""
        if blow.what in KILLS or blow.what in TERMS:
            able = [service for service in self._of(blow.what) if service.running]
            return bool(able) and self._kill(blow.what, self.chance.choice(able))
        if blow.what == AGAIN:
            try:
                send_again()
            except (OSError, PhotochromError):
                return False
        elif blow.what == S3_KILL:
            self._restart_s3()
        else:
            self._restart_redis(blow.what)
        self.done[blow.what] += 1
        return True

    def stop(self) -> None:
        """End all processes in order; a trap that nobody ran into was no blow."""
        if self._trap.exists():
            self.done[TRAPPED] -= 1
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda service: service.process.stop(patience=WARM_PATIENCE), self.services))

    def in_logs(self, pattern: str) -> list[str]:
        """What a pattern finds in the logs of all processes."""
        return [found for service in self.services for found in re.findall(pattern, service.log())]

    def _of(self, what: str) -> list[Service]:
        return [self.control] if what.startswith("control") else self.workers

    def _kill(self, what: str, service: Service) -> bool:
        if what == TRAPPED:
            if self._trap.exists():
                return False
            self._trap.touch()
        elif what.endswith("of a child"):
            children = service.children()
            if not children:
                return False
            with suppress(ProcessLookupError):
                os.kill(self.chance.choice(children), signal.SIGKILL)
        elif what.endswith("of the parent"):
            service.signal(signal.SIGKILL)
        elif "kill -9" in what:
            service.signal(signal.SIGKILL, os.killpg)
        else:
            service.signal(signal.SIGTERM, os.killpg if what.endswith("to all") else os.kill)
        self.done[what] += 1
        return True

    def _restart_redis(self, what: str) -> None:
        redis = self.stack.redis
        assert redis
        redis.stop() if what == REDIS_TERM else redis.kill()
        if what == REDIS_LOSS:
            shutil.rmtree(redis.data)
            self._control_dies_at = time.monotonic() + self.chance.uniform(0, AFTER_LOSS)
        time.sleep(self.chance.uniform(0, LONGEST_PAUSE))
        redis.start()

    def _restart_s3(self) -> None:
        s3 = self.stack.s3
        assert s3
        s3.kill()
        time.sleep(self.chance.uniform(0, LONGEST_PAUSE))
        s3.start()
