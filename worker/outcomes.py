"""How an image ends: done, or quarantined with a reason. S3 first, which is the truth; then the ledger's bit."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from worker import paths
from worker.errors import ImageFault
from worker.job import Image
from worker.ledger import Ledger
from worker.settings import Settings
from worker.store import Store


class Quarantined(BaseModel):
    """The record of an image that cannot be coloured, as it lies in the state bucket."""

    model_config = ConfigDict(frozen=True)

    submission: str
    ordinal: int
    key: str
    etag: str
    reason: str
    message: str
    time: str


def record_quarantined(
    submission: str, image: Image, fault: ImageFault, store: Store, ledger: Ledger, settings: Settings
) -> None:
    """Write the record of a quarantined image, then count it."""
    record = Quarantined(
        submission=submission,
        ordinal=image.ordinal,
        key=image.key,
        etag=image.etag,
        reason=fault.reason,
        message=str(fault),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    place = paths.quarantine(submission, image.ordinal)
    store.put(settings.state_bucket, place, record.model_dump_json().encode(), content_type="application/json")
    ledger.record_quarantined(submission, image.ordinal, fault.reason)
