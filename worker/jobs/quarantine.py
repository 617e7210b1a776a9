"""How an image ends: done, or quarantined with a reason. S3 first, which is the truth; then the ledger's bit."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from photochrom.worker.errors import ImageFault
from photochrom.worker.jobs.messages import Image
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings

POISON = "poison"


class Quarantined(BaseModel):
    """The record of an image that cannot be coloured, as it lies in the state bucket."""

    model_config = ConfigDict(frozen=True)

    submission: str
    ordinal: int
    key: str
    etag: str
    size: int
    reason: str
    error: str
    message: str
    time: str


def record_quarantined(
    submission: str, image: Image, fault: ImageFault, store: Store, ledger: Ledger, settings: Settings
) -> bool:
    """Write the record of a quarantined image, then count it; nothing, and False, when it has ended already."""
    if ledger.ended(submission, [image.ordinal]):
        return False
    record = Quarantined(
        submission=submission,
        ordinal=image.ordinal,
        key=image.key,
        etag=image.etag,
        size=image.size,
        reason=fault.reason,
        error=type(fault.__cause__ or fault).__name__,
        message=str(fault),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    place = state_keys.quarantine(submission, state_keys.QuarantinedImage(image.ordinal, fault.reason))
    store.put_record(place, record)
    return ledger.record_quarantined(submission, image.ordinal, fault.reason)


def poison(image: Image, starts: int) -> ImageFault:
    """The fault of an image that was started again and again and never ended: it kills whoever decodes it."""
    return ImageFault(POISON, f"{image.key} was started {starts} times and never ended: it takes its worker with it")
