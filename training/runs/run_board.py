"""What Redis holds of training: who works at which run, what waits, and how far the step in hand has come.

All of it may be lost: a run's truth lies in S3 (see `training/runs/records.py`).
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any

from photochrom.worker.ledger import keys
from photochrom.worker.ledger.connection import connection, locked, redis_translated
from photochrom.worker.settings import Settings

REMEMBERED_SECONDS = 24 * 3600
"""For which it is known how often a step was begun."""

HEARD_SECONDS = 3600
"""For which the last word of a step is kept."""


class Board:
    """A connection. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._redis, self._lock_seconds = connection(settings), settings.lock_seconds

    def work(self, run: str) -> AbstractContextManager[bool]:
        """Whether nobody else works at the run; kept until the end, or some seconds after this process was killed."""
        return locked(self._redis, _lock(run), self._lock_seconds)

    def is_left_alone(self, run: str) -> bool:
        """Whether nobody works at a run, and no step of any waits for a training process."""
        with redis_translated():
            return not self._redis.exists(keys.lock(_lock(run))) and not self.waits()

    def waits(self) -> bool:
        """Whether a step of any run waits for a training process."""
        with redis_translated():
            return bool(self._redis.llen(keys.TRAINING_QUEUE))

    def begin(self, run: str, step: int) -> int:
        """Note that a step is begun; the how-manieth time in a row it is that this did not end."""
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.incr(keys.begun(run, step))
            pipe.expire(keys.begun(run, step), REMEMBERED_SECONDS)
            return int(pipe.execute()[0])

    def give_back(self, run: str, step: int) -> None:
        """Take back a beginning: what came between was nobody's fault."""
        with redis_translated():
            self._redis.decr(keys.begun(run, step))

    def tell(self, run: str, said: dict[str, Any]) -> None:
        """Say how far the step in hand has come."""
        with redis_translated():
            self._redis.set(keys.progress(run), json.dumps(said), ex=HEARD_SECONDS)

    def heard(self, run: str) -> dict[str, Any]:
        """What was said last; empty where nothing was."""
        with redis_translated():
            said: dict[str, Any] = json.loads(self._redis.get(keys.progress(run)) or "{}")
            return said


def _lock(run: str) -> str:
    return f"training:{run}"
