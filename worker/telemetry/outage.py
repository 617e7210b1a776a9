"""Something outside that is away: one line when it is lost, one a minute while it stays away, one when it is back."""

from __future__ import annotations

import logging
import threading
from time import monotonic

REMINDER_SECONDS = 60.0

STEADY_SECONDS = 3.0
"""Without a fault, until something is back: what comes and goes is away."""


class Outage:
    """What is known of one thing that a process needs. Safe between threads.

    `what` begins each line ("Redis"), `action` and `back` are the lines' stable names. With `patience` nothing is
    written of what is back within so many seconds.
    """

    def __init__(self, log: logging.Logger, what: str, action: str, back: str, patience: float = 0) -> None:
        self._log, self._what, self._action, self._back = log, what, action, back
        self._patience = patience
        self._lock = threading.Lock()
        self._since: float | None = None
        self._last = self._next_line = 0.0
        self._written = False

    def is_away(self, why: object) -> None:
        """It could not be used just now, for a reason that holds no secrets."""
        with self._lock:
            now = monotonic()
            if self._since is None:
                self._since, self._next_line, self._written = now, now + self._patience, False
            self._last = now
            if now < self._next_line:
                return
            self._next_line = now + REMINDER_SECONDS
            since = f", for {now - self._since:.0f} s now" if self._written or self._patience else ""
            self._written = True
        self._log.warning("%s: %s%s", self._what, why, since, extra={"action": self._action})

    def is_back(self) -> None:
        """It could be used just now. To be said again and again: the first times count for nothing."""
        with self._lock:
            since = self._since
            if since is None or monotonic() - self._last < STEADY_SECONDS:
                return
            self._since = None
            if not self._written:
                return
        self._log.info("%s: back after %.0f s", self._what, monotonic() - since, extra={"action": self._back})
