"""`photochrom dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


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

    from photochrom.training.data.cache import Cache
    from photochrom.training.data.photographs import gather
    from photochrom.training.data.report import write_report
    from photochrom.worker.cli.terminal import ProgressDisplay, printable
    from photochrom.worker.settings import settings

    with Cache(settings().training_folder) as cache:
        with ProgressDisplay("reading", "photographs") as display:
            manifest = gather(source, cache, tell=display.update)
        text, picture = write_report(manifest, cache, to)
    figures = json_lines.loads(text.read_text())
    typer.echo(json_lines.dumps(figures) if json else _table(figures))
    typer.echo(f"Pictures: {printable(picture)}", err=json)


def _table(figures: dict[str, Any]) -> str:
    """The figures for people, as Markdown."""
    from photochrom.worker.cli.terminal import printable

    rows = [(name, f"{figures[name]:,}") for name in ("photographs", "training", "validation")]
    rows += [(f"left out: {reason}", f"{count:,}") for reason, count in figures["left_out"].items()]
    rows += [(f"from {folder}", f"{count:,}") for folder, count in figures["folders"].items()]
    for name in ("short_side", "megapixels", "colourfulness"):
        spread = ", ".join(f"{quantile}: {value:g}" for quantile, value in figures[name].items())
        rows.append((name.replace("_", " "), spread))
    rows.append(("mean chroma (U, V)", ", ".join(f"{value:+.4f}" for value in figures["mean_chroma"])))
    lines = [f"| {figures['source']} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(map(printable, lines))
