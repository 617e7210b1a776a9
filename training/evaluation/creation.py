"""How an evaluation set is made: its photographs chosen, their squares written, and the manifest last."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from photochrom.training.data.source import is_s3
from photochrom.training.evaluation.evaluate import SIDE
from photochrom.training.evaluation.evaluation_set import Entry, EvaluationSet, read_manifest
from photochrom.training.evaluation.sampling import Choice, Chooser, Tell, selects
from photochrom.worker.errors import UsageError
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError, Location, NotFoundError, Store
from photochrom.worker.settings import Settings

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def create(
    source: str,
    name: str,
    store: Store,
    settings: Settings,
    most: int | None = None,
    share: float = 1.0,
    tell: Tell = lambda done, total: None,
) -> EvaluationSet:
    """Make a set of the photographs under a folder or an `s3://bucket/prefix`; the one that is there if it is the same.

    `share` takes those whose SHA-256 falls into the first so much of its range, and leaves the rest of the source to
    learn from; of these, `most` takes the first so many by SHA-256. `tell` is given how many are done, and of how
    many: first of those that are hashed, then of those that are looked at.

    Squares are written first and the manifest last. Raises UsageError where the name is taken by another set, and
    where the source has too little.
    """
    asked = _asked(source, name, most, share)
    with suppress(NotFoundError):
        return _if_same(read_manifest(name, store, settings), asked)
    chooser = Chooser(source, store, tell)
    entries = []
    for choice in chooser.choose(most, share):
        entry = _entry(choice)
        _put_square(name, entry, choice.square, store, settings)
        entries.append(entry)
    if {entry.half for entry in entries} != {"select", "decide"}:
        raise UsageError(
            f"{len(entries)} photographs under {source} are too few to halve (left out: {dict(chooser.left_out)})"
        )
    made = EvaluationSet(
        **asked,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        side=SIDE,
        left_out=dict(chooser.left_out),
        entries=tuple(entries),
    )
    try:
        store.put_record(state_keys.evaluation_set(name), made, if_absent=True)
    except ConflictError:  # somebody else made one at the same time
        return _if_same(read_manifest(name, store, settings), asked)
    return made


def _asked(source: str, name: str, most: int | None, share: float) -> dict[str, object]:
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an evaluation set: letters, digits, - and _, at most 100")
    if not 0 < share <= 1:
        raise UsageError(f"a share is above 0 and at most 1, not {share}")
    if most is not None and most < 2:
        raise UsageError(f"a set of at most {most} photographs cannot be halved")
    source = str(Location.parse(source).folder()) if is_s3(source) else str(Path(source).resolve())
    return {"name": name, "source": source, "most": most, "share": share}


def _if_same(there: EvaluationSet, asked: dict[str, object]) -> EvaluationSet:
    if any(getattr(there, field) != value for field, value in asked.items()):
        what = ", ".join(f"{field} {getattr(there, field)}" for field in ("source", "most", "share"))
        raise UsageError(f"there is another evaluation set {there.name} already ({what}): give another name")
    return there


def _put_square(name: str, entry: Entry, square: bytes, store: Store, settings: Settings) -> None:
    with suppress(ConflictError):  # it is there, from an attempt that was cut off
        key = state_keys.evaluation_square(name, entry.square_sha256)
        store.put(settings.state_bucket, key, square, content_type="image/png", if_absent=True)


def _entry(choice: Choice) -> Entry:
    return Entry(
        name=choice.name,
        sha256=choice.sha256,
        fingerprint=choice.fingerprint,
        square_sha256=hashlib.sha256(choice.square).hexdigest(),
        half="select" if selects(choice.sha256) else "decide",
    )
