"""The inbox: a JSON file put under `submissions/inbox/` in the state bucket becomes a submission, exactly once.

What became of `NAME.json` stands beside it: `NAME.json.accepted` names the submission, `NAME.json.rejected` says why
there is none. A file is never changed or removed; a corrected one needs another name.
"""

from __future__ import annotations

import hashlib
import json
import logging

from photochrom.producer.records.submission import make, parse_request
from photochrom.worker.errors import PhotochromError, RetryableError, UsageError
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import MOST_KEY_BYTES
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location

log = logging.getLogger("photochrom.control")

MOST_BYTES = 1_000_000
ACCEPTED, REJECTED = ".accepted", ".rejected"


def take_inbox(held: Resources) -> None:
    """Make a submission of every file that has no answer yet."""
    keys = {item.key for item in held.store.list(Location(held.settings.state_bucket, state_keys.INBOX))}
    for key in sorted(keys):
        if key.endswith(".json") and not {key + ACCEPTED, key + REJECTED} & keys:
            _take_alone(key, held)


def _take_alone(key: str, held: Resources) -> None:
    """One file, whose fault keeps no other one waiting."""
    if len((key + ACCEPTED).encode()) > MOST_KEY_BYTES:
        log.error("inbox file %s: its answer's name would be too long", key, extra={"action": "submission_refused"})
        return
    try:
        _take(key, held)
    except PhotochromError:
        raise
    except Exception:
        log.exception("inbox file %s: not foreseen", key, extra={"action": "inbox_waits"})


def _take(key: str, held: Resources) -> None:
    try:
        name = _submit(key, held)
    except RetryableError as error:
        log.warning("inbox file %s waits: %s", key, error, extra={"action": "inbox_waits"})
    except PhotochromError as error:
        log.error("inbox file %s rejected: %s", key, error, extra={"action": "submission_refused"})
        _answer(key + REJECTED, {"error": str(error)}, held)
    else:
        _answer(key + ACCEPTED, {"submission": name}, held)


def _submit(key: str, held: Resources) -> str:
    """Its name follows from the file's, so that a tick that is cut off here makes the same submission again."""
    stored = held.store.get(held.settings.state_bucket, key, most=MOST_BYTES)
    if stored.size > MOST_BYTES:
        raise UsageError(f"{stored.size:,} bytes are too many for a request")
    try:
        values = json.loads(stored.data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise UsageError("not a JSON object")
    values["name"] = values.get("name") or "inbox-" + hashlib.sha256(key.encode()).hexdigest()[:16]
    return make(parse_request(values), held.settings)


def _answer(key: str, answer: dict[str, str], held: Resources) -> None:
    held.store.put_record(key, answer)
