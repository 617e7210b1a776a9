"""What has become of every image, found in S3 and in the ledger, and held against what should have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from photochrom.producer.records.pages import Page
from photochrom.producer.records.submission import exists
from photochrom.worker.ledger import keys
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, NotFoundError, Store
from tests.chaos.pictures import Judgement, Kind, Picture, judge

READERS = 4
"""Threads that fetch results."""

EXAMPLES = 20
"""Images named for each finding."""

LOST = "lost"
WRONG = "wrong"
MIXED_UP = "mixed up"
TWICE = "ended twice"
WRONGLY_QUARANTINED = "wrongly quarantined"
NOT_QUARANTINED = "not quarantined"
DISAGREEING = "ledger says otherwise"
STRAY = "result of no good image"
TOUCHED = "source touched"
FINDINGS = (LOST, WRONG, MIXED_UP, TWICE, WRONGLY_QUARANTINED, NOT_QUARANTINED, DISAGREEING, STRAY, TOUCHED)


@dataclass
class Found:
    """What lies in S3, and what the ledger says of it."""

    ended: bool = False
    """Whether S3 says that the submission has ended."""
    ordinals: dict[str, list[int]] = field(default_factory=dict)
    """By name of the source, the ordinals that the manifest gave it: one."""
    finished: set[int] = field(default_factory=set)
    """Ordinals of the pages that have an outcome object."""
    records: dict[int, list[str]] = field(default_factory=dict)
    """By ordinal, the reasons of its quarantine objects."""
    done: set[int] = field(default_factory=set)
    quarantined: set[int] = field(default_factory=set)
    """The ledger's bits."""
    reasons: dict[str, int] = field(default_factory=dict)
    """The ledger's counts."""
    results: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    """ETags."""


@dataclass
class Verdict:
    """How many images were found how; all are zero when every promise held."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FINDINGS, 0))
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, finding: str, example: str) -> None:
        self.counts[finding] += 1
        examples = self.examples.setdefault(finding, [])
        if len(examples) < EXAMPLES:
            examples.append(example)

    @property
    def all_well(self) -> bool:
        return not any(self.counts.values())


def check(pictures: Iterable[Picture], etags: Mapping[str, str], found: Found) -> Verdict:
    """Hold every image against what should have become of it. `etags` are the sources' as they were uploaded."""
    verdict = Verdict()
    expected = {picture.name: picture for picture in pictures}
    for picture in expected.values():
        _check_outcome(picture, found, verdict)
    for name in found.results:
        if name not in expected or expected[name].kind is not Kind.GOOD:
            verdict.add(STRAY, name)
    for name in etags.keys() | found.sources.keys():
        if etags.get(name) != found.sources.get(name):
            verdict.add(TOUCHED, name)
    counted = Counter(reason for reasons in found.records.values() for reason in set(reasons))
    if counted != Counter(found.reasons):
        verdict.add(DISAGREEING, f"reasons in the ledger {found.reasons}, in S3 {dict(counted)}")
    return verdict


def _check_outcome(picture: Picture, found: Found, verdict: Verdict) -> None:
    name, ordinals = picture.name, found.ordinals.get(picture.name, [])
    if len(ordinals) != 1:
        verdict.add(TWICE if ordinals else LOST, f"{name}: ordinals {ordinals}")
        return
    ordinal = ordinals[0]
    reasons = found.records.get(ordinal, [])
    example = f"{name} ({ordinal}): {picture.kind.name.lower()}, quarantined for {reasons}"
    in_open_page = ordinal in found.done and not found.ended
    if not reasons and ordinal not in found.finished and not in_open_page:
        verdict.add(LOST, example)
        return
    if len(reasons) > 1 or (ordinal in found.done and ordinal in found.quarantined):
        verdict.add(TWICE, example)
    if (ordinal in found.done, ordinal in found.quarantined) != (not reasons, bool(reasons)):
        verdict.add(DISAGREEING, f"{example}, done {ordinal in found.done}")
    if picture.kind is Kind.GOOD:
        _check_result(picture, bool(reasons), example, found, verdict)
    elif not reasons:
        verdict.add(NOT_QUARANTINED, example)
    elif reasons != [picture.kind.value]:
        verdict.add(WRONGLY_QUARANTINED, example)


def _check_result(picture: Picture, quarantined: bool, example: str, found: Found, verdict: Verdict) -> None:
    if quarantined:
        verdict.add(WRONGLY_QUARANTINED, example)
    elif picture.name not in found.results:
        verdict.add(LOST, f"{example}, done without a result")
    else:
        judgement = judge(picture.number, found.results[picture.name])
        if judgement is not Judgement.RIGHT:
            verdict.add(MIXED_UP if judgement is Judgement.MIXED_UP else WRONG, example)


def collect(submission: str, source: Location, destination: Location, state: str, store: Store, redis: Any) -> Found:
    """Read all of it; `redis` is a plain connection, so that the ledger's own reading is not trusted either."""
    found = Found(ended=exists(store, state, state_keys.ended(submission)))
    for listed in store.list(Location(state, state_keys.pages(submission))):
        page = Page.model_validate_json(store.get(state, listed.key).data)
        for image in page.images:
            found.ordinals.setdefault(image.key.removeprefix(source.prefix), []).append(image.ordinal)
    for listed in store.list(Location(state, state_keys.outcomes(submission))):
        if page_ended := state_keys.parse_outcome(listed.key):
            found.finished.update(range(page_ended.first, page_ended.first + page_ended.images))
    for listed in store.list(Location(state, state_keys.quarantines(submission))):
        if record := state_keys.parse_quarantine(listed.key):
            found.records.setdefault(record.ordinal, []).append(record.reason)
    found.done = _bits(redis.get(keys.of(submission, "done")))
    found.quarantined = _bits(redis.get(keys.of(submission, "quarantined")))
    counts = redis.hgetall(keys.of(submission, "reasons"))
    found.reasons = {reason.decode(): int(count) for reason, count in counts.items()}
    found.sources = {item.key.removeprefix(source.prefix): item.etag for item in store.list(source)}
    found.results = _fetched(store, destination)
    return found


def _fetched(store: Store, folder: Location) -> dict[str, bytes]:
    """All objects of a folder by their names inside it."""
    names = [item.key.removeprefix(folder.prefix) for item in store.list(folder)]

    def fetch(name: str) -> bytes:
        try:
            return store.get(folder.bucket, folder.prefix + name).data
        except NotFoundError:
            return b""

    return dict(zip(names, in_parallel(fetch, names), strict=True))


def in_parallel(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(work, items))


def _bits(bitmap: bytes | None) -> set[int]:
    """The numbers of the bits that are set, as Redis numbers them."""
    return {
        byte * 8 + place for byte, value in enumerate(bitmap or b"") for place in range(8) if value & (0x80 >> place)
    }
