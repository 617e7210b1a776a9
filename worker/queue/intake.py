"""What a process knows of its own taking of messages: whether it may take any, when it last did, what is still owed.

Made by Celery's consumer and handed to the channel it takes messages from, to the watchdog, and to the sign of life.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from celery.worker import state


class Owed:
    """Acknowledgements and rejects that the broker could not be asked for, by delivery tag. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requeue: dict[str, bool] = {}

    def add(self, tag: str, requeue: bool) -> None:
        """`requeue`: back into the queue; else the message has ended."""
        with self._lock:
            self._requeue[tag] = requeue

    def settle(self, end: Callable[[str], object], requeue: Callable[[str], object]) -> None:
        """Do all of it. What raises is still owed, and so is what follows it."""
        with self._lock:
            waiting = dict(self._requeue)
        for tag, back in waiting.items():
            (requeue if back else end)(tag)
            with self._lock:
                self._requeue.pop(tag, None)

    def __len__(self) -> int:
        return len(self._requeue)


class Intake:
    """`may_take` is asked before each message, from the main loop: it must be quick."""

    def __init__(self, may_take: Callable[[], bool]) -> None:
        self.may_take = may_take
        self.owed = Owed()
        self.connected = False
        """Whether messages are waited for at this moment."""
        self.stuck = False
        """Whether the watchdog found that nothing is taken although it could be."""
        self.taken_at = monotonic()

    def note_taken(self) -> None:
        self.taken_at = monotonic()
        self.stuck = False

    @property
    def has_in_hand(self) -> bool:
        """Whether there are messages that were taken and wait, or are being worked on."""
        return bool(len(state.reserved_requests) or len(state.active_requests))
