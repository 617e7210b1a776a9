"""What people do with a submission that is there: cancel, resume, redrive, reconcile now."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from photochrom.producer.control.rebuild import rebuild
from photochrom.producer.control.reconcile import reconcile
from photochrom.producer.records.outcomes import cancelled_since
from photochrom.producer.records.progress import quarantined
from photochrom.producer.records.submission import MOMENT, MOST_NAME_LETTERS, ended, load, make, new_name, parse_request
from photochrom.worker.errors import UsageError
from photochrom.worker.jobs.context import Resources
from photochrom.worker.queue.app import connect
from photochrom.worker.s3 import state_keys

REDRIVE = "-redrive-"

BETWEEN_LOOKS = 2.0
"""Seconds; taking a message and noting it as taken are two steps, but not as long as that."""


def cancel(name: str, held: Resources) -> None:
    """No worker starts another image of it from now on. Raises UsageError when it has ended or does not exist."""
    load(name, held.store, held.settings)
    if ended(name, held.store, held.settings):
        raise UsageError(f"{name} has ended already")
    _mark(name, True, held)
    held.ledger.cancel(name)


def resume(name: str, held: Resources) -> None:
    """Go on where a cancelled submission stopped: what was dropped from the queue is found missing and put back."""
    load(name, held.store, held.settings)
    if not cancelled_since(name, held):
        raise UsageError(f"{name} is not cancelled")
    _mark(name, False, held)
    held.ledger.revive(name)
    if not held.ledger.cursor(name):
        rebuild(name, held)  # Redis has forgotten it, or listing had not begun


def _mark(name: str, cancelled: bool, held: Resources) -> None:
    """In S3: that it is cancelled, or not, and since when."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    held.store.put_record(state_keys.cancelled(name), {"cancelled": cancelled, "time": now})


def redrive(name: str, reasons: Sequence[str] | None, held: Resources) -> str:
    """Submit the quarantined images again, all or those of some reasons; gives back the new submission's name.

    Raises UsageError when there are none.
    """
    submission = load(name, held.store, held.settings)
    keys = [record.key for record in quarantined(name, held.settings) if not reasons or record.reason in reasons]
    if not keys:
        raise UsageError(f"{name} has no quarantined images{' of that reason' if reasons else ''}")
    again = redrive_name(name)
    request = parse_request(
        {
            **submission.task.model_dump(exclude=set(MOMENT)),
            "manifest": f"s3://{held.settings.state_bucket}/{state_keys.manifest(again)}",
            "filters": {"suffixes": submission.filters.suffixes},
            "name": again,
        }
    )
    lines = "".join(json.dumps({"key": key}) + "\n" for key in keys)
    held.store.put(held.settings.state_bucket, state_keys.manifest(again), lines.encode())
    return make(request, held.settings)


def redrive_name(name: str) -> str:
    """A new name that begins as the first submission's, however often its images were tried again."""
    ending = REDRIVE + new_name()
    return name.partition(REDRIVE)[0][: MOST_NAME_LETTERS - len(ending)] + ending


def reconcile_now(name: str, held: Resources) -> int:
    """Look twice, at once, for lost images, and put them back; gives back how many."""
    submission = load(name, held.store, held.settings)
    connect(held.settings)
    lost = 0
    with held.ledger.lock(f"advance:{name}") as mine:
        if not mine:
            raise UsageError(f"the control process works at {name} just now: ask again in a moment")
        for _ in range(2):
            lost += reconcile(submission, held)
            time.sleep(BETWEEN_LOOKS)
    return lost
