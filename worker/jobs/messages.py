"""The messages: what a job says. Plain JSON on the wire; whatever arrives is validated before it is believed."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from photochrom.worker.errors import ImageFault, UsageError
from photochrom.worker.formats import READ_ONLY, Format, JpegProfile, output_name
from photochrom.worker.s3.store import Location

MOST_KEY_BYTES = 1024
"""S3's own limit."""

MOST_URL_LETTERS = len("s3://") + 63 + 1 + MOST_KEY_BYTES

MOST_IMAGES = 1_000_000_000
"""Of a submission: Redis keeps two bits for each ordinal up to the highest one."""

MOST_ETAG_LETTERS, MOST_SIZE, MOST_MODEL_LETTERS = 200, 2**53, 200
"""More than any S3 server or model has; a job is not to be larger than its images make it."""

MOST_TOLD = 500
"""Characters of what is wrong with a message, which may hold much of it."""

MOST_ATTEMPTS = 10_000
"""Counted of a job: the wait before the next one is a power of that."""

OnChange = Literal["quarantine", "take"]
Priority = Literal[0, 3, 6, 9]


class Image(BaseModel):
    """One image of a submission, as it was listed. Its ordinal is its place in the ledger's bitmaps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ordinal: int = Field(ge=0, lt=MOST_IMAGES)
    key: str = Field(min_length=1, max_length=MOST_KEY_BYTES)
    etag: str = Field("", max_length=MOST_ETAG_LETTERS, description="as listed; empty where a manifest does not say")
    size: int = Field(0, ge=0, le=MOST_SIZE, description="bytes, as listed; 0 where a manifest does not say")

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, value: str) -> str:
        if len(value.encode()) > MOST_KEY_BYTES:
            raise ValueError(f"a key has at most {MOST_KEY_BYTES} bytes")
        return value


class Task(BaseModel):
    """What is to be done with every image of a submission."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(
        max_length=MOST_URL_LETTERS, description="s3://bucket/prefix, the folder where the keys were listed"
    )
    destination: str = Field(max_length=MOST_URL_LETTERS, description="s3://bucket/prefix, where the results go")
    model: str = Field(max_length=MOST_MODEL_LETTERS)
    format: Format | None = Field(None, description="of the results; the source's own when not given")
    jpeg: JpegProfile | None = Field(None, description="how JPEG is coloured; as the worker is set when not given")
    on_change: OnChange = Field(
        "quarantine", description="when a source is not what was listed: quarantine, or take it"
    )
    priority: Priority = Field(6, description="0 urgent, 3 high, 6 normal, 9 low")
    epoch: int = Field(
        0, ge=0, lt=10**15, description="milliseconds since 1970 when it was asked for: later work replaces earlier"
    )
    stale: bool = Field(False, description="colour only what another version of the model coloured before")
    promotion: int = Field(
        0, ge=0, lt=10**9, description="of stale work: the promotion that a worker has to have taken over"
    )

    @model_validator(mode="after")
    def _never_touch_the_archive(self) -> Task:
        """Neither place may lie inside the other: no output is ever listed as a source, none lands on one."""
        source, destination = Location.parse(self.source), Location.parse(self.destination)
        for place in (source, destination):
            if leads_out(place.prefix):
                raise ValueError(f"{place} has '..' between its slashes")
        if source.contains(destination) or destination.contains(source):
            raise ValueError(f"{destination} and the source {source} lie inside one another")
        return self

    def has_below(self, key: str) -> bool:
        """Whether a key lies below the source, and leads nowhere else."""
        return key.startswith(Location.parse(self.source).folder().prefix) and not leads_out(key)

    def output_format(self, key: str) -> Format | None:
        """The format of the result for the source `key`; None where it is whatever the file turns out to be."""
        return self.format or READ_ONLY.get(PurePosixPath(key).suffix.lower())

    def output(self, key: str) -> Location:
        """Where the result for the source `key` goes: below the destination, as below the source.

        Raises ImageFault ("outside-source") for a key that is not below the source.
        """
        below = Location.parse(self.source).folder().prefix
        if not self.has_below(key):
            raise ImageFault("outside-source", f"{key} is not below {self.source}")
        destination = Location.parse(self.destination).folder()
        return Location(destination.bucket, destination.prefix + output_name(key[len(below) :], self.format))


class Job(BaseModel):
    """1 to 32 images of one submission, coloured by one worker one after another."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    submission: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")
    task: Task
    images: tuple[Image, ...] = Field(min_length=1, max_length=32)
    sent: float = Field(0.0, ge=0, allow_inf_nan=False, description="when it was put into the queue, by Redis's clock")
    attempt: int = Field(0, ge=0, le=MOST_ATTEMPTS, description="how often it was put back after a fault that may pass")

    @model_validator(mode="after")
    def _stay_below_the_source(self) -> Job:
        """What a worker may read is checked for the source: no key may lead elsewhere."""
        for image in self.images:
            if not self.task.has_below(image.key):
                raise ValueError(f"{image.key} is not below {self.task.source}")
        return self

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Job:
        """Raises UsageError, in one line, when the message is no job."""
        try:
            return cls.model_validate(message)
        except ValidationError as error:
            problem = error.errors(include_input=False)[0]
            raise UsageError(f"not a job: {problem['loc']}: {problem['msg']}"[:MOST_TOLD]) from error

    def message(self) -> dict[str, Any]:
        """The job as plain JSON values."""
        return self.model_dump(mode="json")

    def only(self, images: list[Image], sent: float, attempt: int = 0) -> Job:
        """The same job with some of its images, to be sent again."""
        return self.model_copy(update={"images": tuple(images), "sent": sent, "attempt": attempt})


def leads_out(key: str) -> bool:
    """Whether a key has ".." between its slashes: a name like any other to AWS; another server may go up a folder."""
    return ".." in key.split("/")
