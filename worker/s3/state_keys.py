"""Names of the objects in the state bucket. What rebuilding the ledger needs stands in the names: it only lists."""

from __future__ import annotations

import re
from typing import NamedTuple

EPOCH = "epoch.json"
SUBMISSIONS = "submissions/"
INBOX = "submissions/inbox/"


def submission(name: str) -> str:
    return f"submissions/{name}/submission.json"


def pages(name: str) -> str:
    return f"submissions/{name}/pages/"


def page(name: str, number: int) -> str:
    return f"{pages(name)}{number:08d}.json"


def cursor(name: str) -> str:
    """Where listing stood some time ago behind the last page, in a source that holds few photographs."""
    return f"submissions/{name}/cursor.json"


def ended(name: str) -> str:
    return f"submissions/{name}/ended.json"


def cancelled(name: str) -> str:
    return f"submissions/{name}/cancelled.json"


def report(name: str, suffix: str) -> str:
    return f"submissions/{name}/report.{suffix}"


def manifest(name: str) -> str:
    return f"submissions/{name}/manifest.jsonl"


class FinishedPage(NamedTuple):
    """All images of the page have an outcome; so many of them are quarantined, and the object says which."""

    number: int
    first: int
    images: int
    quarantined: int


def outcomes(name: str) -> str:
    return f"submissions/{name}/outcomes/"


def outcome(name: str, page: FinishedPage) -> str:
    return f"{outcomes(name)}{page.number:08d}.{page.first:012d}.{page.images}.{page.quarantined}.json"


def parse_outcome(key: str) -> FinishedPage | None:
    """None for a name that no outcome has."""
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)\.(\d+)\.json", key.rpartition("/")[2], re.ASCII)
    return FinishedPage(*map(int, found.groups())) if found else None


class QuarantinedImage(NamedTuple):
    ordinal: int
    reason: str


def quarantines(name: str) -> str:
    return f"submissions/{name}/quarantine/"


def quarantine(name: str, image: QuarantinedImage) -> str:
    return f"{quarantines(name)}{image.ordinal:012d}.{image.reason}.json"


def parse_quarantine(key: str) -> QuarantinedImage | None:
    """None for a name that no quarantine record has."""
    found = re.fullmatch(r"(\d+)\.([^.]+)\.json", key.rpartition("/")[2], re.ASCII)
    return QuarantinedImage(int(found[1]), found[2]) if found else None


CHAMPION = "models/champion.json"
VERSIONS = "models/versions/"
HISTORY = "models/history/"


def weights(sha256: str) -> str:
    return f"{VERSIONS}{sha256}/weights.safetensors"


def card(sha256: str) -> str:
    return f"{VERSIONS}{sha256}/card.json"


def evaluation(sha256: str) -> str:
    return f"{VERSIONS}{sha256}/evaluation.json"


def promotion(sequence: int) -> str:
    return f"{HISTORY}{sequence:09d}.json"


RUNS = "training/runs/"
EVALUATIONS = "training/evaluations/"
ACTIVE_RUNS = "training/active/"
SCHEDULE = "training/schedule.json"


def active_run(model: str) -> str:
    """Names the one run of a model that may go on."""
    return f"{ACTIVE_RUNS}{model}.json"


def run(name: str, part: str) -> str:
    """Of a training run: `request.json`, `position.json`, `listing.jsonl`, `dataset.jsonl`, states, pictures."""
    return f"{RUNS}{name}/{part}"


def evaluation_set(name: str) -> str:
    return f"{EVALUATIONS}{name}/manifest.json"


def evaluation_square(name: str, sha256: str) -> str:
    return f"{EVALUATIONS}{name}/squares/{sha256}.png"
