"""Photographs in colour to learn from and to measure with: none is fetched or decoded before it is asked for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from photochrom.training.data.source import fetch, is_s3, list_source, store_of
from photochrom.training.data.working_copy import LIMITS, as_seen
from photochrom.worker.errors import UsageError
from photochrom.worker.s3.store import Listed, Store


class Readable(Protocol):
    """A photograph with a name, whose pixels are there when they are asked for."""

    @property
    def name(self) -> str: ...

    def rgb(self) -> Image.Image:
        """As a viewer shows it: RGB in sRGB, upright."""


@dataclass(frozen=True)
class Encoded:
    """The bytes of a photograph, shown as a viewer would: upright, in sRGB."""

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def rgb(self) -> Image.Image:
        """Raises ImageFault for what is larger than training takes, and any error of a decoder."""
        image = Image.open(io.BytesIO(self.data))
        LIMITS.check_size(*image.size)
        return as_seen(image)


@dataclass(frozen=True)
class FromSource:
    """A photograph as it was listed (see `source.py`), fetched when it is asked for and not kept."""

    source: str
    listed: Listed
    store: Store | None

    @property
    def name(self) -> str:
        return self.listed.key

    def rgb(self) -> Image.Image:
        """Raises ImageFault; RetryableError and WorkerFault as S3 does; and any error of a decoder."""
        return self.fetched().rgb()

    def fetched(self) -> Encoded:
        """Its bytes. Raises ImageFault; RetryableError and WorkerFault as S3 does."""
        return Encoded(self.name, fetch(self.source, self.listed, self.store))


def photographs_of(source: str, store: Store | None = None) -> list[FromSource]:
    """All photographs under a folder, or an `s3://bucket/prefix`. Raises UsageError for none.

    The store is that of the settings unless given; a folder needs none.
    """
    store = (store or store_of(source)) if is_s3(source) else None
    found = [FromSource(source, listed, store) for listed in list_source(source, store)]
    if not found:
        raise UsageError(f"no photographs in {source}")
    return found


def told(photographs: Sequence[Readable], tell: Callable[[int, int], None]) -> Iterator[Readable]:
    """The photographs, one by one; behind each, `tell` is given how many are done, and of how many."""
    for done, photograph in enumerate(photographs, 1):
        yield photograph
        tell(done, len(photographs))
