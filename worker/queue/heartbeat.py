"""A sign of life that needs no broker: a file, touched every so often by whoever takes the messages.

It is touched from the main loop of Celery, so that it grows old when that hangs. While the broker is away that loop
does not turn, and the process is alive all the same: then a thread touches the file for as long as is waited. What
draining takes is known beforehand: the file's time is set that far ahead.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from celery import bootsteps

from photochrom.worker.errors import UsageError
from photochrom.worker.settings import settings

BEAT_SECONDS = 15.0
"""Between two signs of life. A process whose last one is more than a minute old is dead."""


def beat(ahead: float = 0) -> None:
    """Give a sign of life, one that holds for so many seconds more; nothing where no file is set.

    Raises UsageError where the file cannot be written.
    """
    file = settings().heartbeat_file
    if file is None:
        return
    try:
        file.touch()
        if ahead:
            then = time.time() + ahead
            os.utime(file, (then, then))
    except OSError as error:
        raise UsageError(f"PHOTOCHROM_HEARTBEAT_FILE {file} cannot be written: {error.strerror}") from error


@contextmanager
def beating(seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Give signs of life for as long as something is waited for that says nothing about this process."""
    if settings().heartbeat_file is None:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_beat_until, args=(over, seconds), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat_until(over: threading.Event, seconds: float) -> None:
    while True:
        with suppress(UsageError):  # a disk that is full now may not be so later
            beat()
        if over.wait(seconds):
            return


class Heartbeat(bootsteps.StartStopStep):
    """Touches the file from the worker's timer, which its main loop turns."""

    requires = ("celery.worker.components:Timer",)

    def include_if(self, parent: Any) -> bool:
        return settings().heartbeat_file is not None

    def start(self, parent: Any) -> None:
        beat()
        parent.timer.call_repeatedly(BEAT_SECONDS, _beat_unless_stuck, (parent,))


def _beat_unless_stuck(parent: Any) -> None:
    """A process that takes nothing although it could is as good as dead."""
    if not parent.consumer.intake.stuck:
        beat()
