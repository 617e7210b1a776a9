"""A submission: its record, and how one is made. It is true once its object lies in the state bucket."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker import paths
from worker.allowed import check_allowed
from worker.errors import ImageFault, UsageError, WorkerFault
from worker.job import Format, Task
from worker.ledger import Ledger
from worker.models import registry
from worker.settings import Settings
from worker.store import ConflictError, Location, NotFoundError, Store
from worker.version import VERSION

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"


class Submission(BaseModel):
    """What was asked for, as it lies in the state bucket; it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME_PATTERN)
    task: Task
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    code_version: str = VERSION


def submit(
    source: str,
    destination: str,
    *,
    model: str | None = None,
    format: Format | None = None,
    name: str | None = None,
    settings: Settings,
) -> str:
    """Ask for every photograph under `source` to be coloured into `destination`; gives back the submission's name.

    Both are s3://bucket/prefix, and neither may lie inside the other. The control process takes it from there: this
    process may end. With a `name` of one's own, asking twice is asking once.

    Raises UsageError for a request that cannot be carried out, RetryableError when S3 or Redis is away.
    """
    task = plan(source, destination, model=model or settings.model, format=format, settings=settings)
    try:
        submission = Submission(name=name or _new_name(), task=task)
    except ValidationError as error:
        raise UsageError(f"submission: {error.errors()[0]['msg']}") from error
    store = Store(settings)
    data, place = submission.model_dump_json().encode(), paths.submission(submission.name)
    try:
        store.put(settings.state_bucket, place, data, content_type="application/json", if_absent=True)
    except ConflictError:
        if load(submission.name, store, settings).task != task:
            raise UsageError(f"submission {submission.name!r} is there already and asks for something else") from None
    Ledger(settings).activate(submission.name)
    return submission.name


def plan(source: str, destination: str, *, model: str, format: Format | None, settings: Settings) -> Task:
    """Check a request as far as that is possible without listing anything. Raises UsageError."""
    try:
        task = Task(source=source, destination=destination, model=model, format=format)
        if settings.read_from or settings.write_to:  # who only submits may not know what workers allow
            check_allowed(task, settings)
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    except ImageFault as error:
        raise UsageError(str(error)) from error
    if model not in registry.names():
        raise UsageError(f"there is no model {model!r}: there are {', '.join(registry.names())}")
    next(Store(settings).list(Location.parse(source)), None)  # a missing bucket is told here and now
    return task


def load(name: str, store: Store, settings: Settings) -> Submission:
    """The record of a submission. Raises UsageError when there is none of that name."""
    try:
        stored = store.get(settings.state_bucket, paths.submission(name))
    except NotFoundError as error:
        raise UsageError(f"there is no submission {name!r}") from error
    try:
        return Submission.model_validate_json(stored.data)
    except ValidationError as error:
        raise WorkerFault(f"the record of submission {name!r} is malformed: {error.errors()[0]['msg']}") from error


def _new_name() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
