"""A training run as it lies in the state bucket: what was asked, where it stands, and the one that may go on.

A run is a request that never changes and a position that is replaced under If-Match: of two processes that work at one
run, one moves it and the other learns that it came too late. No lock could promise that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from photochrom.training.runs.request import NAME_PATTERN, Request, now
from photochrom.worker.errors import UsageError, WorkerFault
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError, Location, NotFoundError, Store
from photochrom.worker.settings import Settings

log = logging.getLogger("photochrom.training")

Phase = Literal["prepare", "train", "judge"]
Status = Literal["running", "stopped", "ended", "failed"]

RESUMABLE: tuple[Status, ...] = ("stopped", "failed")


class Verdict(BaseModel):
    """What became of the challenger."""

    challenger: str = Field(description="SHA-256")
    champion: str = Field(description="SHA-256 of what it was held against")
    sequence: int | None = Field(None, description="of its promotion; None: it was not promoted")
    reasons: list[str]
    figures: dict[str, float] = Field(default_factory=dict)


class Copy(BaseModel):
    """A copy of a run's state in S3; there are two places, used in turn."""

    model_config = ConfigDict(frozen=True)

    place: str
    sha256: str
    epoch: int
    step: int


class Position(BaseModel):
    """Where a run stands."""

    model_config = ConfigDict(frozen=True)

    status: Status = "running"
    phase: Phase = "prepare"
    steps: int = Field(0, description="steps that were taken")
    copies: tuple[Copy, ...] = Field((), description="the last copies of its state in S3, the newest one first")
    epoch: int = 0
    step: int = Field(0, description="of the epoch")
    history: list[dict[str, float]] = Field(default_factory=list, description="figures by epoch")
    verdict: Verdict | None = None
    why: str = Field("", description="of stopping or failing")
    updated: str = Field(default_factory=now)

    def moved(self, **changes: Any) -> Position:
        """The position with these changes, as of now."""
        return self.model_copy(update={**changes, "updated": now()})


class Run(NamedTuple):
    """A run as it was read; `etag` is that of its position."""

    request: Request
    position: Position
    etag: str

    @property
    def name(self) -> str:
        return self.request.name


class LateError(Exception):
    """Somebody else moved the run since it was read."""


class Runs:
    """The training runs of a state bucket."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._bucket = settings.state_bucket

    def start(self, request: Request) -> None:
        """Begin a run; asking for the same twice is asking once.

        Raises UsageError where one of its model goes on already, or another one of its name is there.
        """
        held = self._held(request.model)
        self._refuse_second(request, held)
        self._put_records(request)
        self._take(request, held)

    def load(self, name: str) -> Run:
        """Raises UsageError where there is none of that name, WorkerFault for a broken record."""
        if not NAME_PATTERN.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a run")
        try:
            request = self._store.get(self._bucket, state_keys.run(name, "request.json"))
            position = self._store.get(self._bucket, state_keys.run(name, "position.json"))
        except NotFoundError as error:
            raise UsageError(f"there is no run {name!r}") from error
        try:
            parsed = Request.model_validate_json(request.data), Position.model_validate_json(position.data)
        except ValidationError as error:
            raise WorkerFault(f"the record of run {name!r} is malformed: {error.errors()[0]['msg']}") from error
        return Run(*parsed, position.etag)

    def move(self, run: Run, position: Position) -> Run:
        """Replace the position that was read. Raises LateError where somebody else did since."""
        try:
            etag = self._store.put_record(state_keys.run(run.name, "position.json"), position, if_match=run.etag)
        except (ConflictError, NotFoundError) as error:
            there = self.load(run.name)
            if there.position != position:  # else it was written, and only the answer lost
                raise LateError(run.name) from error
            return there
        return Run(run.request, position, etag)

    def stop(self, name: str) -> None:
        """Let a run go no further than the step in hand. Raises UsageError where it is not running."""
        self._change(name, ("running",), status="stopped", why="stopped by hand")

    def resume(self, name: str) -> None:
        """Let a stopped or failed run go on. Raises UsageError where it is neither, or another one of its model is."""
        run = self.load(name)
        if run.position.status not in RESUMABLE:
            raise UsageError(f"run {name} is {run.position.status}, not {' or '.join(RESUMABLE)}")
        held = self._held(run.request.model)
        self._refuse_second(run.request, held)
        self._take(run.request, held)
        self._change(name, RESUMABLE, status="running", why="")

    def active(self) -> Iterator[Run]:
        """The runs that are to go on, at most one a model."""
        for listed in self._store.list(Location(self._bucket, state_keys.ACTIVE_RUNS)):
            model = listed.key.removeprefix(state_keys.ACTIVE_RUNS).removesuffix(".json")
            run = self._running(self._held(model).name)
            if run is not None:
                yield run

    def is_active(self, run: Run) -> bool:
        """Whether this is the run of its model that may go on."""
        return self._held(run.request.model).name == run.name and run.position.status == "running"

    def names(self) -> list[str]:
        """Of all runs there ever were, in order."""
        return sorted(self._store.folders(Location(self._bucket, state_keys.RUNS)))

    def _change(self, name: str, wanted: tuple[Status, ...], **changes: Any) -> None:
        for _ in range(5):
            run = self.load(name)
            if run.position.status not in wanted:
                raise UsageError(f"run {name} is {run.position.status}, not {' or '.join(wanted)}")
            try:
                self.move(run, run.position.moved(**changes))
                return
            except LateError:  # a step has ended just now
                continue
        raise UsageError(f"run {name} is being moved by others all the time")

    def _refuse_second(self, request: Request, held: _Held) -> None:
        running = self._running(held.name) if held.name != request.name else None
        if running is not None:
            raise UsageError(f"run {running.name} of {request.model} goes on already: one a model at a time")

    def _running(self, name: str) -> Run | None:
        """The run of that name, if it goes on. One that cannot be read does not, and stops no other."""
        try:
            run = self.load(name) if name else None
        except UsageError:  # whoever wanted to begin it was cut off
            return None
        except WorkerFault as error:
            log.error("%s", error, extra={"action": "run_unknown"})
            return None
        return run if run is not None and run.position.status == "running" else None

    def _put_records(self, request: Request) -> None:
        try:
            self._store.put_record(state_keys.run(request.name, "request.json"), request, if_absent=True)
        except ConflictError as error:
            there = self._store.get(self._bucket, state_keys.run(request.name, "request.json"))
            if not request.asks_the_same(Request.model_validate_json(there.data)):
                raise UsageError(f"there is another run {request.name!r} already") from error
        with suppress(ConflictError):
            self._store.put_record(state_keys.run(request.name, "position.json"), Position(), if_absent=True)
        if (status := self.load(request.name).position.status) != "running":
            raise UsageError(f"there is a run {request.name!r} already, which is {status}")

    def _held(self, model: str) -> _Held:
        try:
            stored = self._store.get(self._bucket, state_keys.active_run(model))
        except NotFoundError:
            return _Held("", None)
        try:
            return _Held(Active.model_validate_json(stored.data).run, stored.etag)
        except ValidationError:
            log.error("what names the active run of %s is malformed", model, extra={"action": "run_unknown"})
            return _Held("", stored.etag)

    def _take(self, request: Request, held: _Held) -> None:
        """Make it the one run of its model, also where it is that: who saw the pointer before comes too late."""
        try:
            self._store.put_record(
                state_keys.active_run(request.model),
                Active(run=request.name),
                if_match=held.etag,
                if_absent=held.etag is None,
            )
        except (ConflictError, NotFoundError) as error:
            if self._held(request.model).name == request.name:  # written, and only the answer lost
                return
            run = self.load(request.name)
            if run.position.steps == 0:
                self.move(run, run.position.moved(status="failed", why="another run was begun at the same time"))
            raise UsageError(f"another run of {request.model} was begun just now") from error


class Active(BaseModel):
    """The run of a model that may go on."""

    run: str


class _Held(NamedTuple):
    name: str
    etag: str | None
