"""Versions and the pointer to the one that is served: published, promoted, rolled back, cleared away.

Only who trains writes here. A version never changes: weights first, then its card and evaluation. A promotion is one
conditional write of the pointer, so that of two at once one wins and the other learns it; what the pointer said before
stands in the history by then, and the history only grows. To promote and to roll back takes S3 alone, and no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from photochrom.training.who import who
from photochrom.worker.errors import UsageError
from photochrom.worker.models.card import Card, read_card, read_weights
from photochrom.worker.models.registry import Pointer, Promotion, Registry
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError, Location, NotFoundError, Store
from photochrom.worker.settings import Settings


class OvertakenError(UsageError):
    """Somebody else promoted a model since the decision was made."""


class Promotions:
    """The registry of a state bucket, as those see it who train."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._bucket = store, settings.state_bucket
        self.registry = Registry(store, settings)

    def publish(self, weights: Path, evaluation: dict[str, Any] | None = None) -> str:
        """Put a checkpoint into the bucket as a version and give back its SHA-256; fine when it is there already.

        Raises CheckpointError for one that was altered, does not fit its card, or has values that are not finite.
        """
        card = _verified(weights)
        self._put_version(weights, card)
        if evaluation is not None:
            self._store.put_record(state_keys.evaluation(card.sha256), evaluation)
        return card.sha256

    def promote(
        self, sha256: str, why: str, figures: dict[str, float] | None = None, expected: Pointer | None = None
    ) -> Promotion:
        """Let the workers serve a version. `expected` is the pointer that the decision rests on, if not this moment's.

        Raises OvertakenError where somebody else promoted since then, CheckpointError for a version that is not there,
        was altered, or (where torch is installed) does not fit its card.
        """
        now = expected or self.registry.pointer()
        card = self._put_promoted(sha256)
        if not now.promotion.sequence:  # a starter, too, is to be had by every worker, and again later
            self._put_promoted(now.promotion.sha256)
        self._remember(now.promotion)
        promotion = Promotion(
            sequence=now.promotion.sequence + 1,
            sha256=sha256,
            name=card.name,
            who=who(),
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            why=why,
            figures=figures or {},
            previous=now.promotion.sha256,
        )
        try:
            self._store.put_record(state_keys.CHAMPION, promotion, if_match=now.etag, if_absent=now.etag is None)
        except (ConflictError, NotFoundError) as error:
            raise OvertakenError("somebody else promoted a model in the meantime: look again") from error
        self._remember(promotion)
        return promotion

    def rollback(self, why: str) -> Promotion:
        """Promote what was served before the present champion. Raises UsageError where there is no such version."""
        now = self.registry.pointer()
        if not now.promotion.previous:
            raise UsageError("nothing was promoted yet: there is no model to go back to")
        return self.promote(now.promotion.previous, why, expected=now)

    def evaluation(self, sha256: str) -> Any:
        """What was measured of a version before it was published; None where nothing was."""
        try:
            return self._store.record(state_keys.evaluation(sha256), dict)
        except NotFoundError:
            return None

    def history(self) -> Iterator[Promotion]:
        """All promotions, the first one first."""
        now = self.registry.pointer().promotion
        last = 0
        for listed in self._store.list(Location(self._bucket, state_keys.HISTORY)):
            promotion = self._store.record(listed.key, Promotion)
            last = promotion.sequence
            yield promotion
        if now.sequence > last:  # whoever promoted it was cut off before noting it
            yield now

    def collectable(self, keep: int) -> list[str]:
        """Versions that nobody needs: not promoted, and not among the last `keep` that were promoted or published."""
        promoted = [promotion.sha256 for promotion in self.history()]
        needed = {self.registry.pointer().promotion.sha256, *list(dict.fromkeys(reversed(promoted)))[:keep]}
        needed |= set(self._newest()[:keep])
        return [sha256 for sha256 in self.registry.versions() if sha256 not in needed]

    def delete(self, sha256: str) -> None:
        """Remove a version: the card first, so that it is no version any more while its weights still lie there."""
        for key in (state_keys.card(sha256), state_keys.evaluation(sha256), state_keys.weights(sha256)):
            self._store.delete(self._bucket, key)

    def _newest(self) -> list[str]:
        """Versions by the time they were published, the last one first."""
        found = self.registry.versions()
        times = {sha256: self._store.head(self._bucket, state_keys.weights(sha256)).modified for sha256 in found}
        return sorted(found, key=lambda sha256: str(times[sha256]), reverse=True)

    def _remember(self, promotion: Promotion) -> None:
        if promotion.sequence:
            with suppress(ConflictError):  # it is there already
                self._store.put_record(state_keys.promotion(promotion.sequence), promotion, if_absent=True)

    def _put_promoted(self, sha256: str) -> Card:
        weights = self.registry.weights(sha256)
        card = _verified_here(weights)
        self._put_version(weights, card)
        return card

    def _put_version(self, weights: Path, card: Card) -> None:
        self._put_once(state_keys.weights(card.sha256), weights.read_bytes())
        self._put_once(state_keys.card(card.sha256), card.model_dump_json(indent=2).encode())

    def _put_once(self, key: str, data: bytes) -> None:
        try:
            self._store.head(self._bucket, key)  # what is there already need not travel again
        except NotFoundError:
            with suppress(ConflictError):
                self._store.put(self._bucket, key, data, if_absent=True)


def _verified(weights: Path) -> Card:
    from photochrom.worker.models import checkpoint  # this alone needs torch

    return checkpoint.read(weights)[1]


def _verified_here(weights: Path) -> Card:
    """The card of weights that are what it says; their tensors are looked at where torch is installed.

    Elsewhere that has to do: a version was looked at when it was published, and going back is not to wait for torch.
    """
    try:
        return _verified(weights)
    except ImportError:
        card = read_card(weights)
        read_weights(weights, card)
        return card
