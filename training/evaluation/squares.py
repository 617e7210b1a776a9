"""The pictures of an evaluation set: the center squares that are measured, fetched once and held against SHA-256."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from photochrom.training.evaluation.evaluation_set import Entry, EvaluationSet, Part
from photochrom.worker.errors import UsageError
from photochrom.worker.process.exhaustion import shortages_translated
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import NotFoundError, Store
from photochrom.worker.settings import Settings

FETCHES = 8
"""Squares fetched at once."""


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


def squares_of(
    found: EvaluationSet,
    half: Part,
    store: Store,
    settings: Settings,
    cache_folder: Path | None = None,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Square]:
    """The squares of a half, on this machine: what is not yet in `cache_folder` is fetched into it.

    The folder is `evaluations` in the settings' training folder unless given. Raises UsageError for a square that is
    missing or was altered, DiskFullFault.
    """
    folder = cache_folder or settings.training_folder.expanduser() / "evaluations"
    entries = found.of(half)
    squares = []
    with ThreadPoolExecutor(FETCHES) as pool:
        for square in pool.map(lambda entry: _square(found.name, entry, folder, store, settings), entries):
            squares.append(square)
            tell(len(squares), len(entries))
    return squares


def _square(name: str, entry: Entry, folder: Path, store: Store, settings: Settings) -> Square:
    square = Square(entry.name, folder / f"{entry.square_sha256}.png", entry.square_sha256)
    if square.is_whole():
        return square
    try:
        data = store.get(settings.state_bucket, state_keys.evaluation_square(name, entry.square_sha256)).data
    except NotFoundError as error:
        raise UsageError(f"evaluation set {name}: the square of {entry.name} is missing") from error
    if hashlib.sha256(data).hexdigest() != entry.square_sha256:
        raise UsageError(f"evaluation set {name}: the square of {entry.name} was altered")
    with shortages_translated():
        square.write(data)
    return square
