"""Threads that take turns at what waits: a few, and none but them ever waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from photochrom.worker.process.shutdown import is_draining

log = logging.getLogger("photochrom.control")


class Turns:
    """Calls `take(name)` for each name that is asked for, in the order of asking, in so many threads at most.

    What waits for its turn, or has it just now, is not asked for again. Threads begin when they are first needed, and
    do not keep the process from its end.
    """

    def __init__(self, take: Callable[[str], None], threads: int) -> None:
        self._take, self._most = take, threads
        self._waiting: SimpleQueue[str] = SimpleQueue()
        self._asked: set[str] = set()
        self._threads = 0
        self._changed = threading.Condition()

    def ask(self, name: str) -> None:
        """Give a name its turn when those before it have had theirs; nothing in a process that drains."""
        with self._changed:
            if name in self._asked or is_draining():
                return
            self._asked.add(name)
            self._waiting.put(name)
            if self._threads < min(self._most, len(self._asked)):
                self._threads += 1
                threading.Thread(target=self._run, name=f"turns {self._threads}", daemon=True).start()

    def finish(self, seconds: float) -> bool:
        """Wait until all that was asked for had its turn, so many seconds at most; whether it came to that.

        In a process that drains nothing else begins its turn.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._asked, seconds)

    def _run(self) -> None:
        while True:
            self._give_turn(self._waiting.get())

    def _give_turn(self, name: str) -> None:
        try:
            if not is_draining():
                self._take(name)
        except Exception:  # the others are not to wait for it
            log.exception("not foreseen", extra={"action": "submission_waits", "submission": name})
        finally:
            with self._changed:
                self._asked.discard(name)
                self._changed.notify_all()
