"""What people see of a command: names that cannot harm the terminal, and how far long work is."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

LINE_SECONDS = 60.0
"""Between two lines of progress where there is no terminal: a log of a night stays readable."""

RATE_SECONDS = 120.0
"""The rate, and with it the time left, is that of so many last seconds."""


def printable(text: object) -> str:
    """The text with escapes for all that is not printable: control characters, overrides of direction, lone surrogates.

    A name of somebody else's file then neither moves the cursor nor ends a line.
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in str(text))


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


class ProgressDisplay:
    """How far work is, on stderr: a bar on a terminal, a line a minute elsewhere; nothing where it is not shown.

    n of N, items a second and time left, once they are known. `unit` is empty where one thing after another is counted.
    """

    def __init__(self, description: str, unit: str = "images", *, show: bool = True) -> None:
        self._console = Console(stderr=True)
        self._show, self._unit = show, unit
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        self._bars = Progress(
            *columns,
            _Rate(unit),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (show and self._console.is_terminal),
            speed_estimate_period=RATE_SECONDS,
        )
        self._task = self._bars.add_task(printable(description), total=None)
        self._next_line = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def update(self, done: int, total: int | None, description: str | None = None) -> None:
        """So many of so many are done; a total of None or 0 is one that is not known yet.

        Where fewer are done than before, other work has begun: rate and time left are known anew.
        """
        [task] = self._bars.tasks
        if done < task.completed:
            self._bars.reset(self._task)
        if not total:
            task.total = None  # for `update`, None would be what it was
        text = None if description is None else printable(description)
        self._bars.update(self._task, completed=done, total=total or None, description=text)
        if self._show and not self._console.is_terminal and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self.print(_line(task, self._unit))

    def print(self, text: str) -> None:
        """A line of its own on stderr, above the bar where there is one."""
        self._console.print(Text(printable(text)), soft_wrap=True)


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(_rate(task, self._unit))


def _rate(task: Task, unit: str) -> str:
    return f"{task.speed:.1f} {unit}".rstrip() + "/s" if task.speed else ""


def _line(task: Task, unit: str) -> str:
    total = "?" if task.total is None else f"{task.total:,.0f}"
    left = "" if task.time_remaining is None else f"{timedelta(seconds=round(task.time_remaining))} left"
    parts = (f"{task.description}: {task.completed:,.0f} of {total}", _rate(task, unit), left)
    return ", ".join(part for part in parts if part)
