"""The story on local files, in this process, by stage, and its bare parts beside it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from photochrom.deploy.bench.bounds import BareParts, spent_by
from photochrom.deploy.bench.measurement import Bare, Passage
from photochrom.deploy.bench.photographs import Kind
from photochrom.worker.coloring.colorize import colorize_file
from photochrom.worker.formats import READ_ONLY
from photochrom.worker.inference.engine import Engine
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from photochrom.worker.settings import Settings, settings
from photochrom.worker.telemetry.stages import Spent, Stage, spent, stage

Timed = TypeVar("Timed", Passage, Spent)


def measure(kinds: list[Kind], engine: Engine, repetitions: int, tell: Callable[[str], None]) -> list[Passage]:
    """Each kind from file to file, and its bare parts, by turns; of each the repetition that took the median time.

    Raises ImageFault for a photograph that cannot be coloured, and WorkerFault.
    """
    taken: dict[str, list[Passage]] = {kind.name: [] for kind in kinds}
    alone: dict[str, list[dict[Bare, Spent]]] = {kind.name: [] for kind in kinds}
    parts = {kind.name: _parts(kind, engine) for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="photochrom-") as folder:
        files = {kind.name: _written(kind, Path(folder) / str(place)) for place, kind in enumerate(kinds)}
        for repetition in range(repetitions + 1):
            for kind, sources in files.items():
                tell(f"{kind}, on local files, {repetition or 'warming up'}")
                taken[kind].append(_pass(kind, sources, Path(folder) / "result", engine))
                alone[kind].append(_alone(parts[kind]))
    return [replace(median(passages[1:]), bounds=_medians(alone[kind][1:])) for kind, passages in taken.items()]


def median(found: Sequence[Timed]) -> Timed:
    """The one that took the median time: its stages still add up, as medians of each would not."""
    return sorted(found, key=lambda one: one.seconds)[len(found) // 2]


def story(source: Path, target: Path, engine: Engine, chosen: Settings) -> None:
    """One photograph from file to file; to read it is part of "read", to write the result is "store"."""
    options = _options(source.suffix, chosen)
    with source.open("rb") as file:
        written = colorize_file(file, engine, chosen, options)
    with written.body, stage("store"), target.open("wb") as file:
        shutil.copyfileobj(written.body, file)


def _options(suffix: str, chosen: Settings) -> Options:
    return Options.of(chosen, READ_ONLY.get(suffix.lower()), None)


def _parts(kind: Kind, engine: Engine) -> list[BareParts]:
    chosen = settings()
    limits = Limits.of(chosen)
    return [BareParts(sample.data, engine, _options(sample.suffix, chosen), limits) for sample in kind.samples]


def _alone(parts: list[BareParts]) -> dict[Bare, Spent]:
    return {"network": spent_by([each.network for each in parts]), "codec": spent_by([each.codec for each in parts])}


def _medians(found: list[dict[Bare, Spent]]) -> dict[Bare, Spent]:
    return {name: median([one[name] for one in found]) for name in found[0]}


def _pass(kind: str, sources: list[Path], target: Path, engine: Engine) -> Passage:
    target.unlink(missing_ok=True)  # to cut off another kind's large result would be counted as this one's store
    before, cpu, begun = spent(), time.process_time(), time.perf_counter()
    for source in sources:
        story(source, target, engine, settings())
    seconds, cpu, after = time.perf_counter() - begun, time.process_time() - cpu, spent()
    return Passage(kind, len(sources), seconds, difference(before, after), cpu)


def difference(before: dict[Stage, Spent], after: dict[Stage, Spent]) -> dict[Stage, Spent]:
    """What was spent between two looks."""
    return {
        name: Spent(after[name].seconds - before[name].seconds, after[name].cpu - before[name].cpu) for name in after
    }


def _written(kind: Kind, folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{place}{sample.suffix}" for place, sample in enumerate(kind.samples)]
    for path, sample in zip(paths, kind.samples, strict=True):
        path.write_bytes(sample.data)
    return paths
