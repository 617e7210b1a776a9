"""When a run starts by itself: cron's five fields, in UTC, and in S3 the time of the last one that was due.

What was due while no control process ran is made up for once.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import NamedTuple

from celery.schedules import crontab
from pydantic import BaseModel

from training.runs.records import Runs
from training.runs.request import request_of
from worker import paths
from worker.errors import UsageError
from worker.settings import Settings
from worker.store import ConflictError, NotFoundError, Store

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


def due(schedule: str, since: datetime, now: datetime) -> bool:
    """Whether a time of the schedule lies behind `since` and not behind `now`."""
    times = parse(schedule)
    times.nowfun = lambda: now
    return bool(times.is_due(since).is_due)


def start_what_is_due(store: Store, settings: Settings, now: datetime | None = None) -> str | None:
    """Begin the run that is due, if one is; gives back its name. Safe to be asked twice, and by two processes.

    Raises UsageError for a schedule or a run that cannot be carried out.
    """
    if not settings.training_schedule:
        return None
    parse(settings.training_schedule)
    now = now or datetime.now(UTC)
    read = _read(store, settings)
    if read.looked and not due(settings.training_schedule, read.looked.until, now):
        return None
    try:
        looked = Looked(until=now)
        store.put_record(paths.SCHEDULE, looked, if_match=read.etag, if_absent=read.etag is None)
    except (ConflictError, NotFoundError):  # another control process did
        return None
    if read.looked is None:
        return None  # the schedule counts from its first look on
    request = request_of(settings, store, f"{settings.training_recipe}-{now:%Y%m%d-%H%M%S}")
    Runs(store, settings).start(request)
    log.info("the schedule began run %s", request.name, extra={"action": "run_begun"})
    return request.name


def _read(store: Store, settings: Settings) -> _Read:
    try:
        stored = store.get(settings.state_bucket, paths.SCHEDULE)
    except NotFoundError:
        return _Read(None, None)
    return _Read(Looked.model_validate_json(stored.data), stored.etag)
