"""Jobs that waited for another try go back into the queue when their time has come."""

from __future__ import annotations

import logging

from pydantic import ValidationError

from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Job
from photochrom.worker.queue.app import app, send_job

log = logging.getLogger("photochrom.control")

AT_ONCE = 1000
"""Jobs of a submission that are sent at one look."""


def send_due(held: Resources) -> int:
    """Send what is due of all submissions that have not ended; gives back how many jobs.

    First sent, then taken away: if this process dies in between, a job comes twice, which does no harm. Raises
    RetryableError when Redis is away.
    """
    with held.ledger.lock("due") as mine:
        return sum(_send_due(name, held) for name in held.ledger.active()) if mine else 0


def _send_due(submission: str, held: Resources) -> int:
    found = held.ledger.due(submission, AT_ONCE)
    if not found or held.ledger.is_cancelled(submission):
        return 0
    with app.producer_or_acquire() as producer:
        for text in found:
            try:
                job = Job.model_validate_json(text)
            except ValidationError:
                log.error("no job among those of %s that wait", submission, extra=_extra("job_refused", submission))
            else:
                # To the reconciler it is as old as its place in the queue: what is older than those would look lost.
                now = held.ledger.note_sent(submission, [image.ordinal for image in job.images])
                send_job(job.only(list(job.images), sent=now, attempt=job.attempt), producer=producer)
            held.ledger.remove_due(submission, text)
    return len(found)


def _extra(action: str, submission: str) -> dict[str, object]:
    return {"action": action, "submission": submission}
