"""Threads beside the work that nothing ends: whatever is raised in them is one line in the log, and they go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from photochrom.worker.errors import PhotochromError

log = logging.getLogger("photochrom.worker")


def every(seconds: float, work: Callable[[], object], name: str) -> threading.Thread:
    """Do something every so many seconds in a thread of its own, for as long as this process lives."""
    thread = threading.Thread(target=_keep_doing, args=(seconds, work, name), name=name, daemon=True)
    thread.start()
    return thread


def _keep_doing(seconds: float, work: Callable[[], object], name: str) -> None:
    pause = threading.Event()
    while not pause.wait(seconds):
        try:
            work()
        except Exception as error:  # one that ended would be missed by nobody
            log.error("%s goes on after: %s", name, in_one_line(error), extra={"action": "thread_goes_on"})
            log.debug("%s", name, exc_info=True, extra={"action": "thread_goes_on"})


def in_one_line(error: Exception) -> str:
    """What an error says; of one that nobody foresaw its kind, too."""
    words = " ".join(str(error).split())
    return words if isinstance(error, PhotochromError) else f"{type(error).__name__}: {words}"
