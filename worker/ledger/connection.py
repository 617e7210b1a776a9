"""The connection to Redis: how it is made, how its errors become ours, and locks that outlive nobody for long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger import keys
from photochrom.worker.settings import Settings

RETRIES = 8
"""Tries after a lost connection, with backoff and jitter: about 10 s in all, enough for Redis to be restarted."""


def connection(settings: Settings) -> Any:  # redis-py's annotations know bytes and text at once
    """A client that may be shared between threads, never between processes."""
    return redis.Redis.from_url(
        settings.redis_url.get_secret_value(),
        decode_responses=True,
        encoding_errors="backslashreplace",  # what others wrote may be anything
        health_check_interval=30,
        retry=Retry(ExponentialWithJitterBackoff(base=0.1, cap=3.0), RETRIES),
    )


@contextmanager
def redis_translated() -> Iterator[None]:
    """Turn Redis's errors into ours; the URL, which may hold a password, stays out of the message."""
    try:
        yield
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:  # BusyLoading is one of them
        raise RetryableError(f"Redis cannot be reached ({type(error).__name__})") from error
    except redis.exceptions.RedisError as error:  # out of memory, a replica, a disk that is full
        raise RetryableError(f"Redis refuses ({type(error).__name__})") from error


@contextmanager
def locked(client: Any, name: str, seconds: float, patience: float = 0.0) -> Iterator[bool]:
    """Whether nobody else holds the lock, or gives it back within `patience` seconds.

    Kept until the end, or some seconds after this process was killed.
    """
    lock = client.lock(keys.lock(name), timeout=seconds, thread_local=False)
    with redis_translated():
        held = lock.acquire(blocking=patience > 0, blocking_timeout=patience)
    if not held:
        yield False
        return
    over, every = threading.Event(), seconds / 3
    threading.Thread(target=_renew, args=(lock, over, every), name=f"lock {name}", daemon=True).start()
    try:
        yield True
    finally:
        over.set()
        with redis_translated(), suppress(redis.exceptions.LockError):  # it ran out: it is somebody else's now
            lock.release()


def _renew(lock: Any, over: threading.Event, every: float) -> None:
    """Keep a lock for as long as its holder works."""
    while not over.wait(every):
        with suppress(redis.exceptions.RedisError):
            lock.reacquire()
