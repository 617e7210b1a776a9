"""`photochrom bench`: where the time of a photograph goes on this machine, and how near that is to what bounds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from photochrom.deploy.bench import local_files
from photochrom.deploy.bench.machine import describe
from photochrom.deploy.bench.measurement import Passage, bottleneck
from photochrom.deploy.bench.photographs import Kind, generated, own
from photochrom.deploy.bench.ratios import Place, bound_rows, on_local_files, ratio_rows, through_stack
from photochrom.worker.inference.engine import Engine, load_engine, prepare_process
from photochrom.worker.telemetry.stages import STAGES

MEGABYTES_THROUGH_STACK = 64
FEWEST_THROUGH_STACK, MOST_THROUGH_STACK = 8, 96
"""Through the stack go so many megabytes of each kind, but at least and at most so many images."""

TITLES: dict[Place, str] = {
    "local": "On local files, one process with one thread",
    "stack": "Through queue and S3",
}

CAPTIONS: dict[Place, str] = {
    "local": "Wall clock, where CPU is not said. The bound: network and codec alone, one after the other.",
    "stack": "Wall clock, where CPU is not said. The bound: the CPU of the three bare parts.",
}


@dataclass(frozen=True)
class Report:
    """What was measured: on local files and, where asked for, through the whole stack."""

    machine: str
    model: str
    local: list[Passage]
    stack: list[Passage]

    @property
    def closing(self) -> str:
        """What is the bottleneck, in one line."""
        if self.stack:
            return f"The bottleneck through the stack: {bottleneck(self.stack)}."
        return f"The bottleneck on local files: {bottleneck(self.local)}."

    def tables(self) -> list[Table]:
        """For people, one for each place."""
        told = self.summary()
        passages: dict[Place, list[Passage]] = {"local": self.local, "stack": self.stack}
        return [table(place, measured, told[place]) for place, measured in passages.items() if measured]

    def summary(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        local = {passage.kind: passage for passage in self.local}
        return {
            "machine": self.machine,
            "model": self.model,
            "local": [passage.summary() | {"ratios": on_local_files(passage)} for passage in self.local],
            "stack": [
                passage.summary() | {"ratios": through_stack(passage, local[passage.kind])} for passage in self.stack
            ],
            "bottleneck": self.closing,
        }


def bench(
    files: list[Path],
    model: str,
    repetitions: int,
    workers: int | None,
    with_stack: bool,
    tell: Callable[[str], None],
) -> Report:
    """Measure the generated photographs, or the user's own, on local files and through the stack.

    `tell` hears what is going on. Raises UsageError, ImageFault and WorkerFault.
    """
    tell("making photographs" if not files else "reading photographs")
    kinds = [own(files)] if files else generated()
    prepare_process(threads=1)
    engine: Engine = load_engine(model)
    local = local_files.measure(kinds, engine, repetitions, tell)
    name = f"{engine.card.name} {engine.card.sha256[:12]}; {engine.describe()}"
    stack = _through_stack(kinds, workers, tell) if with_stack else []
    return Report(describe(), name, local, with_bounds(stack, local))


def _through_stack(kinds: list[Kind], workers: int | None, tell: Callable[[str], None]) -> list[Passage]:
    from photochrom.deploy.bench import through_stack as bench_stack  # its servers are an extra

    return bench_stack.measure(kinds, workers, images_for, tell)


def with_bounds(stack: list[Passage], local: list[Passage]) -> list[Passage]:
    """Passages through the stack with the bounds that were measured beside those on local files as well."""
    bounds = {passage.kind: passage.bounds for passage in local}
    return [replace(passage, bounds=bounds[passage.kind] | passage.bounds) for passage in stack]


def images_for(kind: Kind) -> int:
    """How many go through the stack: each file at least once, and enough for a rate."""
    wanted = round(MEGABYTES_THROUGH_STACK * 1e6 / kind.mean_bytes)
    return max(len(kind.samples), min(max(wanted, FEWEST_THROUGH_STACK), MOST_THROUGH_STACK))


def table(place: Place, passages: list[Passage], told: list[dict[str, Any]]) -> Table:
    """Stages down, kinds of photographs across: milliseconds of an image, and the share of all stages; below them the
    bounds and ratios, from what is told of the passages to machines."""
    made = Table(title=TITLES[place], title_justify="left", caption=CAPTIONS[place], caption_justify="left")
    made.add_column("ms an image")
    for passage in passages:
        made.add_column(passage.kind, justify="right")
    for stage in (stage for stage in STAGES if any(passage.stages[stage].seconds for passage in passages)):
        made.add_row(stage, *(_cell(p.stages[stage].seconds / p.images, p.share(stage)) for p in passages))
    made.add_section()
    made.add_row("all stages", *(_cell(p.in_stages.seconds / p.images) for p in passages))
    made.add_row("CPU within them", *(_cell(p.in_stages.cpu / p.images) for p in passages))
    made.add_row("CPU beside them", *(_cell(p.cpu_beside / p.images) for p in passages))
    if any(passage.servers_cpu for passage in passages):
        made.add_row("CPU of the servers", *(_cell(p.servers_cpu / p.images) for p in passages))
    made.add_section()
    for row in bound_rows(place, told):
        made.add_row(*row)
    made.add_section()
    made.add_row("processes", *(str(passage.processes) for passage in passages))
    made.add_row("images/s", *(f"{passage.images_per_second:.1f}" for passage in passages))
    for row in ratio_rows(told):
        made.add_row(*row)
    return made


def _cell(seconds: float, share: float | None = None) -> str:
    return f"{seconds * 1e3:.1f}" + ("" if share is None else f"  {share:4.0%}")
