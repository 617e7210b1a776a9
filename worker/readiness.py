"""Ready is a process that could work now: what it needs is loaded, and S3 answers. It says so by a file.

The file is named by whoever starts the process. It is there once all is well, and gone when the process drains.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from worker import drain
from worker.app import mark_ready
from worker.errors import PhotochromError

log = logging.getLogger("photochrom.worker")

AGAIN_SECONDS = 5.0
"""Between two tries of a process that is not ready yet."""

_pause = threading.Event()


def ready_once(prepare: Callable[[], object]) -> None:
    """Say that this process is ready when `prepare` goes well: at once, or from a thread that tries it again."""
    if not _is_ready(prepare):
        _in_thread(prepare, AGAIN_SECONDS)


def ready_later(prepare: Callable[[], object]) -> None:
    """The same, with nothing done in this thread: the main one has the broker to serve."""
    _in_thread(prepare, 0)


def _in_thread(prepare: Callable[[], object], wait: float) -> None:
    threading.Thread(target=_keep_trying, args=(prepare, wait), name="ready", daemon=True).start()


def _keep_trying(prepare: Callable[[], object], wait: float) -> None:
    while not drain.is_draining():
        _pause.wait(wait)
        if _is_ready(prepare):
            return
        wait = AGAIN_SECONDS


def _is_ready(prepare: Callable[[], object]) -> bool:
    try:
        prepare()
    except PhotochromError as error:
        log.warning("not ready: %s", error, extra={"action": "not_ready"})
        return False
    mark_ready()
    return True
