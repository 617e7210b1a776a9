"""No call of S3 takes for ever: one that is slower than its size allows is cut off, wherever it hangs.

A time-out of a socket counts from the last byte: a server that sends one now and then is never late. So each call has a
time by which it has to be through, a thread looks after all of them, and shuts the connection of one that is late.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from photochrom.worker.errors import RetryableError

LOOK_SECONDS = 1.0
"""Between two looks for calls that are late."""

IDLE_LOOKS = 60
"""After so many with nothing to look after the thread ends; another is started when it is needed."""

SMALL_BYTES = 2**20
"""Reckoned for every call beside its body: what is asked, and what comes back. A page of a listing has less."""


class Call:
    """One call in hand: which connection it uses, and by when it has to be through."""

    def __init__(self, patience: float, rate: float, size: int, connection: Any = None) -> None:
        self._patience, self._rate, self._size = patience, rate, size
        self.connection = connection
        self.is_cut = False
        self.begin()

    def begin(self) -> None:
        """From now on the time counts: for what is sent, for an answer to begin, and for what comes back."""
        self.seconds = 2 * self._patience + (self._size + SMALL_BYTES) / self._rate
        self.until = time.monotonic() + self.seconds

    def expect(self, size: int) -> None:
        """The answer has begun, and has a body of so many bytes: from now on the time counts for that."""
        self.seconds = self._patience + size / self._rate
        self.until = time.monotonic() + self.seconds

    def cut(self) -> None:
        """End it from another thread: whoever waits for the connection gets an error, or the end of its data."""
        self.is_cut = True
        if self.connection is not None:
            with suppress(OSError, TypeError):  # of a TLS socket only what is below: the other thread is inside it
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)


_current: ContextVar[Call | None] = ContextVar("call", default=None)


class Deadlines:
    """The calls in hand of one client. `patience` in seconds, `rate` in bytes a second."""

    def __init__(self, patience: float, rate: float) -> None:
        self._patience, self._rate = patience, rate
        self._lock = threading.Lock()
        self._calls: set[Call] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, size: int = 0, connection: Any = None) -> Iterator[Call]:
        """For one call that sends so many bytes, and what is read of its answer: RetryableError where it is cut off.

        `connection` is that of a call before, whose body is still being read.
        """
        call = Call(self._patience, self._rate, size, connection)
        before = _current.set(call)
        self._look_after(call)
        try:
            yield call
        except Exception as error:
            if call.is_cut:
                raise RetryableError(f"S3 is too slow: not through after {call.seconds:.0f} s") from error
            raise
        finally:
            _current.reset(before)
            with self._lock:
                self._calls.discard(call)

    def _look_after(self, call: Call) -> None:
        with self._lock:
            self._calls.add(call)
            if self._thread is None or not self._thread.is_alive():  # none in a child that was forked
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        idle = 0
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:  # a call that has ended meanwhile is not cut: its connection may be another's now
                now = time.monotonic()
                for call in self._calls:
                    if call.until < now and not call.is_cut:
                        call.cut()
                idle = 0 if self._calls else idle + 1
                if idle >= IDLE_LOOKS:
                    self._thread = None
                    return


def is_cut() -> bool:
    """Whether the call in hand of this thread was cut off: there is no use in trying it again at once."""
    call = _current.get()
    return call is not None and call.is_cut


class _Noting:
    """Of a connection: notes it for the call in hand."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        _note(self.sock)

    def request(self, *arguments: Any, **options: Any) -> Any:
        call = _current.get()
        if call:
            call.begin()
        _note(self.sock)
        return super().request(*arguments, **options)  # type: ignore[misc]


def _note(connection: Any) -> None:
    call = _current.get()
    if call and connection is not None:
        call.connection = connection
        if call.is_cut:  # it was late before it had one, while a name was looked up, say
            call.cut()


class _Connection(_Noting, AWSHTTPConnection):
    pass


class _TlsConnection(_Noting, AWSHTTPSConnection):
    pass


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def note_connections(client: Any) -> None:
    """Let the calls of a client be cut off. botocore has no other way to its connections than this one of its own."""
    client._endpoint.http_session._pool_classes_by_scheme.update(http=_Pool, https=_TlsPool)
