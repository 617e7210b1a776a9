"""Finding and putting back what went missing.

A queue cannot promise that nothing is lost: kombu takes a message and notes it as taken in two steps, and a kill in
between loses it. An image counts as lost when it has no outcome, is older than the oldest message in its queue, is not
in a job that some worker has taken or that waits for another try, and was all of that at the last look too. Waiting in
a long queue is none of these.
"""

from __future__ import annotations

import base64
import json
import logging
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby
from typing import Any

from photochrom.producer.control.dispatch import dispatch
from photochrom.producer.records.pages import read_page
from photochrom.producer.records.submission import Submission
from photochrom.worker.errors import UsageError
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Job
from photochrom.worker.ledger.ledger import PageInFlight

log = logging.getLogger("photochrom.control")

NEXT_MESSAGES = 200
"""Looked at for the oldest one: a redelivered message is older than others, and stands at the front among them."""


def reconcile(submission: Submission, held: Resources) -> int:
    """Look once for lost images and put back those that were lost at the last look too; gives back how many."""
    name = submission.name
    put_off = waiting(name, held)  # in this order: a job moves from here into the queue, and from there to a worker
    horizon = oldest_waiting(held, submission.task.priority)
    in_hand = put_off | taken(name, held)
    again = held.ledger.sent(name)
    missing = {
        ordinal: page
        for page in held.ledger.pages(name)
        if page.sent < horizon  # an image is never sent before its page
        for ordinal in _without_outcome(page, name, held)
        if ordinal not in in_hand and again.get(ordinal, page.sent) < horizon
    }
    lost = sorted(held.ledger.swap_suspects(name, missing) & missing.keys())
    for number, ordinals in groupby(lost, key=lambda ordinal: missing[ordinal].number):
        _put_back(submission, number, set(ordinals), held)
    if lost:
        held.ledger.swap_suspects(name, missing.keys() - set(lost))  # sent again, they have two looks again
        said = {"action": "images_put_back", "submission": name, "images": len(lost)}
        log.warning("put back %d lost images of %s", len(lost), name, extra=said)
    return len(lost)


def oldest_waiting(held: Resources, priority: int) -> float:
    """When the oldest job in the queue was sent, by Redis's clock; infinity when none waits."""
    return min((job.sent for job in _jobs(held.ledger.oldest_queued(priority, NEXT_MESSAGES))), default=math.inf)


def taken(name: str, held: Resources) -> set[int]:
    """Ordinals in the jobs that workers have taken and not acknowledged."""
    jobs = _jobs(held.ledger.taken(), lambda entry: entry[0])
    return {image.ordinal for job in jobs if job.submission == name for image in job.images}


def waiting(name: str, held: Resources) -> set[int]:
    """Ordinals in the jobs that wait for another try."""
    found: set[int] = set()
    for text in held.ledger.put_off_jobs(name):
        with suppress(ValueError, LookupError, TypeError, RecursionError):
            found.update(int(image["ordinal"]) for image in json.loads(text)["images"])
    return found


def _jobs(found: Iterable[str], message_in: Callable[[Any], Any] = lambda message: message) -> Iterable[Job]:
    """The jobs inside Celery's messages: base64 of JSON [arguments, keywords, options]. Junk is left to the workers."""
    for text in found:
        with suppress(ValueError, LookupError, TypeError, RecursionError, UsageError):
            arguments = json.loads(base64.b64decode(message_in(json.loads(text))["body"]))[0]
            yield Job.parse(arguments[0])


def _without_outcome(page: PageInFlight, name: str, held: Resources) -> list[int]:
    ordinals = range(page.first, page.first + page.images)
    ended = held.ledger.ended(name, ordinals)
    return [ordinal for ordinal in ordinals if ordinal not in ended]


def _put_back(submission: Submission, page: int, ordinals: set[int], held: Resources) -> None:
    """Send images again: what was never started in jobs as usual, what was started one by one."""
    images = [image for image in read_page(submission.name, page, held.store).images if image.ordinal in ordinals]
    sent = held.ledger.note_sent(submission.name, ordinals)  # the jobs' own time: later ones would make them look lost
    starts = held.ledger.starts(submission.name, ordinals)
    for image in images:
        if starts[image.ordinal]:
            dispatch(submission, [image], sent, held)
    dispatch(submission, [image for image in images if not starts[image.ordinal]], sent, held)
