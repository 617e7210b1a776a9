"""The ledger: for every image of a submission one bit for done and one for quarantined, in Redis.

S3 is the truth, Redis may be lost. All Redis keys of Photochrom are made here, but for Celery's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis

from worker.errors import RetryableError
from worker.settings import Settings

KEPT_AFTER_END = 7 * 24 * 3600
"""Seconds for which the ledger of an ended submission stays in Redis."""

LOCK_SECONDS = 60

# An image ends once: the first outcome counts, whatever is delivered again.
_RECORD = """
if redis.call('GETBIT', KEYS[1], ARGV[1]) == 1 or redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then
    return 0
end
if ARGV[2] == '' then
    redis.call('SETBIT', KEYS[1], ARGV[1], 1)
else
    redis.call('SETBIT', KEYS[2], ARGV[1], 1)
    redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
end
return 1
"""

_ACTIVE = "photochrom:active"


class Counts(NamedTuple):
    """What the bitmaps say of one submission."""

    done: int
    quarantined: int
    reasons: dict[str, int]


class Ledger:
    """A connection to the ledger. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        # redis-py's annotations know bytes and text at once
        self._redis: Any = redis.Redis.from_url(
            settings.redis_url.get_secret_value(), decode_responses=True, health_check_interval=30
        )
        self._record = self._redis.register_script(_RECORD)

    def record_done(self, submission: str, ordinal: int) -> bool:
        """Note that an image is done; False when it had ended before."""
        return self._end(submission, ordinal, "")

    def record_quarantined(self, submission: str, ordinal: int, reason: str) -> bool:
        """Note that an image is quarantined; False when it had ended before."""
        return self._end(submission, ordinal, reason)

    def _end(self, submission: str, ordinal: int, reason: str) -> bool:
        keys = [_key(submission, part) for part in ("done", "quarantined", "reasons")]
        with _translated():
            return bool(self._record(keys=keys, args=[ordinal, reason]))

    def ended(self, submission: str, ordinals: list[int]) -> set[int]:
        """Those of the ordinals that have an outcome already."""
        with _translated(), self._redis.pipeline(transaction=False) as pipe:
            for ordinal in ordinals:
                pipe.getbit(_key(submission, "done"), ordinal)
                pipe.getbit(_key(submission, "quarantined"), ordinal)
            bits = pipe.execute()
        return {ordinal for place, ordinal in enumerate(ordinals) if bits[2 * place] or bits[2 * place + 1]}

    def counts(self, submission: str) -> Counts:
        """Counted from the bitmaps, so that nothing can drift."""
        with _translated(), self._redis.pipeline() as pipe:
            pipe.bitcount(_key(submission, "done"))
            pipe.bitcount(_key(submission, "quarantined"))
            pipe.hgetall(_key(submission, "reasons"))
            done, quarantined, reasons = pipe.execute()
        return Counts(done, quarantined, {reason: int(count) for reason, count in reasons.items()})

    def activate(self, submission: str) -> None:
        """Put a submission before the control process."""
        with _translated():
            self._redis.sadd(_ACTIVE, submission)

    def active(self) -> list[str]:
        """Submissions that are not ended, oldest first (their names begin with their time)."""
        with _translated():
            return sorted(self._redis.smembers(_ACTIVE))

    def retire(self, submission: str) -> None:
        """Take an ended submission from the control process; what Redis knows of it will pass away."""
        with _translated(), self._redis.pipeline() as pipe:
            pipe.srem(_ACTIVE, submission)
            for part in ("done", "quarantined", "reasons", "cursor"):
                pipe.expire(_key(submission, part), KEPT_AFTER_END)
            pipe.execute()

    def cursor(self, submission: str) -> dict[str, str]:
        """How far the listing of a submission has come: what `move_cursor` last wrote, or nothing."""
        with _translated():
            return self._redis.hgetall(_key(submission, "cursor"))

    def move_cursor(self, submission: str, **values: str | int) -> None:
        with _translated():
            self._redis.hset(_key(submission, "cursor"), mapping=values)

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        """Whether nobody else holds the lock; it is let go at the end, or by itself after a minute."""
        lock = self._redis.lock(f"photochrom:lock:{name}", timeout=LOCK_SECONDS, blocking=False)
        with _translated():
            held = lock.acquire()
        try:
            yield held
        finally:
            if held:
                with _translated(), _ignored(redis.exceptions.LockError):
                    lock.release()


def _key(submission: str, part: str) -> str:
    return f"photochrom:submission:{submission}:{part}"


@contextmanager
def _ignored(error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except error:  # the lock ran out while we held it: it is somebody else's now
        return


@contextmanager
def _translated() -> Iterator[None]:
    """Turn Redis's errors into ours; the URL, which may hold a password, stays out of the message."""
    try:
        yield
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:  # BusyLoading is one of them
        raise RetryableError(f"Redis cannot be reached ({type(error).__name__})") from error
    except redis.exceptions.RedisError as error:  # out of memory, a replica, a disk that is full
        raise RetryableError(f"Redis refuses ({type(error).__name__})") from error
