"""Ticks of a control process, with the turns of listing that come of them, over when these calls come back."""

from __future__ import annotations

import photochrom.producer.control.advance
from photochrom.producer.control import tasks
from photochrom.producer.control.listing import Listings
from photochrom.producer.control.turn import take_turn
from photochrom.producer.records.submission import Submission
from photochrom.worker.jobs.context import Resources

DEADLINE = 60.0
"""Seconds; only a broken test waits that long."""


def advance(submission: Submission, held: Resources) -> None:
    """A tick, and where there is more to list, a turn and the next tick: by a control process of its own."""
    if photochrom.producer.control.advance.advance(submission, held):
        take_turn(submission, Listings(), held)
        photochrom.producer.control.advance.advance(submission, held)


def advance_all() -> None:
    """A tick for all submissions, and a turn for each that is to be listed on."""
    tasks.advance_all()
    assert tasks.turns().finish(DEADLINE), "a listing did not end"
