"""Ready is a process that could work now: S3 answers, and what it needs beside that is loaded.

What could not reach S3 takes no messages: it would only send them round in circles. One whose model cannot be loaded
does, since jobs may name another one. Children find it out; the parent, which takes the messages and says by a file
whether the process is ready, looks at the bytes that they share with it, one a child.
"""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Callable

from billiard import current_process  # type: ignore[import-untyped]  # Celery's pool is made of these

from photochrom.worker.errors import CheckpointError
from photochrom.worker.process import shutdown
from photochrom.worker.process.background import in_one_line
from photochrom.worker.telemetry.outage import Outage

log = logging.getLogger("photochrom.worker")

AGAIN_SECONDS, STILL_SECONDS = 5.0, 30.0
"""Between two tries of a process that is not ready, and of one that is."""

MOST_CHILDREN = 1024

_UNKNOWN, _READY, _NOT_LOADED, _NO_S3 = range(4)

_standing = multiprocessing.RawArray("b", MOST_CHILDREN)  # bare bytes: a child that is killed holds no lock

_doubt = threading.Event()


def nothing() -> None:
    """For whom S3 is enough."""


def is_ready() -> bool:
    """Whether this process, with all of its children that have said so yet, could work now."""
    return set(bytes(_standing)) - {_UNKNOWN} == {_READY}


def may_take() -> bool:
    """Whether messages that this process takes could be worked on, as far as S3 is concerned."""
    known = bytes(_standing)
    return _NO_S3 not in known and any(known)


def doubt() -> None:
    """Something went wrong that may concern more than one image: try soon whether this process could still work."""
    _doubt.set()


def ready_once(reach: Callable[[], object], load: Callable[[], object] = nothing) -> None:
    """Say whether this process is ready: found out at once, and again and again from a thread.

    `reach` asks S3, `load` gets what is needed beside it; both raise any of the error tree.
    """
    trial = _Trial(reach, load)
    _in_thread(trial, trial.wait_after())


def ready_later(reach: Callable[[], object], load: Callable[[], object] = nothing) -> None:
    """The same, with nothing tried in this thread: the main one has the broker to serve."""
    _in_thread(_Trial(reach, load), 0)


class _Trial:
    def __init__(self, reach: Callable[[], object], load: Callable[[], object]) -> None:
        self._reach, self._load = reach, load
        self._outage = Outage(log, "not ready", action="not_ready", back="ready")

    def wait_after(self) -> float:
        """Try it, say how it went, and give back the seconds until the next try."""
        standing = self._try()
        _standing[_place()] = standing
        if standing != _READY:
            return AGAIN_SECONDS
        self._outage.is_back()
        return STILL_SECONDS

    def _try(self) -> int:
        standing = _NO_S3
        try:
            try:
                self._reach()
            except CheckpointError:
                standing = _NOT_LOADED  # S3 did answer
                raise
            standing = _NOT_LOADED
            self._load()
        except Exception as error:  # nothing ends this thread: a process that stayed ready for ever would be believed
            self._outage.is_away(in_one_line(error))
            return standing
        return _READY


def _place() -> int:
    """Of this child among its siblings: whoever comes after a child that was killed has the same."""
    return int(getattr(current_process(), "index", 0)) % MOST_CHILDREN


def _in_thread(trial: _Trial, wait: float) -> None:
    threading.Thread(target=_keep_trying, args=(trial, wait), name="ready", daemon=True).start()


def _keep_trying(trial: _Trial, wait: float) -> None:
    while not shutdown.is_draining():
        if _doubt.wait(wait):
            _doubt.clear()
        wait = trial.wait_after()
