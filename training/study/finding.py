"""What is known of a study's entry: how it was trained, and every score. One file each: nothing is done twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError

from photochrom.training.data.readable import Readable
from photochrom.training.evaluation.evaluate import evaluate
from photochrom.worker.errors import UsageError
from photochrom.worker.inference.engine import Engine

FILE = "finding.json"


@dataclass(frozen=True)
class EvaluationSet:
    """Photographs to measure with."""

    photographs: Sequence[Readable]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over their names and pixels; one that cannot be decoded counts with its name."""
        found = hashlib.sha256()
        for photograph in self.photographs:
            found.update(f"{photograph.name}\0".encode())
            with suppress(Exception):  # any decoder error means the same here
                found.update(photograph.rgb().tobytes())
        return found.hexdigest()


class Judged(BaseModel):
    """Scores on one evaluation set, which is told by the digest of its photographs."""

    digest: str
    summary: dict[str, Any] = Field(
        description="means, gains and shares, as photochrom.training.evaluation.evaluate gives them"
    )
    names: list[str]
    scores: list[tuple[float, float, float]] = Field(description="PSNR, CIEDE2000, colourfulness of each photograph")


class Finding(BaseModel):
    """One entry: the weights that were measured, and the scores by the names of the evaluation sets."""

    name: str
    about: str
    sha256: str
    parameters: int
    recipe: dict[str, Any] | None = Field(None, description="None for a decode")
    decode: dict[str, Any] | None = Field(None, description="how a trained entry is read; None for a trained one")
    source: str = ""
    photographs: int = 0
    images_per_second: float | None = Field(None, description="while training, validation not counted")
    history: list[dict[str, float]] = Field(default_factory=list, description="validation figures of every epoch")
    judged: dict[str, Judged] = Field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What was written into `folder`; None where nothing was. Raises UsageError for a file that is another."""
        path = folder / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise UsageError(f"{path} is not of this version: {error.errors()[0]['msg']}") from error

    def write(self, folder: Path) -> None:
        """Replace the file whole; a kill at any moment leaves the old one or the new one."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{FILE}.partial"
        partial.write_text(self.model_dump_json(indent=1) + "\n")
        partial.replace(folder / FILE)


def judge(engine: Engine, photographs: EvaluationSet) -> Judged:
    """Score the engine's colours. Raises UsageError for photographs without colour, CheckpointError for no colours."""
    evaluation = evaluate(photographs.photographs, engine, engine.card.trained_on.mean_chroma)
    scores = [(psnr, ciede2000, colour) for psnr, ciede2000, colour in evaluation.scores["model"].tolist()]
    return Judged(digest=photographs.digest, summary=evaluation.summary(), names=evaluation.names, scores=scores)
