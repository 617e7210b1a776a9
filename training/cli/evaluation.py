"""`photochrom evaluate` and `photochrom evaluation`: how good models are, and the frozen sets that say so."""

from __future__ import annotations

import json as json_lines
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from photochrom.worker.cli.commands import DEFAULT_MODEL, MODEL_HELP
from photochrom.worker.errors import UsageError

if TYPE_CHECKING:
    from photochrom.training.data.readable import Readable
    from photochrom.training.evaluation.evaluation_set import EvaluationSet, Half
    from photochrom.worker.inference.engine import Engine
    from photochrom.worker.s3.store import Store

PHOTOGRAPHS = "photographs"
SHEET_ROWS = 36
SQUARES_ACROSS, SQUARES_DOWN = 4, 12
"""Of each half, on the sheet of an evaluation set."""

evaluation = typer.Typer(no_args_is_help=True, help="Frozen sets of photographs that models are measured with.")

Part = Literal["select", "decide", "both"]
Json = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
Name = Annotated[str, typer.Argument(help="Name of the set.")]


class Subject(NamedTuple):
    """The photographs to measure with, and how they are called."""

    title: str
    photographs: Sequence[Readable]


def evaluate(
    source: Annotated[
        str | None,
        typer.Argument(
            help="Photographs in colour that the model was not trained on: a folder, or s3://bucket/prefix."
        ),
    ] = None,
    evaluation_set: Annotated[
        str | None, typer.Option("--set", help="An evaluation set of the state bucket, instead of a source.")
    ] = None,
    half: Annotated[Part, typer.Option(help="Of the set: what selects checkpoints, or what decides.")] = "both",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = DEFAULT_MODEL,
    against: Annotated[
        str | None, typer.Option(help="The model to beat, such as champion: says whether the gate would let it pass.")
    ] = None,
    vividness: Annotated[float | None, typer.Option(min=0, max=1, help="Instead of the model's own.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Also write a contact sheet, as PNG.")] = None,
    per_image: Annotated[
        bool, typer.Option("--per-image", help="With --json: every photograph's scores, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure a model on photographs whose colours are known.

    PSNR, CIEDE2000 and colourfulness against the truth's, beside plain gray and one constant tint (the mean chroma of
    the model's training photographs), with confidence intervals.

    With --against, the model is the challenger and the other one the champion: both on the same photographs, beside
    plain gray, and what the gate (settings PHOTOCHROM_GATE_*) says of it; the sheet then shows the largest gains and
    losses. Nothing is promoted, and the exit code is 0 either way.
    """
    from photochrom.worker.inference.engine import load_engine, prepare_process
    from photochrom.worker.settings import settings

    if against and vividness is not None:
        raise UsageError("--vividness and --against do not go together: a model is judged at the vividness it serves")
    subject = _subject(source, evaluation_set, half)
    prepare_process(threads=settings().concurrency)
    if against:
        _judge(load_engine(against), load_engine(model), subject, sheet, per_image=per_image, json=json)
    else:
        _evaluate(load_engine(model), subject, vividness, sheet, per_image=per_image, json=json)


def _subject(source: str | None, evaluation_set: str | None, half: Part) -> Subject:
    from photochrom.training.data.readable import photographs_of
    from photochrom.training.data.source import is_s3
    from photochrom.training.evaluation.evaluation_set import load
    from photochrom.training.evaluation.squares import squares_of
    from photochrom.worker.cli.terminal import ProgressDisplay
    from photochrom.worker.settings import settings

    if (source is None) == (evaluation_set is None):
        raise UsageError("name either a source of photographs (a folder, s3://bucket/prefix) or --set NAME")
    if evaluation_set:
        found = load(evaluation_set, _store(), settings())
        with ProgressDisplay("fetching", PHOTOGRAPHS) as display:
            photographs = squares_of(found, half, _store(), settings(), tell=display.update)
        return Subject(f"evaluation set {evaluation_set}{'' if half == 'both' else f', {half}'}", photographs)
    if half != "both":
        raise UsageError("--half is of an evaluation set: name it with --set")
    assert source is not None
    return Subject(source if is_s3(source) else Path(source).name, photographs_of(source))


def _evaluate(
    engine: Engine, subject: Subject, vividness: float | None, sheet: Path | None, *, per_image: bool, json: bool
) -> None:
    from photochrom.training import pictures
    from photochrom.training.data.readable import told
    from photochrom.training.evaluation.evaluate import evaluate as measure
    from photochrom.training.evaluation.evaluate import table
    from photochrom.worker.cli.terminal import ProgressDisplay

    rows: list = []
    with ProgressDisplay("evaluating", PHOTOGRAPHS) as display:
        measured = measure(
            told(subject.photographs, display.update),
            engine,
            engine.card.trained_on.mean_chroma,
            vividness,
            lambda one: rows.append((one.results["gray"], one.results["model"], one.truth)) if sheet else None,
        )
    if sheet:
        pictures.contact_sheet(sheet, pictures.spread(rows, SHEET_ROWS), pictures.TITLES, across=3)
    if json:
        images = {"per_image": measured.per_image()} if per_image else {}
        typer.echo(json_lines.dumps({"model": engine.card.name, **measured.summary(), **images}))
    else:
        _print_table(table(measured, f"{engine.card.name} {engine.card.sha256[:12]} on {subject.title}"))


def _judge(
    champion: Engine, challenger: Engine, subject: Subject, sheet: Path | None, *, per_image: bool, json: bool
) -> None:
    from photochrom.training.evaluation.comparison import judge, write_sheet
    from photochrom.training.evaluation.promotion_gate import Gate
    from photochrom.worker.cli.terminal import ProgressDisplay
    from photochrom.worker.settings import settings

    with ProgressDisplay("judging", PHOTOGRAPHS) as display:
        judgement = judge(champion, challenger, subject.photographs, Gate.of(settings()), display.update)
    if sheet:
        write_sheet(judgement, sheet)
    if json:
        typer.echo(json_lines.dumps({"on": subject.title, **judgement.summary(per_image=per_image)}))
    else:
        _print_table(f"On {subject.title}: {judgement.table()}")


@evaluation.command()
def create(
    source: Annotated[str, typer.Argument(help="Colour photographs: a folder, or s3://bucket/prefix.")],
    name: Annotated[str, typer.Option(help="Name of the set; it never changes once it is made.")],
    most: Annotated[int | None, typer.Option(min=2, help="Photographs in it, at most.")] = None,
    share: Annotated[
        float, typer.Option(max=1, help="Of the source, by content: the rest stays to be trained on.")
    ] = 1.0,
    json: Json = False,
) -> None:
    """Freeze an evaluation set: half of it selects checkpoints, the other half alone decides promotion.

    The squares that are measured are copied into the state bucket. Copies, near-duplicates, and what is unreadable,
    tiny or next to gray are left out. The same command again changes nothing.
    """
    from photochrom.training.evaluation.creation import create as make
    from photochrom.worker.cli.terminal import ProgressDisplay
    from photochrom.worker.settings import settings

    with ProgressDisplay("looking", PHOTOGRAPHS) as display:
        made = make(source, name, _store(), settings(), most, share, display.update)
    _echo(made, json)


@evaluation.command(name="list")
def list_sets(json: Json = False) -> None:
    """Every evaluation set: how many photographs, from where, since when."""
    from photochrom.training.evaluation.evaluation_set import load, names
    from photochrom.worker.settings import settings

    for name in names(_store(), settings()):
        _echo(load(name, _store(), settings()), json)


@evaluation.command()
def show(
    name: Name,
    sheet: Annotated[Path | None, typer.Option(help="Also write its first photographs as a PNG.")] = None,
    json: Json = False,
) -> None:
    """What an evaluation set is made of; with --json the whole manifest."""
    from photochrom.training.evaluation.evaluation_set import load
    from photochrom.worker.settings import settings

    found = load(name, _store(), settings())
    if sheet:
        _write_sheet(found, sheet)
    if json:
        typer.echo(json_lines.dumps(found.model_dump(mode="json"), indent=2))
    else:
        _echo(found, json)


def _write_sheet(found: EvaluationSet, path: Path) -> None:
    import numpy as np

    from photochrom.training.evaluation.squares import squares_of
    from photochrom.training.pictures import Row, captioned_sheet
    from photochrom.worker.settings import settings

    sections = {}
    halves: tuple[Half, ...] = ("select", "decide")
    for half in halves:
        squares = squares_of(found, half, _store(), settings())
        starts = range(0, min(len(squares), SQUARES_ACROSS * SQUARES_DOWN), SQUARES_ACROSS)
        rows = [squares[start : start + SQUARES_ACROSS] for start in starts]
        sections[f"{half}: {len(squares)} photographs"] = [
            Row("\n".join(square.name for square in row), [np.asarray(square.rgb()) for square in row]) for row in rows
        ]
    captioned_sheet(path, sections, [""] * SQUARES_ACROSS)


def _echo(found: EvaluationSet, json: bool) -> None:
    from photochrom.worker.cli.terminal import printable

    said: dict[str, Any] = {
        **found.model_dump(exclude={"entries"}),
        "photographs": len(found.entries),
        "select": len(found.of("select")),
        "decide": len(found.of("decide")),
    }
    left_out = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items()) or "none"
    text = (
        f"{found.name}: {said['photographs']:,} photographs ({said['select']:,} select, {said['decide']:,} decide) of "
        f"{found.source}, {found.created}; left out: {left_out}"
    )
    typer.echo(json_lines.dumps(said) if json else printable(text))


def _print_table(text: str) -> None:
    from photochrom.worker.cli.terminal import printable

    for line in text.splitlines():
        typer.echo(printable(line))


def _store() -> Store:
    from photochrom.worker.s3.store import Store
    from photochrom.worker.settings import settings

    return Store(settings())
