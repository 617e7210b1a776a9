"""The story on local files in a process of its own, with one thread, as a worker's process has it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.benchmarks.child import Child, serve

WARM_UP = 3
"""Images that are coloured before it is ready."""


class Taken(NamedTuple):
    """What so many images took: wall-clock and CPU seconds in all, seconds of each image, and bytes of memory that
    the process held after each hundredth."""

    images: int
    seconds: float
    cpu: float
    each: list[float]
    resident: list[int]


class LocalProcess:
    """A warm child that colours one file again and again. Use it as `with LocalProcess(data, ".jpg") as process`."""

    def __init__(self, data: bytes, suffix: str) -> None:
        self._source = data, f"source{suffix}"
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            data, name = self._source
            source = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="photochrom-"))) / name
            source.write_bytes(data)
            self._child = ends.enter_context(Child("tests.benchmarks.local_process", str(source)))
            self._ends = ends.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ends.close()

    def begin(self, images: int) -> None:
        """Let it colour so many; `end` waits for them."""
        self._child.tell(str(images))

    def end(self) -> Taken:
        return Taken(**json.loads(self._child.hear()))

    def colour(self, images: int) -> Taken:
        self.begin(images)
        return self.end()


def main(source: Path) -> None:
    """What the child does."""
    from photochrom.deploy.bench.local_files import story
    from photochrom.worker.inference.engine import load_engine, prepare_process
    from photochrom.worker.settings import settings

    prepare_process(threads=1)
    engine, target = load_engine("vgg16-yuv"), source.with_name("result")

    def colour() -> None:
        story(source, target, engine, settings())

    for _ in range(WARM_UP):
        colour()
    serve(lambda images: json.dumps(_taken(colour, int(images))))


def _taken(colour: Callable[[], None], images: int) -> dict[str, Any]:
    from photochrom.deploy.bench.machine import resident_bytes

    each, resident = [], []
    cpu, begun = time.process_time(), time.perf_counter()
    for number in range(1, images + 1):
        before = time.perf_counter()
        colour()
        each.append(time.perf_counter() - before)
        if number % 100 == 0 or number == images:
            resident.append(resident_bytes())
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {"images": images, "seconds": seconds, "cpu": cpu, "each": each, "resident": resident}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
