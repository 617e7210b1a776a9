"""Who works beside whom in a process: an image that may have killed one is worked on alone.

Where threads share a process, whatever kills it takes all their images with it. Each of them then has a start without
an outcome, though one at most is to blame. So an image with such a start is begun when nothing else is in hand, and
nothing is begun beside it: it can be blamed for no other's deed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Company:
    """Images in hand beside each other, or one alone. Who wants to be alone goes before those who come later.

    What is entered in one thread may be left in another.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in_hand = 0
        self._alone = False
        self._want_alone = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Beside others; waits while one is alone, or wants to be."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._want_alone)
            self._in_hand += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_hand -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Once nothing else is in hand, and with nothing beside it."""
        with self._changed:
            self._want_alone += 1
            try:
                self._changed.wait_for(lambda: not self._alone and not self._in_hand)
            finally:
                self._want_alone -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
