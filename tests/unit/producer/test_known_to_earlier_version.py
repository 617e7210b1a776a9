"""A worker of version 0.1 knows every field of every job message: it throws away a job with one that it does not.

The names are those of commit 2e02f5c, in its worker/job.py and producer/submission.py. They do not grow with this
version's: a field that came later may be in a message or a record only where it says something.
"""

import base64
import json

import pytest

from photochrom.producer.control.due import send_due
from photochrom.producer.control.reconcile import reconcile
from photochrom.worker.coloring.runner import Leftover
from photochrom.worker.coloring.tasks import send_back
from photochrom.worker.errors import CheckpointError, RetryableError, WorkerFault
from photochrom.worker.jobs.messages import Job
from photochrom.worker.ledger import keys
from photochrom.worker.s3 import state_keys
from tests.ticks import advance

JOB = {"submission", "task", "images", "sent", "attempt"}
IMAGE = {"ordinal", "key", "etag", "size"}
TASK = {
    "source", "destination", "model", "format", "jpeg", "on_change", "priority", "epoch", "stale", "promotion",
}  # fmt: skip
SUBMISSION = {"name", "task", "manifest", "filters", "created", "code_version"}
FILTERS = {"suffixes", "smallest", "largest", "glob"}
PAGE = {"number", "images", "after", "last"}

PLAIN = {}
FULL = {
    "format": "png",
    "jpeg": "reencode",
    "on_change": "take",
    "priority": 3,
    "stale": True,
    "filters": {"suffixes": ["jpg"], "smallest": 1, "largest": 10**6, "glob": "in/*"},
}
"""All that version 0.1 could be asked for."""


@pytest.fixture(params=[PLAIN, FULL], ids=["plain", "with all options"])
def begun(request, few, fill, submitted):
    """A submission all of whose five images are in the queue."""
    fill(5)
    advance(submission := submitted(**request.param), few)
    return submission


def messages(held, submission):
    """All in the submission's queue, as Celery has put them there."""
    texts = held.ledger._redis.lrange(keys.queue(submission.task.priority), 0, -1)
    return [json.loads(text) for text in texts]


def assert_known(message):
    """It is the task of version 0.1, with its one argument, of which version 0.1 knows every field."""
    arguments, keywords, _ = json.loads(base64.b64decode(message["body"]))
    assert message["headers"]["task"] == "photochrom.colorize"
    assert (len(arguments), keywords) == (1, {})
    assert_known_job(arguments[0])


def assert_known_job(job):
    assert job.keys() == JOB
    assert job["task"].keys() == TASK
    for image in job["images"]:
        assert image.keys() == IMAGE


def take_all(held, submission):
    """Take everything from the queue; gives back the jobs."""
    found = messages(held, submission)
    held.ledger._redis.delete(keys.queue(submission.task.priority))
    return [Job.parse(json.loads(base64.b64decode(message["body"]))[0][0]) for message in found]


def test_what_control_sends(few, begun):
    found = messages(few, begun)
    assert len(found) == 3
    for message in found:
        assert_known(message)


@pytest.mark.parametrize(
    "left",
    [{}, {"singly": True}, {"fault": WorkerFault("no memory")}],
    ids=["no time left", "one by one", "a fault of the worker"],
)
def test_what_a_worker_sends_back_at_once(few, begun, left):
    for job in take_all(few, begun):
        send_back(job, Leftover(list(job.images), **left), few)
    found = messages(few, begun)
    assert len(found) >= 3
    for message in found:
        assert_known(message)


@pytest.mark.parametrize("fault", [RetryableError("S3 is away"), CheckpointError("no such version")])
def test_what_waits_for_another_try_and_what_is_sent_of_it(few, begun, fault):
    for job in take_all(few, begun):
        send_back(job, Leftover(list(job.images), fault), few)
    waiting = few.ledger.put_off_jobs(begun.name)
    assert len(waiting) == 3
    for text in waiting:
        assert_known_job(json.loads(text))
    assert messages(few, begun) == []

    for text in waiting:  # it is due earlier than it was
        few.ledger.put_off(begun.name, text, -1)
    assert send_due(few) == 3
    found = messages(few, begun)
    assert len(found) == 3
    for message in found:
        assert_known(message)


def test_what_is_sent_at_once_because_too_much_waits(few, begun, monkeypatch):
    monkeypatch.setattr("photochrom.worker.ledger.ledger.MOST_DUE", 0)
    for job in take_all(few, begun):
        send_back(job, Leftover(list(job.images), RetryableError("S3 is away")), few)
    found = messages(few, begun)
    assert len(found) == 3
    for message in found:
        assert_known(message)


def test_what_the_reconciler_puts_back(few, begun):
    few.ledger.start(begun.name, 1)
    take_all(few, begun)
    assert [reconcile(begun, few), reconcile(begun, few)] == [0, 5]
    found = messages(few, begun)
    assert len(found) >= 3
    for message in found:
        assert_known(message)


def test_the_records_that_an_earlier_control_process_reads(few, begun):
    submission = few.store.record(state_keys.submission(begun.name), dict)
    assert submission.keys() == SUBMISSION
    assert submission["task"].keys() == TASK
    assert submission["filters"].keys() == FILTERS
    page = few.store.record(state_keys.page(begun.name, 0), dict)
    assert page.keys() == PAGE
    for image in page["images"]:
        assert image.keys() == IMAGE
