"""Draining: after SIGTERM a worker finishes the image in hand, gives back the rest, and has ended within a stated time.

The parent gets the signal; its children, which do the work, look at a byte that they share with it. What still works
when the time is nearly over is killed: its message goes back into the queue. Threads cannot be killed: where they do
the work, their messages are given back and the process ends with them.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from billiard import active_children  # type: ignore[import-untyped]  # Celery's pool is made of these

LAST_SECONDS = 5.0
"""Of the time to drain, for the parent to put back what killed children had in hand; at most half of it."""

STDERR = 2
"""The file itself: what stands in `sys.stderr` may be anything, and may be in the middle of a write."""

_give_back_threads_work: list[Callable[[], None]] = []
"""One, in a process whose threads do the work; none elsewhere."""

_is_child = False

_draining = multiprocessing.RawValue("b", 0)  # a bare byte: a signal handler must not wait for a lock


def start_draining() -> None:
    """Called in the parent when it is told to stop."""
    _draining.value = 1


def is_draining() -> bool:
    return bool(_draining.value)


def end_within(seconds: float) -> None:
    """In the parent's main thread: whatever happens, this worker has ended when so many seconds have passed.

    Told twice, the first time counts. The parent itself is ended by faulthandler's watchdog, which needs no interpreter
    and says where it hung; as the first process of a container it could not be killed by a signal of its own.
    """
    if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
        signal.signal(signal.SIGALRM, _end_work)
        signal.setitimer(signal.ITIMER_REAL, seconds - min(LAST_SECONDS, seconds / 2))
        faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)


def _end_work(*_: object) -> None:
    os.write(STDERR, b"photochrom: no time left to drain: what is still in hand goes back into the queue\n")
    for give_back in _give_back_threads_work:
        try:
            give_back()
        finally:
            os._exit(0)  # an orderly end would wait for the threads
    for child in active_children():
        with suppress(ProcessLookupError):  # it has ended just now
            os.kill(child.pid, signal.SIGKILL)


def work_in_threads(give_back: Callable[[], None]) -> None:
    """In a process whose threads do the work: `give_back` returns their messages when there is no time left."""
    _give_back_threads_work[:] = [give_back]


def outlive_the_group() -> None:
    """In a child: a SIGTERM to the whole process group is the parent's to act on; the image in hand is finished.

    Ignored, not handled: billiard puts its own handler, which ends the child, in the place of any but that.
    """
    global _is_child
    _is_child = True
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def stop_this_worker() -> None:
    """From a child, or a thread: let the whole worker finish and end. Who supervises it decides when it comes back."""
    start_draining()
    os.kill(os.getppid() if _is_child else os.getpid(), signal.SIGTERM)
