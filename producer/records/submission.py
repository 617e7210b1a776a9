"""A submission: its record, and how one is made. It is true once its object lies in the state bucket."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from photochrom.producer.records.filters import Filters
from photochrom.worker.errors import ImageFault, UsageError
from photochrom.worker.formats import Format, JpegProfile
from photochrom.worker.jobs.allowed import check_allowed
from photochrom.worker.jobs.messages import MOST_MODEL_LETTERS, MOST_URL_LETTERS, OnChange, Priority, Task
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.models.registry import CHAMPION, Registry
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError, Location, NotFoundError, Store
from photochrom.worker.settings import Settings
from photochrom.worker.version import VERSION

MOST_NAME_LETTERS = 100
NAME_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,{MOST_NAME_LETTERS - 1}}}$"
RESERVED_NAMES = ("inbox",)

MOMENT = {"epoch": 0, "promotion": 0}
"""What of a task comes from the moment at which it was asked for; the rest was asked for."""


class Request(BaseModel):
    """What somebody asks for: the arguments of `submit`, of the task `photochrom.submit`, of a file in the inbox."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(
        max_length=MOST_URL_LETTERS,
        description="s3://bucket/prefix: the folder of the photographs; it is only ever read",
    )
    destination: str = Field(
        max_length=MOST_URL_LETTERS, description="s3://bucket/prefix for the results, outside the source"
    )
    manifest: str | None = Field(
        None,
        max_length=MOST_URL_LETTERS,
        description="s3:// URL of a list of keys: .txt, .csv, .jsonl, or an S3 Inventory",
    )
    filters: Filters = Filters()
    model: str | None = Field(None, max_length=MOST_MODEL_LETTERS)
    format: Format | None = None
    jpeg: JpegProfile | None = None
    on_change: OnChange = "quarantine"
    priority: Priority = 6
    stale: bool = Field(False, description="colour only what another version of the model coloured before")
    name: str | None = Field(None, pattern=NAME_PATTERN, description="asking twice under one name is asking once")

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str | None) -> str | None:
        if value in RESERVED_NAMES:
            raise ValueError(f"{value!r} is no name for a submission")
        return value


class Submission(BaseModel):
    """What was asked for, as it lies in the state bucket; it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME_PATTERN)
    task: Task
    manifest: str | None = None
    filters: Filters = Filters()
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    code_version: str = VERSION


def submit(source: str, destination: str, *, settings: Settings, **options: object) -> str:
    """Ask for every photograph under `source` to be coloured into `destination`; gives back the submission's name.

    Both are s3://bucket/prefix, and neither may lie inside the other; `options` are the other fields of `Request`. The
    control process takes it from there: this process may end.

    Raises UsageError for a request that cannot be carried out, RetryableError when S3 or Redis is away.
    """
    return make(parse_request({"source": source, "destination": destination, **options}), settings)


def parse_request(values: dict[str, object]) -> Request:
    """Raises UsageError, in one line, for what is no request."""
    try:
        return Request.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, problem['loc'])) or 'request'}: {problem['msg']}") from error


def make(request: Request, settings: Settings) -> str:
    """Turn a request into a submission and put it before the control process; gives back its name."""
    submission = Submission(
        name=request.name or new_name(),
        task=plan(request, settings),
        manifest=request.manifest,
        filters=request.filters,
    )
    store = Store(settings)
    try:
        store.put_record(state_keys.submission(submission.name), submission, if_absent=True)
    except ConflictError:
        _check_same(load(submission.name, store, settings), submission)
    if not ended(submission.name, store, settings):
        Ledger(settings).activate(submission.name)
    return submission.name


def plan(request: Request, settings: Settings) -> Task:
    """Check a request as far as that is possible without listing anything. Raises UsageError."""
    store = Store(settings)
    registry = Registry(store, settings)
    model = registry.resolve(request.model or settings.model)
    follows = request.stale and model == CHAMPION
    try:
        task = Task(
            source=request.source,
            destination=request.destination,
            model=model,
            format=request.format,
            jpeg=request.jpeg,
            on_change=request.on_change,
            priority=request.priority,
            epoch=time.time_ns() // 1_000_000,
            stale=request.stale,
            promotion=registry.pointer().promotion.sequence if follows else 0,
        )
        if settings.read_from or settings.write_to:  # who only submits may not know what workers allow
            check_allowed(task, settings)
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    except ImageFault as error:
        raise UsageError(str(error)) from error
    next(store.list(Location.parse(request.source).folder()), None)  # a missing bucket is told here and now
    return task


def load(name: str, store: Store, settings: Settings) -> Submission:
    """The record of a submission. Raises UsageError when there is none of that name, WorkerFault for a broken one."""
    try:
        return store.record(state_keys.submission(name), Submission)
    except NotFoundError as error:
        raise UsageError(f"there is no submission {name!r}") from error


def ended(name: str, store: Store, settings: Settings) -> bool:
    """Whether S3 says that all of it has ended."""
    return exists(store, settings.state_bucket, state_keys.ended(name))


def exists(store: Store, bucket: str, key: str) -> bool:
    try:
        store.head(bucket, key)
    except NotFoundError:
        return False
    return True


def _check_same(there: Submission, asked: Submission) -> None:
    """A name may be asked for again, if the same is asked for."""
    same_task = there.task.model_copy(update=MOMENT) == asked.task.model_copy(update=MOMENT)
    if not same_task or (there.manifest, there.filters) != (asked.manifest, asked.filters):
        raise UsageError(f"submission {asked.name!r} is there already and asks for something else")


def new_name() -> str:
    """For a submission that got none: its time, and some letters for two within a second."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
