"""Writing the ledger anew from S3 after Redis was lost: S3 is the truth.

An epoch stands in Redis and in S3. Where they differ, this Redis is empty or another one.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections import Counter
from collections.abc import Iterable

from producer.pages import read_page
from producer.submission import exists
from worker import paths
from worker.ledger import PageInFlight
from worker.resources import Resources
from worker.store import Location, NotFoundError

log = logging.getLogger("photochrom.control")

LONG_AGO = 0.0
"""The time at which the jobs of unfinished pages were sent, to the new ledger: they are lost with the queue."""


def ensure_epoch(held: Resources) -> bool:
    """See that this Redis is the one that S3 knows; otherwise rebuild every submission that has not ended.

    False when another process is rebuilding just now: until it is through, nothing may be advanced.
    """
    if _is_the_true_one(held):
        return True
    with held.ledger.lock("rebuild") as mine:
        if mine and not _is_the_true_one(held):
            for name in held.store.folders(Location(held.settings.state_bucket, paths.SUBMISSIONS)):
                if _is_unfinished(name, held):
                    rebuild(name, held)
            epoch = secrets.token_hex(8)
            held.store.put_record(paths.EPOCH, {"epoch": epoch})
            held.ledger.set_epoch(epoch)
        return mine


def _is_the_true_one(held: Resources) -> bool:
    epoch = held.ledger.epoch()
    return epoch is not None and epoch == _epoch_in_s3(held)


def rebuild(name: str, held: Resources) -> None:
    """Bitmaps from the outcomes, the cursor from the pages; what is unfinished waits for the reconciler."""
    bucket = held.settings.state_bucket
    finished = [paths.parse_outcome(item.key) for item in held.store.list(Location(bucket, paths.outcomes(name)))]
    quarantined = [
        paths.parse_quarantine(item.key) for item in held.store.list(Location(bucket, paths.quarantines(name)))
    ]
    bad = {image.ordinal for image in quarantined}
    done = bitmap(
        ordinal for page in finished for ordinal in range(page.first, page.first + page.images) if ordinal not in bad
    )
    reasons = Counter({image.ordinal: image.reason for image in quarantined}.values())
    held.ledger.merge_bitmaps(name, done, bitmap(bad), dict(reasons))
    _restore_cursor(name, {page.number for page in finished}, held)
    if is_cancelled(name, held):
        held.ledger.cancel(name)
    held.ledger.activate(name)
    log.warning("rebuilt %s from S3: %d pages finished, %d images quarantined", name, len(finished), len(bad))


def bitmap(ordinals: Iterable[int]) -> bytes:
    """Bits as Redis numbers them: ordinal 0 is the highest bit of the first byte."""
    found = bytearray()
    for ordinal in ordinals:
        byte = ordinal >> 3
        if byte >= len(found):
            found.extend(bytes(max(byte + 1 - len(found), len(found))))
        found[byte] |= 0x80 >> (ordinal & 7)
    return bytes(found)


def _restore_cursor(name: str, finished: set[int], held: Resources) -> None:
    """Where listing stands, and the pages that are not finished."""
    pages = sum(1 for _ in held.store.list(Location(held.settings.state_bucket, paths.pages(name))))
    for number in range(pages):
        if number in finished and number < pages - 1:
            continue
        page = read_page(name, number, held.store, held.settings)
        if number not in finished and page.images:
            first = page.images[0].ordinal
            held.ledger.add_page(name, PageInFlight(number, first, len(page.images), LONG_AGO))
        if number == pages - 1:
            total = page.images[-1].ordinal + 1 if page.images else _total_before(name, number, held)
            held.ledger.move_cursor(name, pages=pages, total=total, after=page.after, listed=int(page.last))


def _total_before(name: str, number: int, held: Resources) -> int:
    """An empty last page stands behind a full one."""
    return read_page(name, number - 1, held.store, held.settings).images[-1].ordinal + 1 if number else 0


def _is_unfinished(name: str, held: Resources) -> bool:
    bucket = held.settings.state_bucket
    return exists(held.store, bucket, paths.submission(name)) and not exists(held.store, bucket, paths.ended(name))


def _epoch_in_s3(held: Resources) -> str | None:
    try:
        return json.loads(held.store.get(held.settings.state_bucket, paths.EPOCH).data)["epoch"]
    except NotFoundError:
        return None


def is_cancelled(name: str, held: Resources) -> bool:
    """What S3 says."""
    try:
        return bool(json.loads(held.store.get(held.settings.state_bucket, paths.cancelled(name)).data)["cancelled"])
    except NotFoundError:
        return False


def mark_cancelled(name: str, cancelled: bool, held: Resources) -> None:
    held.store.put_record(paths.cancelled(name), {"cancelled": cancelled})
