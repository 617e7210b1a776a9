"""Every Redis key of Photochrom. Those of a submission get a time to live once it has ended."""

from __future__ import annotations

EPOCH = "photochrom:epoch"
"""Which Redis this is: the same word lies in S3. Missing or different means that Redis was lost."""

ACTIVE = "photochrom:active"
"""Set of the submissions that the control process advances."""

WAITING = "photochrom:waiting"
"""Set of the submissions that a new Redis still lacks, because S3 holds something of them that cannot be read."""

QUEUE = "photochrom.colorize"
"""List of the jobs of the highest priority; Celery makes one more for each other priority."""

PRIORITIES = {"urgent": 0, "high": 3, "normal": 6, "low": 9}
"""Celery's numbers for those of a submission."""

TRAINING_QUEUE = "photochrom.training"
"""List of the steps of training runs that wait for a training process."""

UNACKED = "photochrom:unacked:{role}"
UNACKED_INDEX = "photochrom:unacked-index:{role}"
UNACKED_MUTEX = "photochrom:unacked-mutex:{role}"
"""Celery's own: messages that were taken and not acknowledged, by role."""

_PARTS = (
    "done", "quarantined", "reasons", "faults", "notes", "starts", "sent", "pages", "cursor", "suspects", "cancelled",
    "samples", "due",
)  # fmt: skip


def of(submission: str, part: str) -> str:
    """A key of a submission.

    done, quarantined: bitmaps by ordinal. reasons: hash, reason to count. faults: hash, ordinal to reason, of the
    quarantined images of unfinished pages. notes: hash, ordinal to what is to be known of their done images beside
    that. starts: hash, ordinal to the tokens of its starts without an outcome. sent: hash, ordinal to the time of its
    own last job. pages: hash, unfinished page to its first ordinal, count and time of its jobs. cursor: hash, how far
    listing has come. suspects: set of ordinals that looked lost at the last look. cancelled: exists when the submission
    is. samples: list, oldest first, of times within the last minutes and how many images had ended then. due: sorted
    set, by the time when they are to be sent, of jobs that wait for another try.
    """
    if part not in _PARTS:
        raise KeyError(part)
    return f"photochrom:submission:{submission}:{part}"


def all_of(submission: str) -> list[str]:
    return [of(submission, part) for part in _PARTS]


def lock(name: str) -> str:
    return f"photochrom:lock:{name}"


def queue(priority: int) -> str:
    """The list in which Celery keeps jobs of a priority (0, 3, 6 or 9; 0 is the highest)."""
    return f"{QUEUE}\x06\x16{priority}" if priority else QUEUE


def probe(queue: str) -> str:
    """Written now and then, by which a process sees whether Redis writes; below the name of its own queue."""
    return f"{queue}:probe"


def progress(run: str) -> str:
    """What the training process last said of a run; with a time to live."""
    return f"photochrom:training:{run}"


def begun(run: str, step: int) -> str:
    """How often a step of a run was begun and did not end; with a time to live."""
    return f"photochrom:training:{run}:begun:{step}"
