"""Ready is a process that could work now: what it needs is loaded, and S3 answers. It says so by a file.

The file is named by whoever starts the process. It is there while all is well, and gone when the process drains.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from worker import drain
from worker.app import mark_ready, mark_unready
from worker.errors import PhotochromError

log = logging.getLogger("photochrom.worker")

AGAIN_SECONDS, STILL_SECONDS = 5.0, 30.0
"""Between two tries of a process that is not ready, and of one that is."""

_pause = threading.Event()


def ready_once(prepare: Callable[[], object]) -> None:
    """Say that this process is ready while `prepare` goes well: tried at once, and again and again from a thread."""
    _in_thread(prepare, _wait_after(prepare))


def ready_later(prepare: Callable[[], object]) -> None:
    """The same, with nothing tried in this thread: the main one has the broker to serve."""
    _in_thread(prepare, 0)


def _in_thread(prepare: Callable[[], object], wait: float) -> None:
    threading.Thread(target=_keep_trying, args=(prepare, wait), name="ready", daemon=True).start()


def _keep_trying(prepare: Callable[[], object], wait: float) -> None:
    while not drain.is_draining():
        _pause.wait(wait)
        wait = _wait_after(prepare)


def _wait_after(prepare: Callable[[], object]) -> float:
    """Try it, say how it went, and give back the seconds until the next try."""
    try:
        prepare()
    except PhotochromError as error:
        log.warning("not ready: %s", error, extra={"action": "not_ready"})
        mark_unready()
        return AGAIN_SECONDS
    mark_ready()
    return STILL_SECONDS
