"""The photographs of a run, frozen: which are learned from, which are kept to validate with, and what was left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from photochrom.training.data.cache import Cache, Record
from photochrom.training.data.fingerprint import Fingerprints
from photochrom.training.data.source import identities
from photochrom.worker.errors import UsageError
from photochrom.worker.s3.store import Listed

COPY = "copy"
IN_EVALUATION, NEAR_EVALUATION = "part of the evaluation set", "near-duplicate of the evaluation set"

TOLD_EVERY = 1000
"""Photographs between two words of how far it is."""

Side = Literal["training", "validation"]


class NotPreparedError(UsageError):
    """The cache was not filled as far as it has to be, or lost something since: `prepare` fetches what lacks."""


class KeptOut(Protocol):
    """A photograph of an evaluation set, which nothing may learn from."""

    @property
    def sha256(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...


class Entry(NamedTuple):
    """A photograph fit to learn from: where it lay when it was listed, what it is, and on which side it stands."""

    key: str
    etag: str
    size: int | None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    side: Side


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Literal[1] = 1
    source: str
    photographs: int
    left_out: dict[str, int]
    mean_chroma: tuple[float, float]


_ENTRY = TypeAdapter(Entry)


@dataclass(frozen=True)
class Manifest:
    """`left_out` counts by reason; `mean_chroma` is the mean U and V of the training photographs, centred on 0."""

    source: str
    entries: tuple[Entry, ...]
    left_out: dict[str, int]
    mean_chroma: tuple[float, float]

    def of(self, side: Side) -> list[Entry]:
        return [entry for entry in self.entries if entry.side == side]

    def listing(self) -> list[Listed]:
        """The photographs that are needed, as they were listed: for `prepare` on another machine."""
        return [Listed(entry.key, entry.etag, entry.size) for entry in self.entries]

    def dump(self) -> bytes:
        """JSON lines: a header, then an array for every photograph, about 200 bytes each."""
        header = _Header(
            source=self.source,
            photographs=len(self.entries),
            left_out=self.left_out,
            mean_chroma=self.mean_chroma,
        )
        lines = (json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in self.entries)
        return "\n".join([header.model_dump_json(), *lines, ""]).encode()

    @classmethod
    def load(cls, data: bytes) -> Manifest:
        """The inverse of `dump`. Raises UsageError for what is no whole manifest."""
        first, *lines = data.split(b"\n")
        try:
            header = _Header.model_validate_json(first)
            entries = tuple(_ENTRY.validate_json(line) for line in lines if line)
        except ValidationError as error:
            problem = error.errors()[0]
            raise UsageError(f"this is no manifest of photographs: {problem['loc']}: {problem['msg']}") from error
        if len(entries) != header.photographs:
            raise UsageError(
                f"the manifest names {len(entries)} of its {header.photographs} photographs: it was cut off"
            )
        return cls(header.source, entries, header.left_out, header.mean_chroma)


def freeze(
    source: str,
    listing: Iterable[Listed],
    cache: Cache,
    validation_share: float,
    kept_out: Iterable[KeptOut] = (),
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Say of every listed photograph, all of which the cache knows, whether it is fit and on which side it stands.

    The side is decided by the SHA-256 of its bytes: it is the same in every run. Left out, besides what the cache has
    a reason against, are second copies and what is in `kept_out`, be it the very file or a near-duplicate. With a share
    of 0 there is no validation side. `tell` hears how many are done, of how many.

    Raises NotPreparedError where the cache does not know a photograph, UsageError where a side stays empty, and what
    `tell` raises.
    """
    listing, evaluation = list(listing), _Evaluation(kept_out)
    entries: list[Entry] = []
    left_out: Counter[str] = Counter()
    seen: set[str] = set()
    chroma = []
    records = cache.records(identities(source, listing))
    for done, (listed, record) in enumerate(zip(listing, records, strict=True), 1):
        if done % TOLD_EVERY == 0 or done == len(listing):
            tell(done, len(listing))
        if record is None:
            raise NotPreparedError(f"{listed.key} of {source} is not in the cache yet: prepare the photographs first")
        reason = COPY if record.sha256 in seen else record.reason or evaluation.reason_against(record)
        seen |= {record.sha256} - {""}
        if reason or record.traits is None:
            left_out[str(reason)] += 1
            continue
        side = side_of(record.sha256, validation_share)
        entries.append(Entry(*listed, record.sha256, record.traits.fingerprint, side))
        if side == "training":
            chroma.append(record.traits.mean_chroma)
    if not chroma or (validation_share and len(chroma) == len(entries)):
        raise UsageError(f"not enough photographs to train on under {source} (left out: {dict(left_out)})")
    u, v = np.mean(chroma, axis=0).tolist()
    return Manifest(source, tuple(entries), dict(left_out), (round(u, 5), round(v, 5)))


class _Evaluation:
    """What nothing may learn from."""

    def __init__(self, kept_out: Iterable[KeptOut]) -> None:
        photographs = list(kept_out)
        self._hashes = {photograph.sha256 for photograph in photographs}
        self._fingerprints = Fingerprints(photograph.fingerprint for photograph in photographs)

    def reason_against(self, record: Record) -> str | None:
        if record.sha256 in self._hashes:
            return IN_EVALUATION
        return NEAR_EVALUATION if record.traits and self._fingerprints.near(record.traits.fingerprint) else None


def side_of(sha256: str, validation_share: float) -> Side:
    """Which side a photograph stands on: a larger share only moves photographs into validation."""
    return "validation" if int(sha256[:8], 16) < validation_share * 2**32 else "training"
