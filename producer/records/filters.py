"""Which of the listed keys are wanted."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from photochrom.worker.formats import SUFFIXES
from photochrom.worker.jobs.messages import MOST_KEY_BYTES
from photochrom.worker.s3.store import Listed

Suffix = Annotated[str, Field(max_length=100)]


class Filters(BaseModel):
    """All have to be met. Sizes that a manifest does not say meet every size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suffixes: tuple[Suffix, ...] = Field(
        tuple(SUFFIXES), max_length=100, description="endings of names, whatever their case"
    )
    smallest: int = Field(0, ge=0, description="bytes")
    largest: int | None = Field(None, ge=0, description="bytes")
    glob: str | None = Field(
        None, max_length=MOST_KEY_BYTES, description="pattern for the whole key: * matches also '/'"
    )

    @field_validator("suffixes")
    @classmethod
    def _as_compared(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple("." + suffix.lower().removeprefix(".") for suffix in value)

    def want(self, listed: Listed) -> bool:
        """Whether a key is to be coloured."""
        stem, dot, ending = listed.key.rpartition(".")  # pathlib takes as long as all the rest of a key's way
        if not stem or stem.endswith("/") or (dot + ending).lower() not in self.suffixes:
            return False
        if self.glob is not None and not fnmatchcase(listed.key, self.glob):
            return False
        if listed.size is None:
            return True
        return self.smallest <= listed.size and (self.largest is None or listed.size <= self.largest)
