"""The models that a process serves: the champion, followed as it changes, and versions that jobs pin.

A new champion is fetched, verified, loaded and tried beside the old one, in a thread of its own; then it is taken, in
one assignment, for the next image. Whatever fails on the way, the old one goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from photochrom.worker.errors import CheckpointError, ImageFault, PhotochromError, VersionGoneError
from photochrom.worker.inference.engine import Engine
from photochrom.worker.jobs.context import resources
from photochrom.worker.models.registry import CHAMPION, Pointer, Registry
from photochrom.worker.process.background import every
from photochrom.worker.telemetry import metrics

log = logging.getLogger("photochrom.worker")

AGAIN_SECONDS = 30.0
"""Between two tries of a model that could not be loaded."""


class Serving:
    """The engines of one process. Safe to use from several threads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._loading = threading.Lock()
        self._champion: Engine | None = None
        self._pinned: dict[str, Engine] = {}
        self._refused: Pointer | None = None
        self._unloadable: dict[str, tuple[float, CheckpointError]] = {}

    def engine(self, model: str) -> Engine:
        """The engine of `champion`, a starter or a version. Raises CheckpointError, RetryableError, ImageFault."""
        if model != CHAMPION:
            return self._pinned_engine(model)
        if self._champion is None:
            with self._loading:
                self._champion = self._champion or self._first()
        return self._champion

    def _first(self) -> Engine:
        pointer = self._registry.pointer()
        with self._not_too_often(pointer.promotion.sha256):
            engine = self._load(pointer)
        metrics.served(engine, None, "champion")
        return engine

    def look(self) -> None:
        """Take another champion, if there is one. Raises nothing of ours: it says why the old one goes on."""
        try:
            pointer = self._registry.pointer()
            now = self._champion
            if now is not None and pointer != self._refused and pointer.promotion.sequence != now.promotion:
                self._take(pointer)
        except PhotochromError as error:
            log.warning("cannot look for another model: %s", error, extra={"action": "model_unknown"})

    def _take(self, pointer: Pointer) -> None:
        try:
            with self._loading:
                before, self._champion = self._champion, self._load(pointer)
            metrics.served(self._champion, before, "champion")
            log.info("serving %s", _words(pointer), extra=_extra("model_changed", pointer))
        except CheckpointError as error:
            self._refused = pointer
            said = "%s is not served, the one before it is: %s"
            metrics.REFUSED.inc()
            log.error(said, _words(pointer), error, extra=_extra("model_refused", pointer))

    def follow(self, interval: float) -> threading.Thread:
        """Look every so many seconds, also while nothing is to be coloured, for as long as this process lives."""
        return every(interval, self.look, "model")

    def _load(self, pointer: Pointer) -> Engine:
        now = self._champion
        if now and now.card.sha256 == pointer.promotion.sha256:
            return now.promoted(pointer.promotion.sequence)
        engine = Engine.load(self._registry.weights(pointer.promotion.sha256))
        if engine.card.sha256 != pointer.promotion.sha256:
            raise CheckpointError(f"its card says {engine.card.sha256[:12]}")
        engine.check()
        return engine.promoted(pointer.promotion.sequence)

    def _pinned_engine(self, model: str) -> Engine:
        """One at a time beside the champion: memory stays at its level, whatever jobs ask for.

        Raises ImageFault ("model-gone") for a version that was cleaned away: no other worker could serve it either.
        """
        champion = self._champion
        if champion and champion.card.sha256 == model:
            return champion
        with self._loading:
            if model not in self._pinned:
                with self._not_too_often(model):
                    engine = Engine.load(self._weights(model))
                    engine.check()
                metrics.served(engine, next(iter(self._pinned.values()), None), "pinned")
                self._pinned = {model: engine}
            return self._pinned[model]

    @contextmanager
    def _not_too_often(self, model: str) -> Iterator[None]:
        """A model that could not be loaded is tried again only after a while: it may be large, and many may ask."""
        until, error = self._unloadable.get(model, (0.0, None))
        if error and time.monotonic() < until:
            raise CheckpointError(str(error)) from error
        try:
            yield
        except CheckpointError as error:
            self._unloadable = {model: (time.monotonic() + AGAIN_SECONDS, error)}
            raise

    def _weights(self, model: str) -> Path:
        try:
            return self._registry.weights(model)
        except VersionGoneError as error:
            raise ImageFault("model-gone", str(error)) from error


def _words(pointer: Pointer) -> str:
    promotion = pointer.promotion
    return f"{promotion.name} {promotion.sha256[:12]}, promotion {promotion.sequence}"


def _extra(action: str, pointer: Pointer) -> dict[str, object]:
    promotion = pointer.promotion
    return {
        "action": action, "model": promotion.name, "version": promotion.sha256, "promotion": promotion.sequence
    }  # fmt: skip


@cache
def serving() -> Serving:
    """That of this process."""
    held = resources()
    return Serving(Registry(held.store, held.settings))


def engine_for(model: str) -> Engine:
    """The engine that this process serves under a name. Raises CheckpointError, RetryableError, ImageFault."""
    return serving().engine(model)
