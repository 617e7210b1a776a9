"""Draining: after SIGTERM a worker finishes the image in hand and gives back the rest.

The parent gets the signal; its children, which do the work, look at a byte that they share with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal

_draining = multiprocessing.RawValue("b", 0)  # a bare byte: a signal handler must not wait for a lock


def start_draining() -> None:
    """Called in the parent when it is told to stop."""
    _draining.value = 1


def is_draining() -> bool:
    return bool(_draining.value)


def outlive_the_group() -> None:
    """In a child: a SIGTERM to the whole process group is the parent's to act on; the image in hand is finished.

    Ignored, not handled: billiard puts its own handler, which ends the child, in the place of any but that.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def stop_this_worker() -> None:
    """From a child: let the whole worker finish and end. Whoever supervises it decides when it comes back."""
    start_draining()
    os.kill(os.getppid(), signal.SIGTERM)
