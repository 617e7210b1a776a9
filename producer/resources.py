"""What one control process holds on to."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from worker.ledger import Ledger
from worker.settings import Settings, settings
from worker.store import Store


class Resources(NamedTuple):
    settings: Settings
    store: Store
    ledger: Ledger


@cache
def resources() -> Resources:
    """Made once in each process."""
    chosen = settings()
    return Resources(chosen, Store(chosen), Ledger(chosen))
