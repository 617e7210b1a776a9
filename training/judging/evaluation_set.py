"""A frozen set of photographs to measure models with: a manifest in the state bucket that never changes.

The photographs lie beside it as the squares that are measured, so that the set stays when the archive is rearranged.
One half selects checkpoints, the other alone decides what is promoted. See `evaluation_choice.py` for what gets in.
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.data.source import is_s3
from training.judging.choice import Choice, Chooser, Tell, selects
from training.judging.evaluate import SIDE
from worker import paths
from worker.errors import UsageError
from worker.settings import Settings
from worker.shortage import shortages_translated
from worker.store import ConflictError, Location, NotFoundError, Store

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
FETCHES = 8
"""Squares fetched at once."""

Half = Literal["select", "decide"]


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

    def of(self, half: Half | Literal["both"]) -> list[Entry]:
        """The entries of a half, in the set's order."""
        return [entry for entry in self.entries if half in (entry.half, "both")]

    def photographs(
        self,
        half: Half | Literal["both"],
        store: Store,
        settings: Settings,
        cache_folder: Path | None = None,
        tell: Tell = lambda done, total: None,
    ) -> list[Square]:
        """The squares of a half, on this machine: what is not yet in `cache_folder` is fetched into it.

        The folder is `evaluations` in the settings' training folder unless given. Raises UsageError for a square that
        is missing or was altered, DiskFullFault.
        """
        folder = cache_folder or settings.training_folder.expanduser() / "evaluations"
        entries = self.of(half)
        found = []
        with ThreadPoolExecutor(FETCHES) as pool:
            for square in pool.map(lambda entry: self._square(entry, folder, store, settings), entries):
                found.append(square)
                tell(len(found), len(entries))
        return found

    def _square(self, entry: Entry, folder: Path, store: Store, settings: Settings) -> Square:
        square = Square(entry.name, folder / f"{entry.square_sha256}.png", entry.square_sha256)
        if square.is_whole():
            return square
        try:
            data = store.get(settings.state_bucket, paths.evaluation_square(self.name, entry.square_sha256)).data
        except NotFoundError as error:
            raise UsageError(f"evaluation set {self.name}: the square of {entry.name} is missing") from error
        if hashlib.sha256(data).hexdigest() != entry.square_sha256:
            raise UsageError(f"evaluation set {self.name}: the square of {entry.name} was altered")
        with shortages_translated():
            square.write(data)
        return square


@dataclass(frozen=True)
class Square:
    """The centre square of a photograph, as a PNG on this machine."""

    name: str
    path: Path
    sha256: str

    def rgb(self) -> Image.Image:
        """The square as an RGB picture of `side` x `side`. Raises UsageError when the file is not what it was."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise UsageError(f"the square of {self.name} cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise UsageError(f"the square of {self.name} was altered: {self.path}")
        return Image.open(io.BytesIO(data)).convert("RGB")

    def is_whole(self) -> bool:
        """Whether the file is there and is what it should be."""
        return self.path.is_file() and hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256

    def write(self, data: bytes) -> None:
        """Replace the file; others see the old one or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.path.parent, delete=False) as file:
            file.write(data)
        Path(file.name).replace(self.path)


def create(
    source: str,
    name: str,
    store: Store,
    settings: Settings,
    most: int | None = None,
    share: float = 1.0,
    tell: Tell = lambda done, total: None,
) -> EvaluationSet:
    """Make a set of the photographs under a folder or an `s3://bucket/prefix`; the one that is there if it is the same.

    `share` takes those whose SHA-256 falls into the first so much of its range, and leaves the rest of the source to
    learn from; of these, `most` takes the first so many by SHA-256. `tell` is given how many are done, and of how
    many: first of those that are hashed, then of those that are looked at.

    Squares are written first and the manifest last. Raises UsageError where the name is taken by another set, and
    where the source has too little.
    """
    asked = _asked(source, name, most, share)
    with suppress(NotFoundError):
        return _if_same(_manifest(name, store, settings), asked)
    chooser = Chooser(source, store, tell)
    entries = []
    for choice in chooser.choose(most, share):
        entry = _entry(choice)
        _put_square(name, entry, choice.square, store, settings)
        entries.append(entry)
    if {entry.half for entry in entries} != {"select", "decide"}:
        raise UsageError(
            f"{len(entries)} photographs under {source} are too few to halve (left out: {dict(chooser.left_out)})"
        )
    made = EvaluationSet(
        **asked,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        side=SIDE,
        left_out=dict(chooser.left_out),
        entries=tuple(entries),
    )
    try:
        store.put_record(paths.evaluation_set(name), made, if_absent=True)
    except ConflictError:  # somebody else made one at the same time
        return _if_same(_manifest(name, store, settings), asked)
    return made


def load(name: str, store: Store, settings: Settings) -> EvaluationSet:
    """The set of that name. Raises UsageError where there is none, or its manifest is malformed."""
    try:
        return _manifest(name, store, settings)
    except NotFoundError as error:
        there = ", ".join(names(store, settings)) or "none"
        raise UsageError(f"there is no evaluation set {name!r} (there are: {there})") from error


def names(store: Store, settings: Settings) -> list[str]:
    """Names of all sets that are complete."""
    folder = Location(settings.state_bucket, paths.EVALUATIONS)
    manifests = {listed.key for listed in store.list(folder)}
    return [name for name in store.folders(folder) if paths.evaluation_set(name) in manifests]


def _asked(source: str, name: str, most: int | None, share: float) -> dict[str, object]:
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an evaluation set: letters, digits, - and _, at most 100")
    if not 0 < share <= 1:
        raise UsageError(f"a share is above 0 and at most 1, not {share}")
    if most is not None and most < 2:
        raise UsageError(f"a set of at most {most} photographs cannot be halved")
    source = str(Location.parse(source).folder()) if is_s3(source) else str(Path(source).resolve())
    return {"name": name, "source": source, "most": most, "share": share}


def _manifest(name: str, store: Store, settings: Settings) -> EvaluationSet:
    try:
        return EvaluationSet.model_validate_json(store.get(settings.state_bucket, paths.evaluation_set(name)).data)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"the manifest of the evaluation set {name} is malformed: {problem['msg']}") from error


def _if_same(there: EvaluationSet, asked: dict[str, object]) -> EvaluationSet:
    if any(getattr(there, field) != value for field, value in asked.items()):
        what = ", ".join(f"{field} {getattr(there, field)}" for field in ("source", "most", "share"))
        raise UsageError(f"there is another evaluation set {there.name} already ({what}): give another name")
    return there


def _put_square(name: str, entry: Entry, square: bytes, store: Store, settings: Settings) -> None:
    with suppress(ConflictError):  # it is there, from an attempt that was cut off
        key = paths.evaluation_square(name, entry.square_sha256)
        store.put(settings.state_bucket, key, square, content_type="image/png", if_absent=True)


def _entry(choice: Choice) -> Entry:
    return Entry(
        name=choice.name,
        sha256=choice.sha256,
        fingerprint=choice.fingerprint,
        square_sha256=hashlib.sha256(choice.square).hexdigest(),
        half="select" if selects(choice.sha256) else "decide",
    )
