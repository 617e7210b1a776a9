"""Whether a challenger is to take the champion's place: both colour the same photographs, and the gate decides.

Whatever is not finite is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from photochrom.training import pictures
from photochrom.training.data.readable import Readable, told
from photochrom.training.evaluation.evaluate import (
    SIDE,
    Contender,
    Evaluation,
    Measured,
    coloured,
    gain_cells,
    means_table,
    measure,
    plain_gray,
)
from photochrom.training.evaluation.promotion_gate import (
    SIGN,
    UNIT,
    WRITTEN,
    Gate,
    Measure,
    Rule,
    figures_of,
    percent,
    rules,
    share_better,
)
from photochrom.training.pictures import Row
from photochrom.worker.errors import CheckpointError
from photochrom.worker.inference.engine import Engine

CONTENDERS = ("gray", "champion", "challenger")
TITLES = (*CONTENDERS, "truth")
KEPT = 12
"""Photographs whose pictures a judgement keeps, of the largest gains and of the largest losses each."""


class Model(NamedTuple):
    """Which one was judged."""

    name: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"

    @classmethod
    def of(cls, engine: Engine) -> Model:
        return cls(engine.card.name, engine.card.sha256)


class Difference(NamedTuple):
    """A photograph on which the two differ much, with the pictures of TITLES, RGB uint8 (224, 224, 3)."""

    name: str
    gain: float
    """By the gate's measure, in its unit; positive where the challenger is nearer to the truth."""
    row: Row


@dataclass(frozen=True)
class Judgement:
    """Whether to promote, and why: `reasons` has a line for each rule of the gate, the main measure's first.

    `figures` are for the promotion's record (see `gate.figures_of`). Where a model gave anything that is not finite,
    `evaluation` is None and there are no figures.
    """

    champion: Model
    challenger: Model
    gate: Gate
    promote: bool
    reasons: list[str]
    figures: dict[str, float]
    evaluation: Evaluation | None
    differences: list[Difference]

    def summary(self, *, per_image: bool = True) -> dict[str, Any]:
        """Everything as plain JSON values; with `per_image`, the scores of every photograph."""
        found = self.evaluation
        return {
            "champion": self.champion._asdict(),
            "challenger": self.challenger._asdict(),
            "promote": self.promote,
            "reasons": self.reasons,
            "gate": asdict(self.gate),
            "side": SIDE,
            "photographs": len(found.names) if found else 0,
            "left_out": dict(found.left_out) if found else {},
            "figures": self.figures,
            "means": {contender: found.means(contender) for contender in CONTENDERS} if found else {},
            **({"per_image": found.per_image() if found else []} if per_image else {}),
        }

    def table(self) -> str:
        """The figures and the gate's verdict for people, as Markdown."""
        lines = [f"challenger {self.challenger} against champion {self.champion}", ""]
        if self.evaluation:
            lines += [*_figures_for_people(self.evaluation, self.gate), ""]
        return "\n".join([*lines, f"Promote: {'yes' if self.promote else 'no'}", *(f"- {r}" for r in self.reasons)])


def judge(
    champion: Engine,
    challenger: Engine,
    photographs: Sequence[Readable],
    gate: Gate,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Judgement:
    """Let both colour the photographs' centre squares at 224 x 224, as they would serve, and hold them to the gate.

    `tell` is given how many photographs are done, and of how many, after each. A model that gives anything not finite
    ends it: nothing is promoted then. Raises UsageError for no photographs, or none with colour.
    """
    contenders: dict[str, Contender] = {
        "gray": plain_gray,
        "champion": partial(coloured, engine=champion),
        "challenger": partial(coloured, engine=challenger),
    }
    extremes = _Extremes(gate.measure)
    models = (Model.of(champion), Model.of(challenger), gate)
    try:
        evaluation = measure(told(photographs, tell), contenders, extremes.add)
    except CheckpointError as error:
        return Judgement(*models, False, [str(Rule(False, str(error)))], {}, None, [])
    figures = figures_of(evaluation, gate)
    found = rules(figures, gate)
    promote = all(rule.met for rule in found)
    return Judgement(*models, promote, list(map(str, found)), figures, evaluation, extremes.found())


def largest_differences(judgement: Judgement, most: int = KEPT) -> list[Difference]:
    """At most so many of the largest gains, the largest first, and then as many of the largest losses (to KEPT)."""
    gains = [found for found in judgement.differences if found.gain > 0]
    losses = [found for found in judgement.differences if found.gain < 0]
    return gains[:most] + losses[::-1][:most]


def write_sheet(judgement: Judgement, path: Path, most: int = KEPT) -> None:
    """Write the largest differences, either way, as a PNG: gray, champion, challenger, truth."""
    found = largest_differences(judgement, most)
    sections = {
        f"Largest gains of {judgement.challenger}": [each.row for each in found if each.gain > 0],
        f"Largest losses against {judgement.champion}": [each.row for each in found if each.gain < 0],
    }
    pictures.captioned_sheet(path, sections, TITLES)


def _figures_for_people(evaluation: Evaluation, gate: Gate) -> list[str]:
    gain = partial(evaluation.gain, over="champion", of="challenger", confidence=gate.confidence)
    cells = gain_cells(gain("psnr"), gain("ciede2000"), evaluation.means("champion"))
    return [
        f"{len(evaluation.names)} photographs, {percent(gate.confidence)} confidence",
        "",
        *means_table(evaluation, CONTENDERS),
        f"| challenger minus champion | {cells} | |",
        "",
        f"Nearer to the truth than the champion: {share_better(evaluation, 'psnr'):.0%} of the photographs by PSNR, "
        f"{share_better(evaluation, 'ciede2000'):.0%} by CIEDE2000.",
    ]


class _Extremes:
    """The largest gains and losses so far, with their pictures: memory does not grow with the photographs."""

    def __init__(self, by: Measure) -> None:
        self._by: Measure = by
        self._kept: list[Difference] = []

    def add(self, measured: Measured) -> None:
        before, after = (getattr(measured.scores[name], self._by) for name in ("champion", "challenger"))
        gain = SIGN[self._by] * (after - before)
        caption = f"{WRITTEN[self._by]} {before:.2f} to {after:.2f} ({after - before:+.2f}{UNIT[self._by]})"
        shown = (*(measured.results[name] for name in CONTENDERS), measured.truth)
        self._kept.append(Difference(measured.name, gain, Row(f"{measured.name}\n{caption}", shown)))
        self._kept.sort(key=lambda found: (-found.gain, found.name))
        if len(self._kept) > 2 * KEPT:
            del self._kept[KEPT]

    def found(self) -> list[Difference]:
        """From the largest gain to the largest loss."""
        return self._kept
