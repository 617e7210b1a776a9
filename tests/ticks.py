"""Ticks of a control process, with the turns of listing that come of them, over when these calls come back."""

from __future__ import annotations

import producer.advance
from producer import control
from producer.listing import Listings
from producer.submission import Submission
from producer.turn import take_turn
from worker.resources import Resources

DEADLINE = 60.0
"""Seconds; only a broken test waits that long."""


def advance(submission: Submission, held: Resources) -> None:
    """A tick, and where there is more to list, a turn and the next tick: by a control process of its own."""
    if producer.advance.advance(submission, held):
        take_turn(submission, Listings(), held)
        producer.advance.advance(submission, held)


def advance_all() -> None:
    """A tick for all submissions, and a turn for each that is to be listed on."""
    control.advance_all()
    assert control.turns().finish(DEADLINE), "a listing did not end"
