"""What a benchmark says: figures with their targets, in sections, as tables and as JSON; and how ways are timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from rich.table import Table

Found = TypeVar("Found")


@dataclass(frozen=True)
class Target:
    """A figure is to be at least, or at most, so much."""

    bound: Literal["at least", "at most"]
    value: float

    def is_met(self, value: float) -> bool:
        return value >= self.value if self.bound == "at least" else value <= self.value

    def __str__(self) -> str:
        return f"{self.bound} {self.value:g}"


@dataclass(frozen=True)
class Figure:
    """One number. `key` is for machines and does not change; `what` is for people."""

    key: str
    what: str
    value: float
    unit: str = ""
    target: Target | None = None

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        return self.target and self.target.is_met(self.value)

    def summary(self) -> dict[str, Any]:
        """The figure as plain JSON values."""
        told = {"what": self.what, "value": self.value, "unit": self.unit}
        return told | ({"target": str(self.target), "met": self.is_met} if self.target else {})


@dataclass(frozen=True)
class Section:
    """Figures that belong together; `note` says how they were taken."""

    title: str
    figures: tuple[Figure, ...]
    note: str = ""

    def table(self) -> Table:
        """One row a figure, with its target and whether that is met."""
        made = Table("", "figure", "", "target", "met", title=self.title, caption=self.note, title_justify="left")
        made.columns[1].justify = "right"
        for figure in self.figures:
            met = {None: "", True: "yes", False: "[red]no[/red]"}[figure.is_met]
            made.add_row(figure.what, shown(figure.value), figure.unit, str(figure.target or ""), met)
        return made

    def summary(self) -> dict[str, Any]:
        """The section as plain JSON values, figures by their key."""
        return {
            "title": self.title,
            "note": self.note,
            "figures": {figure.key: figure.summary() for figure in self.figures},
        }


@dataclass(frozen=True)
class Plan:
    """How thoroughly to measure: `short` only proves that everything runs."""

    short: bool = False
    repetitions: int = 5

    def of(self, full: Any, short: Any) -> Any:
        """What of the two this plan takes."""
        return short if self.short else full


def shown(value: float) -> str:
    """Three digits that count, and all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def missed(sections: Mapping[str, Section]) -> list[str]:
    """The figures that do not meet their target, as section.key."""
    return [
        f"{name}.{figure.key}"
        for name, section in sections.items()
        for figure in section.figures
        if figure.is_met is False
    ]


def summary(sections: Mapping[str, Section], machine: str, engine: str, plan: Plan) -> dict[str, Any]:
    """A whole run as plain JSON values."""
    return {
        "machine": machine,
        "engine": engine,
        "short": plan.short,
        "repetitions": plan.repetitions,
        "sections": {name: section.summary() for name, section in sections.items()},
    }


def by_turns(ways: Mapping[str, Callable[[], Found]], repetitions: int) -> dict[str, list[Found]]:
    """What each way gives back, asked by turns, so that a machine that slows down slows all of them."""
    found: dict[str, list[Found]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, way in ways.items():
            found[name].append(way())
    return found


def median_seconds(ways: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median wall-clock seconds of each way, measured by turns after one round that does not count."""
    timed = {name: _timed(way) for name, way in ways.items()}
    by_turns(timed, 1)
    return medians(by_turns(timed, repetitions))


def median_by(found: Iterable[Found], size: Callable[[Found], float]) -> Found:
    """The one whose size is the median: its parts still add up, as medians of each part would not."""
    ordered = sorted(found, key=size)
    return ordered[len(ordered) // 2]


def medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in found.items()}


def _timed(way: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        begun = time.perf_counter()
        way()
        return time.perf_counter() - begun

    return seconds


def at_least(value: float) -> Target:
    return Target("at least", value)


def at_most(value: float) -> Target:
    return Target("at most", value)
