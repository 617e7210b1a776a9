"""What a challenger has to reach to be promoted, and whether it did, rule by rule.

Better by the main measure with confidence; by the other one not worse on average than a tolerance; its colourfulness
no further from the truth's than the champion's is, but for a tolerance. The figures are those that `figures` names.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from photochrom.training.evaluation.evaluate import Evaluation
from photochrom.worker.settings import Settings

Measure = Literal["ciede2000", "psnr"]
WRITTEN: dict[Measure, str] = {"ciede2000": "CIEDE2000", "psnr": "PSNR"}
UNIT: dict[Measure, str] = {"ciede2000": "", "psnr": " dB"}
SIGN: dict[Measure, int] = {"ciede2000": -1, "psnr": 1}
"""By which a difference becomes a gain: a lower CIEDE2000 is nearer to the truth."""


@dataclass(frozen=True)
class Gate:
    """What a challenger has to reach: see the settings `gate_*`. `colourfulness` is a share of the truth's."""

    measure: Measure = "ciede2000"
    confidence: float = 0.95
    psnr: float = 0.05
    ciede2000: float = 0.05
    colourfulness: float = 0.05

    @classmethod
    def of(cls, settings: Settings) -> Gate:
        return cls(
            settings.gate_measure,
            settings.gate_confidence,
            settings.gate_psnr,
            settings.gate_ciede2000,
            settings.gate_colourfulness,
        )

    @property
    def other(self) -> Measure:
        """The measure that only must not suffer."""
        return "psnr" if self.measure == "ciede2000" else "ciede2000"

    @property
    def fewest(self) -> int:
        """Of fewer photographs, not even a gain on every single one is sure (a sign test, two-sided)."""
        return math.ceil(1 - math.log2(1 - self.confidence))


class Rule(NamedTuple):
    """One rule of the gate, as a challenger met it or not."""

    met: bool
    text: str

    def __str__(self) -> str:
        return f"{'met' if self.met else 'not met'}: {self.text}"


def figures_of(evaluation: Evaluation, gate: Gate) -> dict[str, float]:
    """What decides, for the record of a promotion: the challenger's means, the champion's, changes and their intervals.

    PSNR in dB, shares as 0..1; a change is challenger minus champion. Rounded as they are written down: what decides
    is what is recorded.
    """
    figures: dict[str, float] = {"photographs": len(evaluation.names)}
    challenger, champion = evaluation.means("challenger"), evaluation.means("champion")
    for name in ("psnr", "ciede2000", "colourfulness_ratio"):
        figures |= {name: challenger[name], f"{name}_champion": champion[name]}
    for measure in WRITTEN:
        mean, low, high = evaluation.gain(measure, "champion", "challenger", gate.confidence)
        figures |= {f"{measure}_change": mean, f"{measure}_change_low": low, f"{measure}_change_high": high}
        figures[f"{measure}_better_share"] = share_better(evaluation, measure)
    return {name: round(value, 4) for name, value in figures.items()}


def share_better(evaluation: Evaluation, measure: Measure) -> float:
    """Share of the photographs on which the challenger is nearer to the truth than the champion."""
    return evaluation.share_better(measure, "champion", higher_is_better=SIGN[measure] > 0, of="challenger")


def rules(figures: dict[str, float], gate: Gate) -> list[Rule]:
    """Each rule of the gate, held against these figures; the main measure's is the first."""
    if not all(map(math.isfinite, figures.values())):
        return [Rule(False, "some of the figures are not finite")]
    found = [_surely_better(figures, gate), _other_not_worse(figures, gate), _as_colourful(figures, gate)]
    if figures["photographs"] < gate.fewest:
        text = f"{figures['photographs']:.0f} photographs are too few to be sure: at least {gate.fewest}"
        found.append(Rule(False, text))
    return found


def percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def _surely_better(figures: dict[str, float], gate: Gate) -> Rule:
    name, unit = WRITTEN[gate.measure], UNIT[gate.measure]
    mean, low, high = (figures[f"{gate.measure}_change{end}"] for end in ("", "_low", "_high"))
    sign = SIGN[gate.measure]
    text = f"{name} changes by {mean:+.3f}{unit} ({low:+.3f} to {high:+.3f} at {percent(gate.confidence)} confidence); "
    return Rule(min(sign * low, sign * high) > 0, text + f"all of it has to be {'above' if sign > 0 else 'below'} 0")


def _other_not_worse(figures: dict[str, float], gate: Gate) -> Rule:
    mean, tolerance = figures[f"{gate.other}_change"], asdict(gate)[gate.other]
    text = f"{WRITTEN[gate.other]} changes by {mean:+.3f}{UNIT[gate.other]}; "
    worst = f"{-SIGN[gate.other] * tolerance:+.4g}{UNIT[gate.other]}"
    return Rule(SIGN[gate.other] * mean >= -tolerance, text + f"{worst} is as bad as it may be")


def _as_colourful(figures: dict[str, float], gate: Gate) -> Rule:
    challenger, champion = figures["colourfulness_ratio"], figures["colourfulness_ratio_champion"]
    most = abs(champion - 1) + gate.colourfulness
    text = f"colourfulness is {challenger:.1%} of the truth's, the champion's {champion:.1%}; "
    return Rule(abs(challenger - 1) <= most, text + f"it may be {most:.1%} away from all of it")
