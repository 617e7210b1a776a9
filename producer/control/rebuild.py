"""Writing the ledger anew from S3 after Redis was lost: S3 is the truth.

An epoch stands in Redis and in S3. Where they differ, this Redis is empty or another one.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Iterable
from itertools import chain

from photochrom.producer.records.outcomes import Listing, cancelled_since, listing, outcomes
from photochrom.producer.records.pages import read_page
from photochrom.producer.records.submission import exists
from photochrom.worker.errors import PhotochromError, RetryableError
from photochrom.worker.jobs.context import Resources
from photochrom.worker.ledger.ledger import PageInFlight
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, NotFoundError

log = logging.getLogger("photochrom.control")

LONG_AGO = 0.0
"""The time at which the jobs of unfinished pages were sent, to the new ledger: they are lost with the queue."""


def ensure_epoch(held: Resources) -> bool:
    """See that this Redis is the one that S3 knows; otherwise rebuild every submission that has not ended.

    One of which S3 holds something that cannot be read waits, and is tried again each time; the others go on. False
    when another process is rebuilding just now: until it is through, nothing may be advanced.
    """
    if _is_the_true_one(held) and not held.ledger.waiting():
        return True
    with held.ledger.lock("rebuild") as mine:
        if mine:
            known = _is_the_true_one(held)
            names = held.ledger.waiting() if known else _submissions(held)
            held.ledger.set_waiting([name for name in names if _is_unfinished(name, held) and not _rebuilt(name, held)])
            if not known:
                epoch = secrets.token_hex(8)
                held.store.put_record(state_keys.EPOCH, {"epoch": epoch})
                held.ledger.set_epoch(epoch)
        return mine


def _rebuilt(name: str, held: Resources) -> bool:
    """False where it has to wait. Raises RetryableError: then nothing goes on."""
    try:
        with held.ledger.lock(f"advance:{name}") as mine:
            if mine:
                rebuild(name, held)
            return mine
    except RetryableError:
        raise
    except Exception as error:  # whatever lies in its folder, the others are not to wait for it
        foreseen = isinstance(error, PhotochromError)
        words = "submission %s waits, since what S3 holds of it cannot be read: %s"
        extra = {"action": "submission_waits", "submission": name}
        log.warning(words, name, error, exc_info=not foreseen, extra=extra)
        return False


def _is_the_true_one(held: Resources) -> bool:
    epoch = held.ledger.epoch()
    return epoch is not None and epoch == _epoch_in_s3(held)


def rebuild(name: str, held: Resources) -> None:
    """Bitmaps from the outcomes, the cursor from the pages; what is unfinished waits for the reconciler."""
    said = outcomes(name, held)
    ordinals = chain.from_iterable(range(page.first, page.first + page.images) for page in said.finished)
    done = bitmap(ordinal for ordinal in ordinals if ordinal not in said.quarantined)
    reasons = Counter(said.quarantined.values())
    now = listing(name, held)
    recorded = {ordinal: reason for ordinal, reason in said.recorded.items() if ordinal < now.total}
    held.ledger.merge(name, done, bitmap(said.quarantined), reasons, recorded)
    _restore_cursor(name, now, {page.number for page in said.finished}, held)
    if cancelled_since(name, held):
        held.ledger.cancel(name)
    held.ledger.activate(name)
    quarantined = len(said.quarantined) + len(recorded)
    words = "rebuilt %s from S3: %d pages finished, %d images quarantined"
    extra = {"action": "ledger_rebuilt", "submission": name}
    log.warning(words, name, len(said.finished), quarantined, extra=extra)


def bitmap(ordinals: Iterable[int]) -> bytes:
    """Bits as Redis numbers them: ordinal 0 is the highest bit of the first byte."""
    found = bytearray()
    for ordinal in ordinals:
        byte = ordinal >> 3
        if byte >= len(found):
            found.extend(bytes(max(byte + 1 - len(found), len(found))))
        found[byte] |= 0x80 >> (ordinal & 7)
    return bytes(found)


def _restore_cursor(name: str, now: Listing, finished: set[int], held: Resources) -> None:
    """Where listing stands, and the pages that are not finished."""
    for number in range(now.pages):
        if number not in finished and (images := read_page(name, number, held.store).images):
            held.ledger.add_page(name, PageInFlight(number, images[0].ordinal, len(images), LONG_AGO))
    if now.pages or now.after:
        held.ledger.move_cursor(name, pages=now.pages, total=now.total, after=now.after, listed=int(now.listed))


def _submissions(held: Resources) -> Iterable[str]:
    return held.store.folders(Location(held.settings.state_bucket, state_keys.SUBMISSIONS))


def _is_unfinished(name: str, held: Resources) -> bool:
    bucket = held.settings.state_bucket
    return exists(held.store, bucket, state_keys.submission(name)) and not exists(
        held.store, bucket, state_keys.ended(name)
    )


def _epoch_in_s3(held: Resources) -> str | None:
    try:
        return held.store.record(state_keys.EPOCH, dict).get("epoch")
    except NotFoundError:
        return None
