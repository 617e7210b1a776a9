"""What a result says of itself, as object metadata, and what follows from it for whoever would write there again.

Metadata is ASCII and under 2 KB, so a source is named by the SHA-256 of its bucket and key.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Protocol

from photochrom.worker.jobs.messages import Image, Job
from photochrom.worker.s3.store import Location
from photochrom.worker.version import VERSION


class Standing(Enum):
    """How what lies at a destination stands to what would be written there."""

    OLDER = "older"
    """From the same source, by other work that comes before this: it is replaced."""
    CURRENT = "current"
    """The same work on the same source: nothing is to be done."""
    NEWER = "newer"
    """From the same source, by work that comes after this: it stays."""
    FOREIGN = "foreign"
    """Not from this source: it is never touched."""


class Version(Protocol):
    """A version of a model, as results name it."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from and what made it."""

    source: str
    source_etag: str
    source_size: int
    model: str
    model_sha256: str
    options: str
    order: str
    photochrom: str = VERSION

    def metadata(self) -> dict[str, str]:
        """As S3 object metadata."""
        return {name.replace("_", "-"): str(value) for name, value in asdict(self).items()}

    def of_source(self, etag: str, size: int) -> Provenance:
        """The same for the source as it was really fetched."""
        return Provenance(**{**asdict(self), "source_etag": etag.strip('"'), "source_size": size})

    def standing(self, there: dict[str, str]) -> Standing:
        """How an object with the metadata `there` stands to this work.

        Identity never rests on an ETag alone: source, its ETag and size, the model's SHA-256 and the options have all
        to be the same. Of different work, the later submission wins, then the later promotion.
        """
        mine = self.metadata()
        if there.get("source") != self.source:
            return Standing.FOREIGN
        same = ("source-etag", "source-size", "model-sha256", "options")
        if all(there.get(name) == mine[name] for name in same):
            return Standing.CURRENT
        return Standing.NEWER if there.get("order", "") > self.order else Standing.OLDER

    def has_same_model(self, there: dict[str, str]) -> bool:
        """Whether an object with the metadata `there` was made by this version of the model."""
        return there.get("model-sha256") == self.model_sha256

    def has_same_submission(self, there: dict[str, str]) -> bool:
        """Whether an object with the metadata `there` was made when this was asked for."""
        return there.get("order", "").partition(".")[0] == self.order.partition(".")[0]


def provenance_of(image: Image, job: Job, card: Version, promotion: int, options: str) -> Provenance:
    """The provenance of the result for an image as it was listed; `options` is what else decides its bytes, as JSON."""
    bucket = Location.parse(job.task.source).bucket
    return Provenance(
        source=hashlib.sha256(f"{bucket}/{image.key}".encode()).hexdigest(),
        source_etag=image.etag.strip('"'),
        source_size=image.size,
        model=card.name,
        model_sha256=card.sha256,
        options=options,
        order=f"{job.task.epoch:015d}.{promotion:09d}",
    )
