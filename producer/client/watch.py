"""Watching a submission from a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from photochrom.producer.records.progress import Progress, progress
from photochrom.worker.cli.terminal import ProgressDisplay
from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings

LOOK_SECONDS = 0.5


def watch(
    submission: str, settings: Settings, *, show: bool = True, each: Callable[[Progress], None] | None = None
) -> Progress:
    """Wait until a submission has ended, and show how far it is on stderr; gives back its last counts.

    `each` is called with every look. Redis or S3 being away for a while is waited out.
    """
    ledger, store = Ledger(settings), Store(settings)
    ended, total = 0, None
    with ProgressDisplay("listing", show=show) as display:
        while True:
            try:
                now = progress(submission, settings, ledger, store)
            except RetryableError as error:
                display.update(ended, total, str(error))
            else:
                ended, total = now.with_outcome, now.total if now.listed else None
                display.update(ended, total, _described(now))
                if each:
                    each(now)
                if now.ended:
                    return now
            time.sleep(LOOK_SECONDS)


def _described(now: Progress) -> str:
    """What the display does not show by itself."""
    found = "" if now.listed else f", {now.total:,} found so far"
    return now.state + found + (f", {now.quarantined:,} quarantined" if now.quarantined else "")
