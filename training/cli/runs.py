"""`photochrom runs`, and the process that takes their steps: `photochrom training`."""

from __future__ import annotations

import json as json_lines
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from photochrom.worker.errors import PhotochromError

if TYPE_CHECKING:
    from photochrom.training.runs.records import Run, Runs

runs = typer.Typer(no_args_is_help=True, help="Training runs: begin, watch, stop, resume.")

LOOK_SECONDS = 1.0
PICTURES = (".png", ".md", ".json")

Json = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
Name = Annotated[str, typer.Argument(help="Name of the run, as `runs start` or `runs list` printed it.")]


def training(
    name: Annotated[str, typer.Option(help="Name of this process, unique on its host.")] = "training",
) -> None:
    """Take the steps of training runs until stopped, on the GPU if there is one.

    A step takes PHOTOCHROM_TRAINING_STEP_SECONDS; after kill -9 no more than one is lost. SIGTERM ends the step in hand
    early and copies the run's state to S3. Any number of these processes may run: each run is worked at by one.
    """
    from photochrom.worker.queue.app import run
    from photochrom.worker.settings import settings

    run("training", settings(), name, ["--pool", "threads", "--concurrency", "1"], ["photochrom.training.runs.tasks"])


@runs.command()
def start(
    source: Annotated[
        str | None, typer.Argument(help="s3://bucket/prefix with colour photographs; default as settings say.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="vgg16-yuv, vgg16-yuv-residual or autoencoder.")] = None,
    name: Annotated[str, typer.Option(help="A name of your own; default is recipe and time.")] = "",
    evaluation: Annotated[str | None, typer.Option(help="Evaluation set that selects and decides.")] = None,
    start: Annotated[
        str | None, typer.Option(help="First weights: champion, a version, a starter, or encoder (VGG16's alone).")
    ] = None,
    set: Annotated[
        list[str] | None, typer.Option(help="Setting of the recipe, as NAME=JSON, such as epochs=4; may be repeated.")
    ] = None,
    promote: Annotated[bool, typer.Option(help="Promote what passes the gate.")] = True,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show progress until it has ended.")] = False,
    json: Json = False,
) -> None:
    """Begin a training run; the control and training processes take it from there. What is not given, settings say."""
    from photochrom.training.recipe import parse_settings
    from photochrom.training.runs.request import request_of

    records, chosen, store = _tools()
    overrides = {**chosen.training_overrides, **parse_settings(set or [])}
    request = request_of(
        chosen, store, name, source=source, model=recipe, evaluation=evaluation, start=start, overrides=overrides,
        promote=promote,
    )  # fmt: skip
    records.start(request)
    if watch:
        typer.echo(f"run {request.name}", err=True)
        _watch(request.name, records, as_json=json)
    else:
        typer.echo(json_lines.dumps({"run": request.name}) if json else request.name)


@runs.command(name="list")
def list_runs(json: Json = False) -> None:
    """Every run: where it stands, and what became of it."""
    from photochrom.worker.cli.terminal import printable

    records, _, _ = _tools()
    for name in records.names():
        try:
            run = records.load(name)
            typer.echo(json_lines.dumps(_summary(run)) if json else _line(run))
        except PhotochromError as error:
            typer.echo(json_lines.dumps({"run": name, "error": str(error)}) if json else printable(f"{name}  {error}"))


@runs.command()
def show(
    run: Name,
    to: Annotated[Path | None, typer.Option(help="Also fetch its pictures and reports into this folder.")] = None,
) -> None:
    """All that is known of a run, as JSON: request, position, figures by epoch, verdict."""
    from photochrom.worker.s3 import state_keys
    from photochrom.worker.s3.store import Location

    records, chosen, store = _tools()
    typer.echo(json_lines.dumps(_summary(records.load(run)), indent=2))
    if to:
        to.mkdir(parents=True, exist_ok=True)
        for listed in store.list(Location(chosen.state_bucket, state_keys.run(run, ""))):
            part = Path(listed.key).name
            if part.endswith(PICTURES) and part not in ("request.json", "position.json"):
                (to / part).write_bytes(store.get(chosen.state_bucket, listed.key).data)


@runs.command()
def watch(run: Name, json: Json = False) -> None:
    """Show loss and figures as they come, until the run has ended. The exit code is 1 for one that failed."""
    _watch(run, _tools()[0], as_json=json)


@runs.command()
def stop(run: Name) -> None:
    """Let a run go no further; its state is kept, and `resume` takes it up again."""
    _tools()[0].stop(run)
    typer.echo(f"{run} stops within seconds")


@runs.command()
def resume(run: Name) -> None:
    """Let a stopped or failed run go on where it was."""
    _tools()[0].resume(run)
    typer.echo(f"{run} goes on")


def _tools() -> tuple[Runs, Any, Any]:
    from photochrom.training.runs.records import Runs
    from photochrom.worker.s3.store import Store
    from photochrom.worker.settings import settings

    store = Store(settings())
    return Runs(store, settings()), settings(), store


def _watch(name: str, records: Runs, *, as_json: bool) -> None:
    from photochrom.training.runs.run_board import Board
    from photochrom.worker.cli.terminal import ProgressDisplay, printable
    from photochrom.worker.settings import settings

    board, shown = Board(settings()), 0
    with ProgressDisplay("waiting", unit="", show=not as_json) as display:
        while True:
            run, said = records.load(name), board.heard(name)
            for figures in run.position.history[shown:]:
                typer.echo(json_lines.dumps(figures) if as_json else _figures(figures))
            shown = len(run.position.history)
            display.update(_done(said), _total(said), _doing(run, said))
            if run.position.status != "running":
                break
            time.sleep(LOOK_SECONDS)
    typer.echo(json_lines.dumps(_summary(run)) if as_json else _line(run))
    for reason in run.position.verdict.reasons if run.position.verdict and not as_json else ():
        typer.echo(f"  {printable(reason)}")
    raise typer.Exit(1 if run.position.status == "failed" else 0)


def _doing(run: Run, said: dict[str, Any]) -> str:
    if "loss" in said and run.position.phase == "train":
        return f"epoch {said['epoch'] + 1}/{said['epochs']}, loss {said['loss']:.4f}, {said['images_per_second']:.0f}/s"
    return f"{run.position.phase}, step {run.position.steps + 1}"


def _done(said: dict[str, Any]) -> int:
    return int(said["epoch"] * said["steps"] + said["step"] if "loss" in said else said.get("done", 0))


def _total(said: dict[str, Any]) -> int | None:
    return int(said["epochs"] * said["steps"]) if "loss" in said else said.get("total")


def _figures(figures: dict[str, float]) -> str:
    words = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if name != "epoch")
    return f"epoch {figures['epoch']:.0f}: {words}"


def _line(run: Run) -> str:
    from photochrom.worker.cli.terminal import printable

    position, verdict = run.position, run.position.verdict
    line = f"{run.name}  {position.status}"
    if position.status == "running":
        line += f", {position.phase}, epoch {position.epoch + 1} of {run.request.recipe.epochs}"
    if position.why:
        line += f": {position.why}"
    if verdict:
        became = f"promotion {verdict.sequence}" if verdict.sequence else "not promoted"
        line += f"  {verdict.challenger[:12]} {became}"
    return printable(line)


def _summary(run: Run) -> dict[str, Any]:
    return {"run": run.name, "request": run.request.model_dump(mode="json"), **run.position.model_dump(mode="json")}
