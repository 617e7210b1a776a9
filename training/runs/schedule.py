"""When a run starts by itself: cron's five fields, in UTC, and in S3 the time of the last one that was due.

What was due while no control process ran is made up for once.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from celery.schedules import crontab
from pydantic import BaseModel, ValidationError

from photochrom.training.runs.records import Runs
from photochrom.training.runs.request import request_of
from photochrom.worker.errors import UsageError
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError, NotFoundError, Store
from photochrom.worker.settings import Settings

log = logging.getLogger("photochrom.control")


class Looked(BaseModel):
    """Up to when the schedule was heeded."""

    until: datetime


class _Read(NamedTuple):
    looked: Looked | None
    etag: str | None


def parse(schedule: str) -> crontab:
    """Raises UsageError for what is no schedule."""
    try:
        return crontab.from_string(schedule)
    except (ValueError, TypeError) as error:
        raise UsageError(f"PHOTOCHROM_TRAINING_SCHEDULE {schedule!r} is not cron's five fields: {error}") from error


def due(schedule: str, since: datetime, now: datetime) -> datetime | None:
    """The first time of the schedule behind `since`, unless it is behind `now`, too."""
    times = parse(schedule)
    times.nowfun = lambda: now
    last, wait, _ = times.remaining_delta(since)
    first: datetime = last + wait
    return first if first <= now else None


def start_what_is_due(store: Store, settings: Settings, now: datetime | None = None) -> str | None:
    """Begin the run that is due, if one is; gives back its name. Safe to be asked twice, and by two processes.

    The run is named after its time and begun before that is noted, so that whoever is cut off between begins it again,
    and it is one. Raises UsageError for a schedule or a run that cannot be carried out.
    """
    if not settings.training_schedule:
        return None
    parse(settings.training_schedule)
    now = now or datetime.now(UTC)
    read = _read(store, settings)
    first = due(settings.training_schedule, min(read.looked.until, now), now) if read.looked else None
    if read.looked and not first:
        return None
    name = None
    try:
        if first:  # the schedule counts from its first look on
            name = _begin(first, store, settings)
    except UsageError:
        _note(Looked(until=now), read, store)
        raise
    _note(Looked(until=now), read, store)
    return name


def _begin(due_at: datetime, store: Store, settings: Settings) -> str:
    name = f"{settings.training_recipe}-{due_at:%Y%m%d-%H%M}"
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)  # the same photographs in another order each time
    request = request_of(settings, store, name, overrides={"seed": seed, **settings.training_overrides})
    Runs(store, settings).start(request)
    log.info("the schedule began run %s", name, extra={"action": "run_begun", "run": name})
    return name


def _note(looked: Looked, read: _Read, store: Store) -> None:
    with suppress(ConflictError, NotFoundError):  # another control process did
        store.put_record(state_keys.SCHEDULE, looked, if_match=read.etag, if_absent=read.etag is None)


def _read(store: Store, settings: Settings) -> _Read:
    try:
        stored = store.get(settings.state_bucket, state_keys.SCHEDULE)
    except NotFoundError:
        return _Read(None, None)
    try:
        return _Read(Looked.model_validate_json(stored.data), stored.etag)
    except ValidationError:
        return _Read(None, stored.etag)
