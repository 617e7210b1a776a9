"""The batcher: one thread owns a model on a device and computes what many threads ask for, several pictures at a time.

A device takes about as long for one picture as for several, so that threads which come one by one would leave it idle.
Requests of one size and one vividness make a batch; it goes when it is full, or when its oldest request has waited.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from photochrom.worker.errors import OutOfMemoryFault, WorkerFault
from photochrom.worker.telemetry import metrics

Compute = Callable[[Sequence[np.ndarray], float | None], np.ndarray]
"""Gray uint8, each (h, w), and a vividness, to chroma float32 (n, 2, h', w'). Raises OutOfMemoryFault, WorkerFault."""

WAITING_BATCHES = 4
"""Of full size may wait; then callers wait before they are let in."""

BATCHES_UNTIL_LARGER = 100
"""After memory ran out, so many go well before twice as large ones are tried again: others may use the device, too."""


class Batching(NamedTuple):
    """At most so many images and pixels in a batch (one image always fits), and seconds that a request waits."""

    images: int
    wait: float
    pixels: int


@dataclass(eq=False)
class _Request:
    gray: np.ndarray
    vividness: float | None
    since: float
    answer: Future[np.ndarray] = field(default_factory=Future)


class Batcher:
    """Predicts for many threads. It ends by `close`, or by itself once nobody holds it; who still waits is answered."""

    def __init__(self, compute: Compute, batching: Batching) -> None:
        owner = _Owner(compute, batching)
        self._owner = owner
        self.close = weakref.finalize(self, owner.close)
        """Take nothing more, and end when all that was asked for is answered."""
        threading.Thread(target=owner.work, name="batcher", daemon=True).start()

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        """Gray uint8 (h, w) to chroma float32 (2, h', w'). Raises what computing it raises, WorkerFault once closed."""
        return self.submit(gray, vividness).result()

    def submit(self, gray: np.ndarray, vividness: float | None = None) -> Future[np.ndarray]:
        """Ask, and go on; but where too many wait, wait for a place among them. Raises WorkerFault once closed."""
        request = _Request(gray, vividness, time.monotonic())
        self._owner.take_in(request)
        return request.answer


class _Owner:
    """What the batcher's thread works on. It knows nothing of the `Batcher`, which can so be forgotten."""

    def __init__(self, compute: Compute, batching: Batching) -> None:
        self._compute, self._batching = compute, batching
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []
        self._closed = False
        self._pixels = batching.pixels
        self._went_well = 0

    def take_in(self, request: _Request) -> None:
        most = WAITING_BATCHES * self._batching.images
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < most)
            if self._closed:
                raise WorkerFault("this model's batcher has ended")
            self._waiting.append(request)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def work(self) -> None:
        """The thread: batch after batch, until it is closed and nobody waits."""
        batch: list[_Request] = []
        try:
            while batch := self._next():
                self._answer(batch)
        finally:
            self._refuse(batch)

    def _next(self) -> list[_Request]:
        """The next batch, waited for; empty once closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if not self._waiting:
                    return []
                if batch := self._due():
                    self._waiting = [request for request in self._waiting if request not in batch]
                    self._changed.notify_all()
                    return batch
                self._changed.wait(self._waiting[0].since + self._batching.wait - time.monotonic())

    def _due(self) -> list[_Request]:
        """A full batch, else the oldest request's, if that has waited; else nothing."""
        groups: dict[tuple[tuple[int, ...], float | None], list[_Request]] = {}
        for request in self._waiting:
            groups.setdefault((request.gray.shape, request.vividness), []).append(request)
        for (shape, _), group in groups.items():
            most = self._most(shape)
            if len(group) >= most:
                return group[:most]
        oldest = self._waiting[0]
        has_waited = self._closed or time.monotonic() - oldest.since >= self._batching.wait
        return groups[oldest.gray.shape, oldest.vividness] if has_waited else []

    def _most(self, shape: tuple[int, ...]) -> int:
        return max(1, min(self._batching.images, self._pixels // max(1, int(np.prod(shape)))))

    def _answer(self, batch: list[_Request]) -> None:
        """Each request its own answer or its own error: a batch that fails is tried in halves, or one by one."""
        try:
            found = self._compute([request.gray for request in batch], batch[0].vividness)
            answers = list(zip(batch, found, strict=True))
        except OutOfMemoryFault as fault:
            self._try_less(batch)
            self._apart(batch, max(1, len(batch) // 2), fault)
        except WorkerFault as fault:  # the device's: it would fail alone, too
            for request in batch:
                request.answer.set_exception(fault)
        except Exception as error:
            self._apart(batch, 1, error)
        else:
            metrics.BATCH.observe(len(batch))
            for request, chroma in answers:
                request.answer.set_result(chroma)
            self._try_more()

    def _apart(self, batch: list[_Request], size: int, error: Exception) -> None:
        if len(batch) == 1:
            batch[0].answer.set_exception(error)
            return
        for start in range(0, len(batch), size):
            self._answer(batch[start : start + size])

    def _try_less(self, batch: list[_Request]) -> None:
        self._pixels = sum(request.gray.size for request in batch) // 2
        self._went_well = 0

    def _try_more(self) -> None:
        self._went_well += 1
        if self._went_well >= BATCHES_UNTIL_LARGER:
            self._pixels = min(self._batching.pixels, 2 * self._pixels)
            self._went_well = 0

    def _refuse(self, batch: list[_Request]) -> None:
        """However the thread ended, nobody waits for ever."""
        self.close()
        with self._changed:
            left, self._waiting = [*batch, *self._waiting], []
        for request in left:
            if not request.answer.done():
                request.answer.set_exception(WorkerFault("this model's batcher has ended"))
