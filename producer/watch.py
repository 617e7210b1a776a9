"""Watching a submission from a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from producer.progress import Progress, progress
from worker.errors import RetryableError
from worker.ledger import Ledger
from worker.settings import Settings
from worker.store import Store

LOOK_SECONDS = 0.5


def watch(
    submission: str, settings: Settings, *, show: bool = True, each: Callable[[Progress], None] | None = None
) -> Progress:
    """Wait until a submission has ended, with a progress bar on a terminal; gives back its last counts.

    `each` is called with every look. Redis or S3 being away for a while is waited out.
    """
    ledger, store = Ledger(settings), Store(settings)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, disable=not (show and console.is_terminal)) as bars:
        task = bars.add_task("listing", total=None)
        while True:
            try:
                now = progress(submission, settings, ledger, store)
            except RetryableError as error:
                bars.update(task, description=str(error))
            else:
                if each:
                    each(now)
                ended = now.done + now.quarantined
                bars.update(task, description=now.line(), completed=ended, total=now.total or None)
                if now.ended:
                    return now
            time.sleep(LOOK_SECONDS)
