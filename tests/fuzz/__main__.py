"""`python -m tests.fuzz`: thousands of malformed photographs through the worker's story.

Each has to end as a picture whose luma is that of the format's own library, or as an ImageFault. Any other error, a
crash, a hang, or memory beyond bounds is a finding; its file is saved. The exit code is 1 if there are findings.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from photochrom.worker.errors import UsageError
from tests.fuzz.cases import Case, damaged, truncated
from tests.fuzz.run import Outcome, Tally, run
from tests.fuzz.seeds import KINDS, TO_TRUNCATE

SHOWN = 10
"""Findings that are printed; all of them are saved."""


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="Try these instead, for example saved findings.")] = None,
    count: Annotated[int, typer.Option(help="Files of each kind that are damaged at random.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 1,
    kinds: Annotated[str, typer.Option(help=f"Some of {','.join(KINDS)}.")] = ",".join(KINDS),
    jobs: Annotated[int, typer.Option(help="Processes at once.")] = 2,
    folder: Annotated[Path | None, typer.Option(help="Where findings are saved; default a new folder.")] = None,
    to_json: Annotated[Path | None, typer.Option("--json", help="Write counts and findings to this file.")] = None,
) -> None:
    """Damage photographs in thousands of ways, and see that each ends as it must."""
    chosen = kinds.split(",")
    if unknown := set(chosen) - set(KINDS):
        raise typer.BadParameter(f"unknown kinds: {', '.join(sorted(unknown))}")
    cases, total = (_of_files(files), len(files)) if files else _of_kinds(chosen, count, seed)
    console = Console(stderr=True)
    tally = Tally()
    progress = track(run(cases, jobs), "fuzzing", total, console=console, disable=not console.is_terminal)
    for outcome in progress:
        tally.add(outcome)
    _show(tally, seed)
    if tally.findings:
        place = folder or Path(tempfile.mkdtemp(prefix="photochrom-fuzz-"))
        saved = [str(_save(finding, place)) for finding in tally.findings]
        console.print(f"{len(saved)} findings saved in {place}; try them again by giving them as arguments")
    if to_json:
        to_json.write_text(json.dumps(_described(tally), indent=1) + "\n")
    raise typer.Exit(1 if tally.findings else 0)


def _of_kinds(kinds: list[str], count: int, seed: int) -> tuple[Iterator[Case], int]:
    cases = chain.from_iterable(chain(truncated(kind), damaged(kind, count, seed)) for kind in kinds)
    return cases, sum(len(TO_TRUNCATE[kind]()) + 1 + count for kind in kinds)


def _of_files(files: list[Path]) -> Iterator[Case]:
    """A saved file's suffix says its kind."""
    for path in files:
        kind = path.suffix.removeprefix(".")
        if kind not in KINDS:
            raise UsageError(f"{path} has none of the suffixes .{', .'.join(KINDS)}")
        yield Case(kind, str(path), path.read_bytes())


def _save(finding: Outcome, folder: Path) -> Path:
    """The file and, beside it, what it did."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(finding.case.data).hexdigest()[:12]}.{finding.case.kind}"
    path.write_bytes(finding.case.data)
    path.with_suffix(".txt").write_text(f"{finding.case.made}\n{finding.end}\n{finding.detail}\n")
    return path


def _show(tally: Tally, seed: int) -> None:
    table = Table(title=f"{tally.counts.total():,} malformed files, seed {seed}")
    for column in ("kind", "end", "files"):
        table.add_column(column, justify="right" if column == "files" else "left")
    bad = {(finding.case.kind, finding.end) for finding in tally.findings}
    for (kind, end), count in sorted(tally.counts.items()):
        table.add_row(kind, end, f"{count:,}", style="red" if (kind, end) in bad else None)
    console = Console()
    console.print(table)
    for finding in tally.findings[:SHOWN]:
        last = finding.detail.strip().rpartition("\n")[2]
        console.print(f"{finding.case.kind} {finding.case.made}: {finding.end}: {last}", highlight=False, markup=False)


def _described(tally: Tally) -> dict[str, object]:
    return {
        "counts": [{"kind": kind, "end": end, "files": count} for (kind, end), count in sorted(tally.counts.items())],
        "findings": [
            {"kind": finding.case.kind, "made": finding.case.made, "end": finding.end, "detail": finding.detail}
            for finding in tally.findings
        ],
    }


if __name__ == "__main__":
    typer.run(main)
