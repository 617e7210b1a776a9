"""A study from beginning to end: train each variant, read each decode, measure them, report."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from photochrom.training.data.collection import Collection
from photochrom.training.fit.loop import Progress, train
from photochrom.training.fit.state import FILE as STATE
from photochrom.training.fit.state import read_position
from photochrom.training.pictures import spread
from photochrom.training.recipe import Recipe
from photochrom.training.study.engines import BEST, engine_of
from photochrom.training.study.finding import EvaluationSet, Finding, judge
from photochrom.training.study.variant import Changes, Decode, Entry, Study, Variant, recipe_of
from photochrom.worker.errors import UsageError
from photochrom.worker.inference.engine import Engine
from photochrom.worker.models import checkpoint
from photochrom.worker.models.card import read_card

NO_CHANGES = Changes([], [])


@dataclass(frozen=True)
class Task:
    """What a study is done with: photographs, evaluation sets by name, a budget, and where to put it all."""

    study: Study
    photographs: Collection
    sets: dict[str, EvaluationSet]
    out: Path
    images: int
    changes: Changes = NO_CHANGES
    encoder: str | None = None
    only: list[str] = field(default_factory=list)


Tell = Callable[[str, Progress | None], None]
"""Is told an entry's name with the progress of its training, or with None when it is being measured."""


def carry_out(
    task: Task,
    tell: Tell = lambda name, progress: None,
    each: Callable[[list[Finding]], None] = lambda findings: None,
) -> list[Finding]:
    """Do what is not done yet, and give back what is known of every entry, in the study's order.

    Every entry has its folder in `task.out`: training goes on where it was cut off, what was measured is not measured
    again. `each` is given all that is known whenever an entry is finished.

    Raises UsageError for unknown names, for settings that do not fit, and where the folder holds another study.
    """
    entries = task.study.chosen(task.only)
    recipes = {entry.name: _recipe(task, entry) for entry in entries if isinstance(entry, Variant)}
    for entry in entries:
        done = _trained(task, entry, recipes[entry.name], tell) if isinstance(entry, Variant) else _read(task, entry)
        _judge(task, entry, done, tell)
        each(known(task))
    return known(task)


def known(task: Task) -> list[Finding]:
    """What was measured on these evaluation sets so far, in the study's order, now or in runs before."""
    found = (Finding.read(task.out / entry.name) for entry in task.study.entries)
    findings = [_of_these_sets(task, finding) for finding in found if finding]
    return [finding for finding in findings if finding.judged]


def _of_these_sets(task: Task, finding: Finding) -> Finding:
    judged = {name: judged for name, judged in finding.judged.items() if _is_judged(finding, name, task.sets)}
    return finding.model_copy(update={"judged": judged})


def _recipe(task: Task, variant: Variant) -> Recipe:
    """The variant's recipe. Raises UsageError where its folder holds another run, and for too few photographs."""
    folder, photographs = task.out / variant.name, len(task.photographs.training)
    recipe = recipe_of(task.study, variant, task.images, task.changes)
    if recipe.chunks > photographs:
        raise UsageError(f"{variant.name}: {photographs} photographs are too few for {recipe.chunks} chunks")
    before = Finding.read(folder)
    wanted = (task.photographs.source, photographs, recipe.model_dump(mode="json"))
    if before and (before.source, before.photographs, before.recipe) != wanted:
        raise UsageError(f"{folder} holds a run with another recipe or other photographs: give another --to")
    return recipe


def _trained(task: Task, variant: Variant, recipe: Recipe, tell: Tell) -> Finding:
    folder = task.out / variant.name
    if before := Finding.read(folder):
        return before
    speeds: dict[int, float] = {}

    def listen(progress: Progress) -> None:
        if not progress.figures:
            speeds[progress.epoch] = progress.images_per_second
        tell(variant.name, progress)

    seen = replace(task.photographs, validation=spread(task.photographs.validation, task.study.validated))
    train(recipe, seen, folder, name=variant.name, encoder=task.encoder, tell=listen)
    position = read_position(folder / STATE)
    finding = Finding(
        name=variant.name,
        about=variant.about,
        sha256=read_card(folder / BEST).sha256,
        parameters=_parameters(folder / BEST),
        recipe=recipe.model_dump(mode="json"),
        source=task.photographs.source,
        photographs=len(task.photographs.training),
        images_per_second=round(statistics.median(speeds.values()), 2) if speeds else None,
        history=position.history if position else [],
    )
    finding.write(folder)
    return finding


def _read(task: Task, decode: Decode) -> Finding:
    """What is known of a decode; nothing where the checkpoint it reads is another one by now."""
    path = task.out / decode.of / BEST
    card = read_card(path)
    before = Finding.read(task.out / decode.name)
    how = asdict(decode)
    if before and (before.sha256, before.decode) == (card.sha256, how):
        return before
    return Finding(name=decode.name, about=decode.about, sha256=card.sha256, parameters=_parameters(path), decode=how)


def _judge(task: Task, entry: Entry, finding: Finding, tell: Tell) -> None:
    engine: Engine | None = None
    for name, photographs in task.sets.items():
        if not _is_judged(finding, name, task.sets):
            tell(entry.name, None)
            engine = engine or engine_of(entry, task.out)
            finding.judged[name] = judge(engine, photographs)
            finding.write(task.out / entry.name)


def _is_judged(finding: Finding, name: str, sets: dict[str, EvaluationSet]) -> bool:
    return name in finding.judged and name in sets and finding.judged[name].digest == sets[name].digest


def _parameters(weights: Path) -> int:
    return sum(parameter.numel() for parameter in checkpoint.read(weights)[0].parameters())
