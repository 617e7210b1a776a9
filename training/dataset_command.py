"""`photochrom dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from training.data.manifest import Manifest

VALIDATION_SHARE = 0.04
"""As in the recipes."""


def dataset(
    source: Annotated[str, typer.Argument(help="Colour photographs: a folder, or s3://bucket/prefix.")],
    to: Annotated[Path, typer.Option(help="Folder for the report; made if it is not there.")],
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Look at photographs before learning from them: how many are fit, from where, how colourful, and samples.

    Every photograph is decoded once, to working size, into the folder of PHOTOCHROM_TRAINING_FOLDER; started again, it
    goes on where it was cut off, and a run that learns from the same photographs finds them there. Writes dataset.json
    and dataset.png.
    """
    import json as json_lines

    from training.data.cache import Cache
    from training.data.report import write_report
    from worker.settings import settings

    with Cache(settings().training_folder) as cache:
        text, picture = write_report(_prepared(source, cache), cache, to)
    figures = json_lines.loads(text.read_text())
    typer.echo(json_lines.dumps(figures) if json else _table(figures))
    typer.echo(f"Pictures: {picture}", err=json)


def _prepared(source: str, cache: Any) -> Manifest:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from training.data.manifest import freeze
    from training.data.prepare import prepare
    from training.data.source import list_source, store_of

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    store = store_of(source)
    cache.forget_unfetched()
    listing = list_source(source, store)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("reading", total=len(listing))
        prepare(source, listing, cache, store, tell=lambda done, total: bars.update(task, completed=done, total=total))
    return freeze(source, listing, cache, VALIDATION_SHARE)


def _table(figures: dict[str, Any]) -> str:
    """The figures for people, as Markdown."""
    rows = [(name, f"{figures[name]:,}") for name in ("photographs", "training", "validation")]
    rows += [(f"left out: {reason}", f"{count:,}") for reason, count in figures["left_out"].items()]
    rows += [(f"from {folder}", f"{count:,}") for folder, count in figures["folders"].items()]
    for name in ("short_side", "megapixels", "colourfulness"):
        spread = ", ".join(f"{quantile}: {value:g}" for quantile, value in figures[name].items())
        rows.append((name.replace("_", " "), spread))
    rows.append(("mean chroma (U, V)", ", ".join(f"{value:+.4f}" for value in figures["mean_chroma"])))
    return "\n".join([f"| {figures['source']} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
