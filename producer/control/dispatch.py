"""Sending images to the workers."""

from __future__ import annotations

from collections.abc import Sequence

from photochrom.producer.records.pages import jobs_of
from photochrom.producer.records.submission import Submission
from photochrom.worker.errors import ImageFault
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Image
from photochrom.worker.jobs.quarantine import record_quarantined
from photochrom.worker.queue.app import app, send_job


def dispatch(submission: Submission, images: Sequence[Image], sent: float, held: Resources) -> None:
    """Put images into the queue; what a manifest names outside the source is quarantined here and now."""
    inside = [image for image in images if submission.task.has_below(image.key)]
    with app.producer_or_acquire() as producer:
        for job in jobs_of(submission, inside, sent, held.settings):
            send_job(job, producer=producer)
    if len(inside) == len(images):
        return
    for image in images:
        if not submission.task.has_below(image.key):
            fault = ImageFault("outside-source", f"{image.key} is not below {submission.task.source}")
            record_quarantined(submission.name, image, fault, held.store, held.ledger, held.settings)
