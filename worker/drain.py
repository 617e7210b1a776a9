"""Draining: after SIGTERM a worker finishes the image in hand, gives back the rest, and has ended within a stated time.

The parent gets the signal; its children, which do the work, look at a byte that they share with it. What still works
when the time is nearly over is killed: its message goes back into the queue.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
from contextlib import suppress

from billiard import active_children  # type: ignore[import-untyped]  # Celery's pool is made of these

LAST_SECONDS = 5.0
"""Of the time to drain, for the parent to put back what killed children had in hand; at most half of it."""

STDERR = 2
"""The file itself: what stands in `sys.stderr` may be anything, and may be in the middle of a write."""

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
        signal.signal(signal.SIGALRM, _kill_children)
        signal.setitimer(signal.ITIMER_REAL, seconds - min(LAST_SECONDS, seconds / 2))
        faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)


def _kill_children(*_: object) -> None:
    os.write(STDERR, b"photochrom: no time left to drain: what is still in hand goes back into the queue\n")
    for child in active_children():
        with suppress(ProcessLookupError):  # it has ended just now
            os.kill(child.pid, signal.SIGKILL)


def outlive_the_group() -> None:
    """In a child: a SIGTERM to the whole process group is the parent's to act on; the image in hand is finished.

    Ignored, not handled: billiard puts its own handler, which ends the child, in the place of any but that.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def stop_this_worker() -> None:
    """From a child: let the whole worker finish and end. Whoever supervises it decides when it comes back."""
    start_draining()
    os.kill(os.getppid(), signal.SIGTERM)
