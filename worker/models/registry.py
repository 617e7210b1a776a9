"""Which model is served under which name, as those see it who serve it.

Versions lie in the state bucket under their SHA-256 and never change; a small pointer names the one that is promoted,
with a sequence number. A fresh installation has no pointer yet and serves the starter model that ships with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from photochrom.worker.digest import sha256_of
from photochrom.worker.errors import CheckpointError, UsageError, VersionGoneError
from photochrom.worker.process.exhaustion import shortages_translated
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, NotFoundError, Store
from photochrom.worker.settings import Settings

STARTERS = Path(__file__).parent / "starters"
CHAMPION = "champion"
DEFAULT_STARTER = "vgg16-yuv"

_SHA256 = re.compile("[0-9a-f]{64}")
_ABBREVIATED = re.compile("[0-9a-f]{8,64}")


class Promotion(BaseModel):
    """Which version is served since when, and why. The pointer is the last of them; the history has them all.

    `sequence` counts from 1; a starter that nobody promoted is 0. `figures` are those that decided.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sequence: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    name: str
    who: str = ""
    when: str = ""
    why: str = ""
    figures: dict[str, float] = Field(default_factory=dict)
    previous: str = Field("", pattern="^([0-9a-f]{64})?$", description="SHA-256 of what was served before")


class Pointer(NamedTuple):
    """The promotion that counts, and the ETag of the object that says so; None where nothing was promoted yet."""

    promotion: Promotion
    etag: str | None


class Registry:
    """The models of an installation: the starters on its disk, and the versions in its state bucket."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings

    def pointer(self) -> Pointer:
        """What is promoted. Raises CheckpointError for a pointer that is none."""
        try:
            stored = self._store.get(self._settings.state_bucket, state_keys.CHAMPION)
        except NotFoundError:
            return Pointer(Promotion(sequence=0, sha256=sha256_of_starter(DEFAULT_STARTER), name=DEFAULT_STARTER), None)
        try:
            return Pointer(Promotion.model_validate_json(stored.data), stored.etag)
        except ValidationError as error:
            raise CheckpointError(f"the pointer to the champion is malformed: {error.errors()[0]['msg']}") from error

    def versions(self) -> list[str]:
        """SHA-256 of every version in the bucket, in order."""
        folders = self._store.folders(Location(self._settings.state_bucket, state_keys.VERSIONS))
        return [name for name in folders if _SHA256.fullmatch(name)]

    def resolve(self, model: str) -> str:
        """What a job says of a model that somebody asks for: `champion`, a starter's name, or a whole SHA-256.

        A version may be abbreviated to 8 digits or more. Raises UsageError for what is not there, or not one.
        """
        if model == CHAMPION or model in starters():
            return model
        found = [sha256 for sha256 in self.versions() if sha256.startswith(model)]
        if not _ABBREVIATED.fullmatch(model) or not found:
            raise UsageError(
                f"there is no model {model!r}: there are {', '.join([CHAMPION, *starters()])}, and versions"
            )
        if len(found) > 1:
            raise UsageError(f"{len(found)} versions begin with {model}: give more digits")
        return found[0]

    def whole(self, model: str) -> str:
        """The SHA-256 of a model that somebody asks for, as it is now. Raises UsageError, CheckpointError."""
        found = self.resolve(model)
        if found == CHAMPION:
            return self.pointer().promotion.sha256
        return sha256_of_starter(found) if found in starters() else found

    def card(self, sha256: str) -> bytes:
        """The card of a version or a starter, as JSON. Raises VersionGoneError when there is none."""
        here = _starter_of(sha256)
        try:
            if here:
                return here.with_suffix(".json").read_bytes()
            return self._store.get(self._settings.state_bucket, state_keys.card(sha256)).data
        except (NotFoundError, OSError) as error:
            raise VersionGoneError(f"there is no version {sha256}") from error

    def weights(self, model: str) -> Path:
        """The weights file on this machine of a starter or of a version, its card beside it.

        A version that is not here yet is fetched and held against its SHA-256. Raises VersionGoneError when there
        is none, CheckpointError when it was altered, DiskFullFault.
        """
        if not _SHA256.fullmatch(model):
            return starter(model)
        return _starter_of(model) or self._fetched(model)

    def _fetched(self, sha256: str) -> Path:
        weights = self._settings.model_cache.expanduser() / f"{sha256}.safetensors"
        if _is_whole(weights, sha256):
            return weights
        bucket = self._settings.state_bucket
        try:
            card = self._store.get(bucket, state_keys.card(sha256)).data
            data = self._store.get(bucket, state_keys.weights(sha256)).data
        except NotFoundError as error:
            raise VersionGoneError(f"there is no version {sha256}") from error
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise CheckpointError(f"version {sha256[:12]} was altered: its SHA-256 is {found}")
        with shortages_translated():
            weights.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(weights.with_suffix(".json"), card)
            _write_whole(weights, data)  # last: where the weights are, the card is
        return weights


def starters() -> list[str]:
    """Names of the models that ship with the project."""
    return sorted(path.stem for path in STARTERS.glob("*.safetensors"))


def starter(name: str) -> Path:
    """The weights file of a starter. Never a path: a job may come from anywhere. Raises CheckpointError."""
    path = STARTERS / f"{name}.safetensors"
    if Path(name).name != name or path not in STARTERS.glob("*.safetensors"):
        raise CheckpointError(f"no model {name!r}: there are {', '.join([CHAMPION, *starters()])}, and versions")
    return path


def sha256_of_starter(name: str) -> str:
    """As its card says it. Raises CheckpointError."""
    try:
        return str(json.loads(starter(name).with_suffix(".json").read_bytes())["sha256"])
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"the card of the starter {name} cannot be read: {error}") from error


def _starter_of(sha256: str) -> Path | None:
    return next((starter(name) for name in starters() if sha256_of_starter(name) == sha256), None)


def _is_whole(weights: Path, sha256: str) -> bool:
    """Whether the file is there as it was written: power may have failed meanwhile."""
    try:
        with weights.open("rb") as file:
            return sha256_of(file) == sha256
    except OSError:
        return False


def _write_whole(path: Path, data: bytes) -> None:
    """The file is there whole or not at all, however many processes write it at once."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
