"""Submissions, for other programs: what `photochrom submit`, `status` and the like do, as functions.

Needs neither torch nor codecs. Every function raises UsageError for what cannot be carried out as it was asked,
RetryableError while S3 or Redis is away, and WorkerFault where these credentials may not do it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from photochrom.producer.client import lifecycle
from photochrom.producer.client.report import write_report
from photochrom.producer.records.filters import Filters
from photochrom.producer.records.progress import Progress, progress
from photochrom.producer.records.progress import quarantined as quarantine_records
from photochrom.producer.records.submission import make, parse_request
from photochrom.worker.formats import Format, JpegProfile
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import OnChange, Priority
from photochrom.worker.jobs.quarantine import Quarantined
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings
from photochrom.worker.settings import settings as settings_of_process

__all__ = [
    "Filters",
    "Quarantined",
    "cancel",
    "quarantined",
    "redrive",
    "report",
    "resume",
    "status",
    "submissions",
    "submit",
]


def submit(
    source: str,
    destination: str,
    *,
    manifest: str | None = None,
    filters: Filters | None = None,
    model: str | None = None,
    format: Format | None = None,
    jpeg: JpegProfile | None = None,
    on_change: OnChange = "quarantine",
    priority: Priority = 6,
    stale: bool = False,
    name: str | None = None,
    settings: Settings | None = None,
) -> str:
    """Ask for every photograph below `source` to be colorized into `destination`; returns the submission's name.

    Both are s3://bucket/prefix, and neither may lie inside the other. The control process does the rest: the caller may
    end. Submissions of the same `name` are idempotent. `manifest` is the s3:// URL of a list of keys, `model` is
    "champion" or a version; `stale` colorizes only what another version of the model colorized before; `priority` is 0
    (urgent), 3, 6 or 9 (low). docs/services.md explains every parameter.
    """
    request = parse_request(
        {
            "source": source,
            "destination": destination,
            "manifest": manifest,
            "filters": filters or Filters(),
            "model": model,
            "format": format,
            "jpeg": jpeg,
            "on_change": on_change,
            "priority": priority,
            "stale": stale,
            "name": name,
        }
    )
    return make(request, settings or settings_of_process())


def status(submission: str, *, settings: Settings | None = None) -> Progress:
    """How far along a submission is."""
    return progress(submission, settings or settings_of_process())


def submissions(*, settings: Settings | None = None) -> Iterator[str]:
    """The names of all submissions in the state bucket, ended ones included, in alphabetical order."""
    context = _context(settings)
    yield from context.store.folders(Location(context.settings.state_bucket, state_keys.SUBMISSIONS))


def cancel(submission: str, *, settings: Settings | None = None) -> None:
    """From now on no worker starts another image of it; images in hand are finished."""
    lifecycle.cancel(submission, _context(settings))


def resume(submission: str, *, settings: Settings | None = None) -> None:
    """Continue a cancelled submission where it stopped."""
    lifecycle.resume(submission, _context(settings))


def redrive(submission: str, reasons: Sequence[str] | None = None, *, settings: Settings | None = None) -> str:
    """Submit the quarantined images again, all or those of some reasons; returns the new submission's name."""
    return lifecycle.redrive(submission, reasons, _context(settings))


def report(submission: str, *, settings: Settings | None = None) -> list[str]:
    """Write one line an image as report.csv and report.jsonl to the state bucket; returns their s3:// URLs."""
    return write_report(submission, _context(settings))


def quarantined(
    submission: str, reason: str | None = None, *, settings: Settings | None = None
) -> Iterator[Quarantined]:
    """The records of the quarantined images, all or those of one reason, in the order of the source."""
    return quarantine_records(submission, settings or settings_of_process(), reason)


def _context(settings: Settings | None) -> Resources:
    chosen = settings or settings_of_process()
    return Resources(chosen, Store(chosen), Ledger(chosen))
