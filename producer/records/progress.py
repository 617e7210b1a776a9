"""How far along a submission is, and what was quarantined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from photochrom.producer.records.outcomes import cancelled_since, listing, outcomes, quarantined_images
from photochrom.producer.records.submission import Submission, load
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.quarantine import Quarantined
from photochrom.worker.ledger.ledger import RATE_SECONDS, Ledger
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import NotFoundError, Store
from photochrom.worker.settings import Settings


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
    """From its submission to its end, or until now."""
    images_per_second: float | None = None
    """Rate of the last minutes; None when that is not known, and when it has ended."""

    @property
    def with_outcome(self) -> int:
        """Images that are done or quarantined."""
        return self.done + self.quarantined

    @property
    def in_flight(self) -> int:
        """Enqueued and without an outcome."""
        return self.total - self.with_outcome

    @property
    def empty(self) -> bool:
        """Whether all of the source was listed and held no photographs."""
        return self.listed and self.total == 0

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.cancelled or (self.listed and self.in_flight == 0)

    @property
    def state(self) -> Literal["listing", "running", "done", "cancelled"]:
        return "cancelled" if self.cancelled else "done" if self.ended else "running" if self.listed else "listing"

    @property
    def seconds_left(self) -> float | None:
        """At the rate of the last minutes; unknown without one, and while the source is still being listed."""
        return self.in_flight / self.images_per_second if self.listed and self.images_per_second else None

    def line(self) -> str:
        """All of it in one line for people."""
        if self.empty:
            return f"{self.state}: no photographs were found; is the source right?"
        parts = [f"{self.state}: {self.done:,} of {self.total:,}{'' if self.listed else '+'} done"]
        if self.quarantined:
            parts.append(f"{self.quarantined:,} quarantined")
        if self.images_per_second is not None:
            parts.append(f"{self.images_per_second:.1f} images/s")
        if self.seconds_left is not None:
            parts.append(f"{timedelta(seconds=round(self.seconds_left))} left")
        return ", ".join(parts)

    def summary(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {**asdict(self), "state": self.state}

    def record(self) -> dict[str, Any]:
        """What stays of it in S3: without the rate, for processes of an older version know no such field."""
        return {name: value for name, value in self.summary().items() if name != "images_per_second"}


def progress(name: str, settings: Settings, ledger: Ledger | None = None, store: Store | None = None) -> Progress:
    """Where a submission stands. Raises UsageError when there is none of that name."""
    held = Resources(settings, store or Store(settings), ledger or Ledger(settings))
    submission = load(name, held.store, settings)
    cursor = held.ledger.cursor(name)
    now = _in_ledger(submission, cursor, held) if cursor else _in_s3(submission, held)
    if not now.ended:
        return replace(now, images_per_second=_rate(now, held.ledger))
    return (None if now.cancelled else _ended(name, held)) or now


def _in_ledger(submission: Submission, cursor: Mapping[str, str], held: Resources) -> Progress:
    name = submission.name
    counts = held.ledger.counts(name)
    since = cancelled_since(name, held) if held.ledger.is_cancelled(name) else None
    return Progress(
        submission=name,
        listed=cursor["listed"] == "1",
        total=int(cursor["total"]),
        done=counts.done,
        quarantined=counts.quarantined,
        reasons=counts.reasons,
        cancelled=since is not None,
        seconds=_seconds(submission, since),
    )


def _in_s3(submission: Submission, held: Resources) -> Progress:
    """Before its first page; or after its end, when Redis has forgotten it."""
    name = submission.name
    now, said, since = listing(name, held), outcomes(name, held), cancelled_since(name, held)
    reasons = Counter((said.quarantined | said.recorded).values())
    return Progress(
        submission=name,
        listed=now.listed,
        total=now.total,
        done=sum(page.images for page in said.finished) - len(said.quarantined),
        quarantined=reasons.total(),
        reasons=dict(reasons),
        cancelled=since is not None,
        seconds=_seconds(submission, since),
    )


def _rate(now: Progress, ledger: Ledger) -> float | None:
    """Of the last minutes; without samples of them the mean since it was submitted, where that is not longer ago."""
    recent = ledger.rate(now.submission, now.with_outcome)
    if recent is None and now.seconds < RATE_SECONDS:
        return now.with_outcome / now.seconds if now.seconds > 0 else 0.0
    return recent


def _seconds(submission: Submission, until: datetime | None) -> float:
    return ((until or datetime.now(UTC)) - datetime.fromisoformat(submission.created)).total_seconds()


def _ended(name: str, held: Resources) -> Progress | None:
    """What was noted of a submission when it ended."""
    try:
        summary = held.store.record(state_keys.ended(name), dict)
    except NotFoundError:
        return None
    known = {field.name for field in fields(Progress)}
    return Progress(**{name: value for name, value in summary.items() if name in known})


def quarantined(name: str, settings: Settings, reason: str | None = None) -> Iterator[Quarantined]:
    """The records of all quarantined images, or of those with one reason, in the order of the source."""
    held = Resources(settings, Store(settings), Ledger(settings))
    for ordinal, found in quarantined_images(name, held).items():
        if reason in (None, found):
            place = state_keys.quarantine(name, state_keys.QuarantinedImage(ordinal, found))
            yield held.store.record(place, Quarantined)
