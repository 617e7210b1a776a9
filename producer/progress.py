"""How far along a submission is, and what was quarantined."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from producer.submission import load
from worker import paths
from worker.ledger import Ledger
from worker.outcomes import Quarantined
from worker.settings import Settings
from worker.store import Location, NotFoundError, Store


@dataclass(frozen=True)
class Progress:
    """Counts of one submission. `total` grows while the source is still being listed."""

    submission: str
    listed: bool
    total: int
    done: int
    quarantined: int
    reasons: dict[str, int] = field(default_factory=dict)
    cancelled: bool = False
    seconds: float = 0.0
    """Since it was submitted."""

    @property
    def in_flight(self) -> int:
        """Enqueued and without an outcome."""
        return self.total - self.done - self.quarantined

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.cancelled or (self.listed and self.in_flight == 0)

    @property
    def state(self) -> Literal["listing", "running", "done", "cancelled"]:
        return "cancelled" if self.cancelled else "done" if self.ended else "running" if self.listed else "listing"

    @property
    def images_per_second(self) -> float:
        """Mean rate since it was submitted."""
        return (self.done + self.quarantined) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the mean rate so far; unknown before the first outcome and while the source is still being listed."""
        return self.in_flight / self.images_per_second if self.listed and self.images_per_second else None

    def line(self) -> str:
        """All of it in one line for people."""
        parts = [f"{self.state}: {self.done:,} of {self.total:,}{'' if self.listed else '+'} done"]
        if self.quarantined:
            parts.append(f"{self.quarantined:,} quarantined")
        if not self.ended:
            parts.append(f"{self.images_per_second:.1f} images/s")
            if self.seconds_left is not None:
                parts.append(f"{timedelta(seconds=round(self.seconds_left))} left")
        return ", ".join(parts)

    def summary(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {**asdict(self), "state": self.state}


def progress(name: str, settings: Settings, ledger: Ledger | None = None, store: Store | None = None) -> Progress:
    """Where a submission stands. Raises UsageError when there is none of that name."""
    ledger, store = ledger or Ledger(settings), store or Store(settings)
    cursor = ledger.cursor(name)
    if not cursor and (ended := _ended(name, store, settings)):
        return ended
    submission = load(name, store, settings)
    counts = ledger.counts(name)
    return Progress(
        submission=name,
        listed=cursor.get("listed") == "1",
        total=int(cursor.get("total", 0)),
        done=counts.done,
        quarantined=counts.quarantined,
        reasons=counts.reasons,
        cancelled=ledger.is_cancelled(name),
        seconds=(datetime.now(UTC) - datetime.fromisoformat(submission.created)).total_seconds(),
    )


def _ended(name: str, store: Store, settings: Settings) -> Progress | None:
    """What was noted of a submission that ended so long ago that Redis has forgotten it."""
    try:
        summary = json.loads(store.get(settings.state_bucket, paths.ended(name)).data)
    except NotFoundError:
        return None
    summary.pop("state")
    return Progress(**summary)


def quarantined(name: str, settings: Settings, reason: str | None = None) -> Iterator[Quarantined]:
    """The records of all quarantined images, or of those with one reason, in the order of the source."""
    store = Store(settings)
    for listed in store.list(Location(settings.state_bucket, paths.quarantines(name))):
        if reason in (None, paths.parse_quarantine(listed.key).reason):
            yield Quarantined.model_validate_json(store.get(settings.state_bucket, listed.key).data)
