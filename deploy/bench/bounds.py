"""The bare parts of a photograph's way, each alone with nothing around it: the network, the codec and the S3 client.

Nothing that is built of them can be faster. What is left to the story is reading files, hashing, counting and passing
on; what is left to a worker is the queue and the ledger.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count

import numpy as np

from photochrom.worker.coloring.colorize import compose
from photochrom.worker.inference.engine import Engine
from photochrom.worker.photo.base import orientation
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.metadata.xmp import Statement
from photochrom.worker.photo.read import Page, Photograph, read
from photochrom.worker.photo.write import Written, write
from photochrom.worker.s3.store import Location, NotFoundError, Store
from photochrom.worker.telemetry.stages import Spent

STATEMENT = Statement("benchmark", "0" * 64, "0" * 64, "spliced")
"""What the bare codec writes into its results: made before, as hashing is no part of it."""


class BareParts:
    """A photograph's network and its codec, to be asked for alone.

    Each page's gray copy, uint8 (h, w), and its chroma as the page is stored, float32 (2, h', w'), are made before.
    """

    def __init__(self, data: bytes, engine: Engine, options: Options, limits: Limits | None = None) -> None:
        """Raises ImageFault or WorkerFault for a photograph that cannot be coloured."""
        self._data, self._engine, self._options = data, engine, options
        self._limits = limits or Limits()
        self.grays: list[np.ndarray] = []
        self.chroma: list[np.ndarray] = []
        for page in self._read().pages:
            gray = page.gray(*engine.input_size(*page.upright_size))
            self.grays.append(gray)
            self.chroma.append(orientation.as_stored(engine.predict(gray), page.orientation))

    def network(self) -> None:
        """Predict the chroma of every page."""
        for gray in self.grays:
            self._engine.predict(gray)

    def codec(self) -> Written:
        """Read, compose and write, with the chroma that is there already."""
        photograph = self._read()
        return write(photograph, self._coloured(photograph), STATEMENT, self._options)

    def _read(self) -> Photograph:
        return read(io.BytesIO(self._data), self._limits, self._options)

    def _coloured(self, photograph: Photograph) -> Iterator[tuple[Page, Iterable[np.ndarray]]]:
        for page, chroma in zip(photograph.pages, self.chroma, strict=True):
            page.gray(*self._engine.input_size(*page.upright_size))
            yield page, compose(page, chroma)


def bare_s3_client(store: Store, source: Location, result: Location, target: Location) -> Callable[[], None]:
    """What a worker asks of S3 for an image, with nothing done to it: one HEAD, one GET, one conditional PUT.

    `source` and `result` lie there; what is put is a copy of the result, each time in another place below `target`.
    """
    data, numbers = store.get(*result).data, count()

    def ask() -> None:
        key = f"{target.prefix}{next(numbers)}"
        with suppress(NotFoundError):
            store.head(target.bucket, key)
        store.get(*source)
        store.put(target.bucket, key, data, if_absent=True)

    return ask


def spent_by(ways: Sequence[Callable[[], object]]) -> Spent:
    """Seconds of wall clock and CPU seconds of this process, in whatever thread, of each of these on average."""
    cpu, begun = time.process_time(), time.perf_counter()
    for way in ways:
        way()
    seconds = time.perf_counter() - begun
    return Spent(seconds / len(ways), (time.process_time() - cpu) / len(ways))
