"""Whether work goes on: how long after an outage, and whether a worker lives and does nothing."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from time import monotonic
from typing import Protocol

from tests.chaos.outages import Outage, Servers

MORE, MORE_OF_ONE = 30, 5
"""Images that have to end after an outage before work is said to go on: more than were in hand; and of one worker."""

IDLE_SECONDS = 30.0
"""No worker may do nothing for longer while jobs wait."""


class Interruption:
    """One outage of a run, from its beginning until work goes on."""

    def __init__(self, outage: Outage, servers: Servers) -> None:
        self.outage = outage
        self.seconds: float | None = None
        """From the end of the outage until work went on; None before."""
        self._end = ExitStack()
        self._end.enter_context(outage.kind.away(servers))
        self._until = monotonic() + outage.seconds
        self._back_at: float | None = None
        self._enough = 0

    @property
    def is_away(self) -> bool:
        return self._back_at is None

    def look(self, images: int, most: int) -> None:
        """End it when its time is over, then wait for more images to end.

        `images` have ended so far, of all, or of the one worker that it concerns; more than `most` there are not.
        """
        if self._back_at is None:
            if monotonic() >= self._until:
                self.end()
                self._back_at = monotonic()
                self._enough = min(most, images + (MORE_OF_ONE if self.outage.kind.of_one else MORE))
        elif images >= self._enough and self.seconds is None:
            self.seconds = monotonic() - self._back_at

    def end(self) -> None:
        """Bring back what is away, if it is."""
        self._end.close()


class Worker(Protocol):
    """What is looked at."""

    @property
    def name(self) -> str: ...

    @property
    def running(self) -> bool: ...

    def steps(self) -> int:
        """How many things its log says that it did."""


class IdleTimes:
    """For each worker, the longest time for which it lived and did nothing although jobs waited."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}
        self._since: dict[str, tuple[int, float]] = {}

    def look(self, workers: Iterable[Worker], excused: Iterable[str]) -> None:
        """`excused` have nothing to do, or cannot do it: their time begins anew."""
        now, names = monotonic(), set(excused)
        for worker in workers:
            steps = worker.steps()
            before, since = self._since.get(worker.name, (-1, now))
            if steps != before or not worker.running or worker.name in names:
                since = now
            self._since[worker.name] = steps, since
            self.longest[worker.name] = max(self.longest.get(worker.name, 0.0), now - since)
