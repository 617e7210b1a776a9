"""Everything that Photochrom says of its speed, measured in one run: `make bench`.

Each section prints a table of figures, with the target and whether it is met beside those that have one; all of them
are written as JSON with the machine's description. A missed target is told, and no failure: see --strict.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from photochrom.deploy.bench.machine import describe
from photochrom.worker.inference.engine import load_engine, prepare_process
from photochrom.worker.settings import settings
from tests.benchmarks.figures import Plan, Section, missed, summary
from tests.benchmarks.story import MODEL

SECTIONS = {
    "story": "tests.benchmarks.story",
    "queue": "tests.benchmarks.through_queue",
    "peers": "tests.benchmarks.peers",
    "scaling": "tests.benchmarks.scaling",
    "start": "tests.benchmarks.start",
    "batching": "tests.benchmarks.simulated",
}
"""In the order in which they are measured; each module has `measure(plan) -> Section`."""

ENGINE = "PHOTOCHROM_ENGINE"

WIDTH = 120  # of the tables, where they are written to a file


def main(arguments: list[str] | None = None) -> int:
    """Gives back the exit code: 0, or 1 with --strict and a missed target."""
    wanted = _parser().parse_args(arguments)
    plan = Plan(wanted.short, wanted.repetitions)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    engine = settle_engine()
    sections: dict[str, Section] = {}
    for name in wanted.only:
        begun = time.monotonic()
        sections[name] = importlib.import_module(SECTIONS[name]).measure(plan)
        console.print(sections[name].table())
        console.print(f"{name}: measured in {time.monotonic() - begun:.0f} s\n", highlight=False)
        wanted.json.write_text(
            json.dumps(summary(sections, describe(), engine, plan), indent=2) + "\n"
        )  # what there is so far
    console.print(f"{describe()}; {engine}", highlight=False)
    if plan.short:
        console.print("A short run: that it ends shows that everything runs; its figures say little.")
    failed = missed(sections)
    console.print(f"{len(failed)} targets missed{': ' if failed else ''}{', '.join(failed)}", highlight=False)
    return 1 if failed and wanted.strict else 0


def settle_engine() -> str:
    """Let this machine choose an engine once, and every process of this run take that one; says which it is.

    Otherwise each would choose by a short measurement of its own, and the sides of a ratio might compute differently.
    """
    prepare_process(threads=1)
    engine = load_engine(MODEL).describe()
    os.environ.setdefault(ENGINE, next(name for name in ("openvino", "torch") if name in engine))
    settings.cache_clear()
    return engine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", type=_names, default=list(SECTIONS), metavar="NAMES", help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--short", action="store_true", help="small sizes, once: that everything runs, and no more")
    parser.add_argument("--repetitions", type=int, default=5, help="of which the median counts (default 5)")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE", help="default bench.json")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a target is missed")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        raise argparse.ArgumentTypeError(f"no section {', '.join(unknown)}: there are {', '.join(SECTIONS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
