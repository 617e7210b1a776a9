"""Photographs through a whole Photochrom on this machine: what they cost the workers, by stage, and the servers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

from prometheus_client.multiprocess import MultiProcessCollector

from photochrom.deploy.bench.bounds import bare_s3_client, spent_by
from photochrom.deploy.bench.local_files import difference, median
from photochrom.deploy.bench.machine import cpu_seconds
from photochrom.deploy.bench.measurement import Passage
from photochrom.deploy.bench.photographs import Kind
from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.stack import Stack
from photochrom.worker.errors import WorkerFault
from photochrom.worker.ledger.ledger import Counts, Ledger
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings
from photochrom.worker.telemetry.exporter import FOLDER
from photochrom.worker.telemetry.stages import STAGES, Spent, Stage

READ, WRITE = "s3://photochrom-bench-in/", "s3://photochrom-bench-out/"

POLL = 0.02  # seconds between two looks at the ledger
STUCK_AFTER = 300.0  # seconds without any outcome
SETTLING = 0.2  # seconds after the last outcome, in which the last job is acknowledged

BARE_CALLS = 5
"""Of the bare S3 client for each kind, at least; each of the kind's photographs is asked for equally often."""


ONE_THREAD = "PHOTOCHROM_TORCH_THREADS"
"""Of each worker, as on local files, also where there are fewer workers than cores."""


Wait = Callable[[], float]
"""Called between two looks at the ledger; gives back the seconds for which it let the stack stand still."""


def _wait() -> float:
    time.sleep(POLL)
    return 0.0


class Measured:
    """A running stack whose workers count their stages. `passage` may be asked again and again."""

    def __init__(self, stack: Stack, settings: Settings, metrics: Path) -> None:
        self.stack = stack
        self.settings = settings
        self.store = Store(settings)
        self.ledger = Ledger(settings)
        self.looks = 0
        """How many there were at the ledger."""
        self._metrics = metrics
        self._number = 0
        self._last = READ, WRITE

    def passage(self, kind: Kind, images: int) -> Passage:
        """So many photographs of a kind, uploaded, submitted and waited for.

        The clock runs from the first outcome to the last, which leaves out how long a submission takes to begin; CPU
        and stages are those of all. Raises WorkerFault if a process dies, nothing moves, or images are quarantined.
        """
        self._number += 1
        source, destination = f"{READ}{self._number}/", f"{WRITE}{self._number}/"
        self.upload(kind, images, source)
        return self.submitted(kind.name, source, destination, images)

    def submitted(self, kind: str, source: str, destination: str, images: int, wait: Wait = _wait) -> Passage:
        """The same with photographs that were uploaded before."""
        self._last = source, destination
        workers = list(self.stack.workers.values())
        servers = [process for process in self.stack.everything() if process not in workers]
        before, cpu, servers_cpu = spent_in(self._metrics), cpu_of(workers), cpu_of(servers)
        seconds = self._submit(source, destination, images, wait)
        time.sleep(SETTLING)
        return Passage(
            kind,
            images,
            seconds,
            difference(before, spent_in(self._metrics)),
            cpu_of(workers) - cpu,
            processes=len(workers),
            servers_cpu=cpu_of(servers) - servers_cpu,
            overlapping=True,
        )

    def bare_s3_clients(self, images: int) -> Iterator[Callable[[], None]]:
        """The bare S3 client, for so many of the last passage's sources and their results, one in memory at a time."""
        sources, results = (self._objects(Location.parse(place), images) for place in self._last)
        target = Location.parse(f"{WRITE}bare/{time.time_ns()}")
        for number, (source, result) in enumerate(zip(sources, results, strict=True)):
            yield bare_s3_client(self.store, source, result, Location(target.bucket, f"{target.prefix}/{number}/"))

    def _objects(self, place: Location, images: int) -> list[Location]:
        return [Location(place.bucket, listed.key) for listed in islice(self.store.list(place), images)]

    def upload(self, kind: Kind, images: int, source: str) -> None:
        """So many objects below `source`, of the kind's photographs in turn."""
        bucket, _, prefix = source.removeprefix("s3://").partition("/")
        for number, sample in enumerate(islice(cycle(kind.samples), images)):
            self.store.put(bucket, f"{prefix}{number:05d}{sample.suffix}", sample.data)

    def _submit(self, source: str, destination: str, images: int, wait: Wait) -> float:
        """Submit what lies there and wait for its end; gives back the seconds that so many images took."""
        from photochrom.producer.records.submission import submit

        submission = submit(source, destination, settings=self.settings)
        first, _ = self._until(lambda counts: counts.done > 0, submission, wait)
        begun = time.monotonic()
        _, stood = self._until(lambda counts: counts.done >= images, submission, wait)
        seconds = time.monotonic() - begun - stood
        return seconds * images / max(1, images - first.done)

    def _until(self, reached: Callable[[Counts], bool], submission: str, wait: Wait) -> tuple[Counts, float]:
        """Wait until the ledger says so; gives back the seconds for which the stack stood still. Raises WorkerFault."""
        counts, moved, stood = self._look(submission), time.monotonic(), 0.0
        while not reached(counts):
            self.stack.check()
            if counts.quarantined:
                raise WorkerFault(f"{counts.quarantined} of the photographs were quarantined: {counts.reasons}")
            if time.monotonic() - moved > STUCK_AFTER:
                raise WorkerFault(f"nothing has moved for {STUCK_AFTER:.0f} s")
            stood += wait()
            now = self._look(submission)
            counts, moved = now, (time.monotonic() if now != counts else moved)
        return counts, stood

    def _look(self, submission: str) -> Counts:
        self.looks += 1
        return self.ledger.counts(submission)


@contextmanager
def measured_stack(workers: int | None = None) -> Iterator[Measured]:
    """A stack whose workers count their stages; nothing of it is left behind. Raises WorkerFault, UsageError."""
    with ExitStack() as ends:
        metrics = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="photochrom-metrics-")))
        environment = {FOLDER: str(metrics), ONE_THREAD: "1"}
        stack = ends.enter_context(Stack(read=[READ], write=[WRITE], workers=workers, environment=environment))
        yield Measured(stack, ends.enter_context(stack.exported()), metrics)


def measure(
    kinds: list[Kind], workers: int | None, images: Callable[[Kind], int], tell: Callable[[str], None]
) -> list[Passage]:
    """Each kind through the stack once, after a few that warm the workers up, and then the bare S3 client.

    Raises WorkerFault.
    """
    tell("starting servers and workers")
    with measured_stack(workers) as measured:
        tell("warming up")
        measured.passage(kinds[0], 4 * len(measured.stack.workers))
        passages = []
        for kind in kinds:
            tell(f"{kind.name}, through the stack")
            passage = measured.passage(kind, images(kind))
            passages.append(replace(passage, bounds={"s3_client": _bare_s3_client(measured, len(kind.samples))}))
        return passages


def _bare_s3_client(measured: Measured, images: int) -> Spent:
    """Of the last passage's first images on average; each by the median of as many calls as make enough in all."""
    calls = -(-BARE_CALLS // images)
    found = [median([spent_by([ask]) for _ in range(calls)]) for ask in measured.bare_s3_clients(images)]
    return Spent(sum(each.seconds for each in found) / images, sum(each.cpu for each in found) / images)


def spent_in(metrics: Path) -> dict[Stage, Spent]:
    """What all processes that count in a folder have spent so far, by stage."""
    samples = [
        sample
        for metric in MultiProcessCollector(None, str(metrics)).collect()
        for sample in metric.samples
        if "stage" in sample.labels and sample.name.endswith("_seconds_total")
    ]
    cpu = {sample.labels["stage"]: sample.value for sample in samples if "_cpu_" in sample.name}
    seconds = {sample.labels["stage"]: sample.value for sample in samples if "_cpu_" not in sample.name}
    return {name: Spent(seconds.get(name, 0.0), cpu.get(name, 0.0)) for name in STAGES}


def cpu_of(processes: list[Process]) -> float:
    """CPU seconds that processes and their children have taken so far."""
    return sum(cpu_seconds(process.pid) for process in processes)
