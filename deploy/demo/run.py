"""The whole system once on this machine: photographs up, coloured, down again, and a page to look at them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from photochrom.deploy.demo.samples import Photograph, own_photographs, sample_photographs
from photochrom.deploy.stack.process import LoggedFault
from photochrom.deploy.stack.stack import Stack
from photochrom.worker.errors import UsageError
from photochrom.worker.s3.store import Location, NotFoundError, Store
from photochrom.worker.settings import Settings

if TYPE_CHECKING:
    from photochrom.producer.records.progress import Progress

BUCKET = "photochrom-demo"
GRAY, COLOURED, REAL = "gray", "coloured", "real"
"""Folders of the output, and the first two prefixes of the run in the bucket."""

POLL = 0.1  # seconds between two looks at the progress
STUCK_AFTER = 300.0  # seconds without any change; the largest photograph takes a fraction of that

Outcome = Literal["done", "quarantined", "missing"]


@dataclass(frozen=True)
class Result:
    """What became of one photograph. `reason` and `message` are those of its quarantine."""

    key: str
    title: str
    origin: str
    broken_on_purpose: bool
    has_real_colours: bool
    outcome: Outcome = "missing"
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Report:
    """A run: `seconds` go from the submission to the last outcome; `version` is the model's SHA-256, 12 digits."""

    submission: str
    results: tuple[Result, ...]
    seconds: float
    model: str
    version: str

    def count(self, outcome: Outcome) -> int:
        return sum(result.outcome == outcome for result in self.results)

    @property
    def images_per_second(self) -> float:
        return len(self.results) / self.seconds

    @property
    def succeeded(self) -> bool:
        """Whether everything was coloured that was not broken on purpose."""
        return all(result.outcome == "done" or result.broken_on_purpose for result in self.results)

    def summary(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "submission": self.submission,
            "images": len(self.results),
            "done": self.count("done"),
            "quarantined": self.count("quarantined"),
            "missing": self.count("missing"),
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images_per_second, 2),
            "model": self.model,
            "model_version": self.version,
            "results": [vars(result) for result in self.results],
        }


def demonstrate(photos: Path | None, out: Path, model: str, tell: Callable[[str, int, int], None]) -> Report:
    """Colour the samples, or the photographs of a folder, and leave everything there is to see in `out`.

    `tell(what, done, total)` hears what is going on; a total of 0 is not known yet. Raises UsageError and WorkerFault.
    """
    from photochrom.producer.records.submission import submit

    photographs = own_photographs(photos, besides=out) if photos else sample_photographs()
    first = next(photographs, None)
    if first is None:
        raise UsageError(f"no photographs in {photos} (.jpg, .jpeg, .png, .tif, .tiff)")
    run = f"s3://{BUCKET}/{time.time_ns()}"
    source, destination = Location.parse(f"{run}/{GRAY}/"), Location.parse(f"{run}/{COLOURED}/")
    tell("starting servers and workers", 0, 0)
    with (
        Stack(read=[str(source)], write=[str(destination)]) as stack,
        stack.exported() as settings,
    ):
        store = Store(settings)
        uploaded = upload(chain([first], photographs), source, store, out, tell)
        started = time.monotonic()
        submission = submit(str(source), str(destination), model=model, settings=settings)
        watch(submission, len(uploaded), stack, settings, tell)
        seconds = time.monotonic() - started
        results = with_reasons(uploaded, submission, source, settings)
        results, name, version = download(results, destination, store, out)
    return Report(submission, tuple(results), seconds, name or model, version)


def upload(
    photographs: Iterable[Photograph], source: Location, store: Store, out: Path, tell: Callable[[str, int, int], None]
) -> list[Result]:
    """Put gray files into the bucket, and into `out` beside their real colours where they had any."""
    uploaded: list[Result] = []
    for photograph in photographs:
        tell("uploading", len(uploaded), 0)
        _write(out / GRAY / photograph.key, photograph.data)
        _write(out / REAL / f"{photograph.key}.jpg", photograph.colour)
        store.put(source.bucket, source.prefix + photograph.key, photograph.data)
        has_colours = photograph.colour is not None
        uploaded.append(Result(photograph.key, photograph.title, photograph.origin, photograph.broken, has_colours))
    return uploaded


def watch(
    submission: str, total: int, stack: Stack, settings: Settings, tell: Callable[[str, int, int], None]
) -> Progress:
    """Wait until every image has its outcome. Raises WorkerFault if a process dies or nothing moves any more."""
    from photochrom.producer.records.progress import progress

    ended, moved = -1, time.monotonic()
    while True:
        now = progress(submission, settings)
        if now.done + now.quarantined != ended:
            ended, moved = now.done + now.quarantined, time.monotonic()
            tell("colouring", ended, total)
        if now.ended:
            return now
        stack.check()
        if time.monotonic() - moved > STUCK_AFTER:
            logs = "\n".join(f"{name}:\n{process.tail()}" for name, process in stack.workers.items())
            raise LoggedFault(f"nothing has moved for {STUCK_AFTER:.0f} s; the logs of the workers:\n{logs}")
        time.sleep(POLL)


def with_reasons(results: list[Result], submission: str, source: Location, settings: Settings) -> list[Result]:
    """The results, with what the quarantine says of them."""
    from photochrom.producer.records.progress import quarantined

    records = {record.key.removeprefix(source.prefix): record for record in quarantined(submission, settings)}
    return [
        replace(result, outcome="quarantined", reason=record.reason, message=record.message)
        if (record := records.get(result.key))
        else result
        for result in results
    ]


def download(results: list[Result], destination: Location, store: Store, out: Path) -> tuple[list[Result], str, str]:
    """Fetch what was coloured into `out`; the results, and the name and version of the model as they record it."""
    fetched, name, version = [], "", ""
    for result in results:
        data = None
        if result.outcome != "quarantined":
            try:
                stored = store.get(destination.bucket, destination.prefix + result.key)
                data, result = stored.data, replace(result, outcome="done")
                name, version = stored.metadata.get("model", ""), stored.metadata.get("model-sha256", "")[:12]
            except NotFoundError:
                pass
        _write(out / COLOURED / result.key, data)
        fetched.append(result)
    return fetched, name, version


def _write(path: Path, data: bytes | None) -> None:
    """Write a file, or remove that of an earlier run."""
    if data is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
