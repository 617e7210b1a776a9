"""What a step of a training run works with, how long it may go on, and what it says meanwhile."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from photochrom.training.data.cache import Cache
from photochrom.training.evaluation.evaluation_set import EvaluationSet
from photochrom.training.evaluation.evaluation_set import load as load_evaluation_set
from photochrom.training.fit.loop import Progress
from photochrom.training.runs.records import Run, Runs
from photochrom.training.runs.run_board import Board
from photochrom.worker.errors import RetryableError
from photochrom.worker.models.registry import Registry
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError, Store
from photochrom.worker.settings import Settings

LOOK_SECONDS = 3.0
"""Between two looks whether the run was stopped, and between two words of how far it is."""


DEAF_SECONDS = 60.0
"""After a word that Redis was not there for: each is tried for seconds."""


class Interrupted(Exception):
    """The process is to end, and what it does cannot be cut in two: it is done again."""


class Desk(NamedTuple):
    """A training process's settings, connections and folders. `stopping` says whether it is to end."""

    settings: Settings
    store: Store
    runs: Runs
    registry: Registry
    board: Board
    stopping: Callable[[], bool]

    @classmethod
    def of(cls, settings: Settings, stopping: Callable[[], bool]) -> Desk:
        store = Store(settings)
        return cls(settings, store, Runs(store, settings), Registry(store, settings), Board(settings), stopping)

    def folder(self, run: Run) -> Path:
        """Of the run's state and pictures; there when this comes back."""
        bucket = f"{self.settings.s3_endpoint} {self.settings.state_bucket} {run.request.created}"
        own = hashlib.sha256(bucket.encode()).hexdigest()[:8]  # another bucket may have a run of this name, too
        folder = self.settings.training_folder.expanduser() / "runs" / f"{run.name}-{own}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def cache(self) -> Cache:
        """Of photographs at working size, for all runs."""
        return Cache(self.settings.training_folder.expanduser())

    def is_moved(self, run: Run) -> bool:
        """Whether somebody moved the run since it was read."""
        return self.runs.load(run.name).etag != run.etag

    def put(self, run: Run, part: str, data: bytes) -> None:
        """Write a part of a run to S3."""
        self.store.put(self.settings.state_bucket, state_keys.run(run.name, part), data)

    def put_once(self, run: Run, part: str, data: bytes) -> None:
        """Write a part of a run that never changes: whoever comes late leaves it as it is."""
        with suppress(ConflictError):
            self.store.put(self.settings.state_bucket, state_keys.run(run.name, part), data, if_absent=True)

    def evaluation_set(self, run: Run) -> EvaluationSet:
        return load_evaluation_set(run.request.evaluation, self.store, self.settings)


class Watch:
    """The time that a step has."""

    def __init__(self, run: Run, desk: Desk) -> None:
        self._run, self._desk = run, desk
        self._until = time.monotonic() + desk.settings.training_step_seconds
        self._looked = self._told = time.monotonic()
        self._moved = False

    def over(self) -> bool:
        """Whether time is up, the process is to end, or the run was moved by somebody else: stopped, say."""
        return time.monotonic() > self._until or self.cut_short()

    def cut_short(self) -> bool:
        """Whether the process is to end, or the run was moved by somebody else."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            with suppress(RetryableError):
                self._moved = self._desk.is_moved(self._run)
        return self._moved or self._desk.stopping()

    def tell(self, progress: Progress) -> None:
        """Let `photochrom runs watch` hear how training goes."""
        self._tell(asdict(progress), at_once=bool(progress.figures))

    def count(self, done: int, total: int) -> None:
        """Let it hear how far work that can be counted is. Raises Interrupted when either is to stop."""
        if self.cut_short():
            raise Interrupted
        self._tell({"done": done, "total": total}, at_once=done == total)

    def _tell(self, said: dict[str, Any], at_once: bool) -> None:
        if at_once or time.monotonic() - self._told > LOOK_SECONDS:
            self._told = time.monotonic()
            try:
                self._desk.board.tell(self._run.name, {"phase": self._run.position.phase, **said})
            except RetryableError:  # whoever watches hears it later; the work goes on
                self._told += DEAF_SECONDS
