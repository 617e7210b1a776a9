"""`python -m photochrom.training.study`: recipes, or variants of the autoencoder, compared on the same budget."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from photochrom.training.study.autoencoder import AUTOENCODER
from photochrom.training.study.recipes import RECIPES
from photochrom.worker.errors import PhotochromError, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from photochrom.training.fit.loop import Progress
    from photochrom.training.study.finding import EvaluationSet, Finding
    from photochrom.training.study.run import Task

STUDIES = {study.name: study for study in (RECIPES, AUTOENCODER)}
PAGE_ROWS = 12
VALIDATION = "validation part"
"""No folder is likely to be called so."""

app = typer.Typer(name="python -m photochrom.training.study", pretty_exceptions_enable=False, add_completion=False)


@app.command()
def study(
    name: Annotated[Literal["recipes", "autoencoder"], typer.Argument(help="Which study.")],
    source: Annotated[str, typer.Argument(help="Colour photographs to learn from: a folder, or s3://bucket/prefix.")],
    evaluate: Annotated[list[Path], typer.Option(help="Photographs that nothing learns from; may be repeated.")],
    to: Annotated[Path | None, typer.Option(help="Folder (default runs/study-NAME); a study there goes on.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Budget of every variant.")] = 12_000,
    encoder: Annotated[
        str, typer.Option(help="First weights of the VGG16: 'torchvision' (downloads), or a .safetensors file.")
    ] = "torchvision",
    at_most: Annotated[int, typer.Option(min=1, help="Photographs of each --evaluate, evenly spread.")] = 200,
    pictures: Annotated[
        Path | None, typer.Option(help="Photographs for the page; default those of the first --evaluate.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="This entry, and what it needs; may be repeated.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="Recipe setting of every variant, NAME=JSON; may be repeated.")
    ] = None,
    config: Annotated[
        list[str] | None, typer.Option(help="Network setting of every variant, NAME=JSON; may be repeated.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads; default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, not the tables.")] = False,
) -> None:
    """Train variants with the same number of images each, and measure them on the same photographs.

    "recipes" compares what the VGG16 network learns by and how it is decoded, "autoencoder" the autoencoder's sizes.
    Writes study.md (tables), study.json (everything), curves.png, page.png and page.jpg into --to, and each variant's
    run into a folder below it. What is there already is not done again.
    """
    import torch
    from rich.console import Console

    from photochrom.training.data.photographs import collect
    from photochrom.training.pictures import spread
    from photochrom.training.study import report
    from photochrom.training.study.finding import EvaluationSet
    from photochrom.training.study.run import Task
    from photochrom.training.study.variant import Changes

    declared = STUDIES[name]
    declared.chosen(only or [])  # a wrong name is told before hours of work
    out = to or Path("runs") / f"study-{name}"
    sets = evaluation_sets(evaluate, at_most)
    shown = evaluation_sets([pictures], PAGE_ROWS)[pictures.name] if pictures else sets[evaluate[0].name]
    if threads:
        torch.set_num_threads(threads)
    console = Console(stderr=True)
    console.print(f"Reading {source}")
    photographs = collect(source, declared.validation_share)
    if declared.judges_validation:
        sets = {VALIDATION: EvaluationSet(photographs.validation), **sets}
    changes = Changes(setting or [], config or [])
    findings = _watched(Task(declared, photographs, sets, out, images, changes, encoder, only or []), console)
    console.print(f"Drawing {out / 'page.png'}")
    report.page(declared, findings, spread(shown.photographs, PAGE_ROWS), out)
    print(json.dumps(report.everything(declared, findings)) if as_json else report.markdown(declared, findings))


def evaluation_sets(folders: list[Path], at_most: int) -> dict[str, EvaluationSet]:
    """At most so many photographs of each folder, evenly spread, by the folder's name.

    Raises UsageError for two folders of one name, and for one without photographs.
    """
    from photochrom.training.data.readable import photographs_of
    from photochrom.training.pictures import spread
    from photochrom.training.study.finding import EvaluationSet

    sets: dict[str, EvaluationSet] = {}
    for folder in folders:
        if folder.name in sets:
            raise UsageError(f"two evaluation folders are called {folder.name}")
        sets[folder.name] = EvaluationSet(spread(photographs_of(str(folder)), at_most))
    return sets


def _watched(task: Task, console: Console) -> list[Finding]:
    """Carry the study out with a line an epoch, and where somebody watches, the step that it is at."""
    from photochrom.training.study import report
    from photochrom.training.study.run import carry_out

    with console.status("starting") as status:
        return carry_out(
            task,
            lambda name, progress: _show(name, progress, console, status),
            lambda findings: report.write(task.study, findings, task.out),
        )


def _show(name: str, now: Progress | None, console: Console, status: Status) -> None:
    if now is None:
        console.print(f"{name}: measuring")
        status.update(f"{name}: measuring")
    elif now.figures:
        figures = ", ".join(f"{key} {value:.4g}" for key, value in now.figures.items() if key != "epoch")
        console.print(f"{name}, epoch {now.epoch}/{now.epochs}: {figures}", soft_wrap=True)
    else:
        speed = f"loss {now.loss:.4f}, {now.images_per_second:.1f} images/s"
        status.update(f"{name}, epoch {now.epoch + 1}/{now.epochs}, step {now.step}/{now.steps}, {speed}")


def main() -> None:
    """Run the command; errors that are ours are one line and exit code 2."""
    try:
        app()
    except PhotochromError as error:
        print(f"photochrom.training.study: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
