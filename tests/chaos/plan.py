"""What is asked of a chaos run."""

from __future__ import annotations

from dataclasses import dataclass

from photochrom.deploy.stack.stack import HOUSE
from tests.chaos.outages import Outage


@dataclass(frozen=True)
class Plan:
    """See `python -m tests.chaos --help`. `checkouts`: by turns, of whose code the processes are."""

    images: int
    kills: int
    redis_restarts: int
    redis_losses: int
    s3_restarts: int
    s3_fault_rate: float
    again: int
    poison: int
    broken: int
    workers: int
    concurrency: int
    seed: int
    reconciler: bool
    deadline: float
    outages: tuple[Outage, ...] = ()
    sparse: int = 0
    seconds_an_image: float = 0.0
    checkouts: tuple[str, ...] = (str(HOUSE),)
