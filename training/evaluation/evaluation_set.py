"""A frozen set of photographs to measure models with: a manifest in the state bucket that never changes.

The photographs lie beside it as the squares that are measured, so that the set stays when the archive is rearranged.
One half selects checkpoints, the other alone decides what is promoted. See `sampling.py` for what gets in,
`creation.py` for how a set is made, `squares.py` for its pictures. What is here needs S3 alone.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from photochrom.worker.errors import UsageError
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, NotFoundError, Store
from photochrom.worker.settings import Settings

Half = Literal["select", "decide"]
Part = Half | Literal["both"]


class Entry(BaseModel):
    """A photograph of the set: what it was in the archive, and the square that is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="key or path in the archive when the set was made")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the archive's bytes")
    fingerprint: str = Field(pattern="^[0-9a-f]{16}$", description="perceptual hash of the whole photograph")
    square_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the square, as PNG")
    half: Half


class EvaluationSet(BaseModel):
    """The manifest. `most` and `share` say what was asked for; `left_out` counts the rest of that by reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str
    created: str
    side: int = Field(gt=0)
    most: int | None
    share: float
    left_out: dict[str, int]
    entries: tuple[Entry, ...]

    def of(self, half: Part) -> list[Entry]:
        """The entries of a half, in the set's order."""
        return [entry for entry in self.entries if half in (entry.half, "both")]


def load(name: str, store: Store, settings: Settings) -> EvaluationSet:
    """The set of that name. Raises UsageError where there is none, or its manifest is malformed."""
    try:
        return read_manifest(name, store, settings)
    except NotFoundError as error:
        there = ", ".join(names(store, settings)) or "none"
        raise UsageError(f"there is no evaluation set {name!r} (there are: {there})") from error


def names(store: Store, settings: Settings) -> list[str]:
    """Names of all sets that are complete."""
    folder = Location(settings.state_bucket, state_keys.EVALUATIONS)
    manifests = {listed.key for listed in store.list(folder)}
    return [name for name in store.folders(folder) if state_keys.evaluation_set(name) in manifests]


def read_manifest(name: str, store: Store, settings: Settings) -> EvaluationSet:
    """The set of that name. Raises NotFoundError where there is none, UsageError where its manifest is malformed."""
    try:
        return EvaluationSet.model_validate_json(store.get(settings.state_bucket, state_keys.evaluation_set(name)).data)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"the manifest of the evaluation set {name} is malformed: {problem['msg']}") from error
