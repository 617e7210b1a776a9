"""A stack and a process on local files by turns of some seconds: a machine that slows down slows both of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from photochrom.deploy.bench.machine import session
from photochrom.deploy.stack.stack import Stack
from tests.benchmarks.local_process import LocalProcess, Taken

POLL = 0.2
"""Seconds between two looks at the ledger: often enough for the clock, and seldom enough not to be measured."""

TURN = 5.0
"""Seconds, of the stack; the local process then colours as many images as take about as long."""


class Turns:
    """Waits for a stack, which stands still every few seconds while the local process colours so many images."""

    def __init__(self, stack: Stack, local: LocalProcess, images: int, seconds: float = TURN) -> None:
        self._stack, self._local, self._images, self._seconds = stack, local, images, seconds
        self._taken: list[Taken] = []
        self._since = time.monotonic()

    def wait(self) -> float:
        """For the next look at the ledger; gives back the seconds for which the stack stood still."""
        time.sleep(POLL)
        if time.monotonic() - self._since < self._seconds:
            return 0.0
        begun = time.monotonic()
        with standing_still([process.pid for process in self._stack.everything()]):
            self._taken.append(self._local.colour(self._images))
        self._since = time.monotonic()
        return self._since - begun

    def local(self) -> Taken:
        """What the local process took for all its images; at least one turn of it."""
        taken = self._taken or [self._local.colour(self._images)]
        return Taken(sum(one.images for one in taken), sum(one.seconds for one in taken),
                     sum(one.cpu for one in taken), [], [])  # fmt: skip


@contextmanager
def standing_still(leaders: Collection[int | None]) -> Iterator[None]:
    """Within the block nothing runs in the sessions that these processes lead."""
    stopped: list[int] = []
    try:
        for leader in leaders:
            for process in session(leader):
                stopped.append(process)
                _signal(process, signal.SIGSTOP)
        yield
    finally:
        for process in reversed(stopped):
            _signal(process, signal.SIGCONT)


def _signal(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
