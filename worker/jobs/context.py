"""What one process holds on to: a worker's child, a control process, a command."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings, settings


class Resources(NamedTuple):
    """Settings, and the connections made with them."""

    settings: Settings
    store: Store
    ledger: Ledger


@cache
def resources() -> Resources:
    """Made once in each process, never before a fork: connections cannot be shared with a parent."""
    chosen = settings()
    return Resources(chosen, Store(chosen), Ledger(chosen))
