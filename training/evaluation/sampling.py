"""Which photographs of a source get into an evaluation set, and into which half of it.

All of it follows from the SHA-256 of a photograph's bytes: names do not count, and what is added or removed later moves
no photograph to the other half. Each question takes digits of its own, none of them those by which a training run
splits off its validation photographs: an evaluation set would otherwise take just these.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from photochrom.training.data.fingerprint import Fingerprints
from photochrom.training.data.photographs import center_square
from photochrom.training.data.readable import Encoded
from photochrom.training.data.source import fetch, is_s3, list_source
from photochrom.training.data.working_copy import working_copy
from photochrom.training.evaluation.evaluate import SIDE
from photochrom.worker.errors import ImageFault
from photochrom.worker.s3.store import Listed, Store

READERS = 4
BLOCK = 64
"""Photographs looked at together: so many squares lie in memory."""

Tell = Callable[[int, int], None]


class Choice(NamedTuple):
    """A photograph that gets in. `square` is a PNG, RGB, 224 x 224."""

    name: str
    sha256: str
    fingerprint: str
    square: bytes


class Chooser:
    """Goes through a source, a folder or an `s3://bucket/prefix`; `left_out` counts what does not get in by reason."""

    def __init__(self, source: str, store: Store, tell: Tell = lambda done, total: None) -> None:
        self._source, self._store, self._tell = source, store if is_s3(source) else None, tell
        self.left_out: Counter[str] = Counter()

    def choose(self, most: int | None = None, share: float = 1.0) -> Iterator[Choice]:
        """The photographs that get in, ordered by SHA-256.

        Those in the first `share` of all SHA-256 are looked at, until there are `most`. Left out are copies,
        near-duplicates of one that got in, and what is unreadable, too small, or next to gray. Raises UsageError for
        no folder; RetryableError and WorkerFault as S3 does.
        """
        chosen = 0
        with ThreadPoolExecutor(READERS) as pool:
            wanted = self._wanted(pool, share)
            for choice in self._without_near_duplicates(self._looked_at(pool, wanted)):
                chosen += 1
                self._tell(chosen, min(most or len(wanted), len(wanted)))
                yield choice
                if chosen == most:
                    return

    def _wanted(self, pool: ThreadPoolExecutor, share: float) -> list[tuple[str, Listed]]:
        """The photographs of the share with their SHA-256, each content once, in order."""
        listing = list_source(self._source, self._store)
        wanted: dict[str, Listed] = {}
        for done, (listed, sha256) in enumerate(zip(listing, pool.map(self._hashed, listing), strict=True), 1):
            self._tell(done, len(listing))
            if isinstance(sha256, ImageFault):
                self.left_out[sha256.reason] += 1
            elif sha256 in wanted:
                self.left_out["copy"] += 1
            elif _place(sha256) < share:
                wanted[sha256] = listed
        return sorted(wanted.items(), key=lambda item: (_place(item[0]), item[0]))

    def _hashed(self, listed: Listed) -> str | ImageFault:
        try:
            return hashlib.sha256(fetch(self._source, listed, self._store)).hexdigest()
        except ImageFault as fault:
            return fault

    def _looked_at(self, pool: ThreadPoolExecutor, wanted: list[tuple[str, Listed]]) -> Iterator[Choice]:
        for start in range(0, len(wanted), BLOCK):
            for found in pool.map(self._look_at, wanted[start : start + BLOCK]):
                if isinstance(found, ImageFault):
                    self.left_out[found.reason] += 1
                else:
                    yield found

    def _look_at(self, wanted: tuple[str, Listed]) -> Choice | ImageFault:
        sha256, listed = wanted
        try:
            data = fetch(self._source, listed, self._store)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise ImageFault("changed", f"{listed.key} is not what it was a moment ago")
            fingerprint = working_copy(data).traits.fingerprint
            square = center_square(Encoded(listed.key, data).rgb(), SIDE)
        except ImageFault as fault:
            return fault
        return Choice(listed.key, sha256, fingerprint, _png(square))

    def _without_near_duplicates(self, found: Iterator[Choice]) -> Iterator[Choice]:
        """Of photographs that are near one another only the first: they could stand in both halves."""
        fingerprints: list[str] = []
        before = last = Fingerprints([])
        for choice in found:
            if before.near(choice.fingerprint) or last.near(choice.fingerprint):
                self.left_out["near-duplicate"] += 1
                continue
            fingerprints.append(choice.fingerprint)
            if len(fingerprints) % BLOCK == 0:  # all of them anew for each one would take long
                before = Fingerprints(fingerprints)
            last = Fingerprints(fingerprints[-BLOCK:])
            yield choice


def selects(sha256: str) -> bool:
    """Whether a photograph belongs to the half that selects checkpoints; the others decide."""
    return int(sha256[16:24], 16) < 2**31


def _place(sha256: str) -> float:
    """0 to below 1: where a photograph stands in the order by which shares are taken."""
    return int(sha256[8:16], 16) / 2**32


def _png(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()
