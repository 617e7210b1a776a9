"""An archive with photographs in it, and what the control process holds."""

import pytest

import producer.pages
from producer import control
from producer.submission import load, submit
from worker import app as celery_app
from worker import paths
from worker.app import COLORIZE, connect
from worker.job import Job
from worker.resources import Resources


@pytest.fixture
def fill(store):
    """Put so many photographs (of the name alone) into the archive."""

    def fill(count, folder="in"):
        for number in range(count):
            store.put("archive", f"{folder}/{number:03d}.jpg", b"12")

    return fill


@pytest.fixture
def submitted(settings, store):
    """Makes a submission and gives back its record."""

    def make(source="s3://archive/in", destination="s3://coloured/out", **options):
        return load(submit(source, destination, settings=settings, **options), store, settings)

    return make


@pytest.fixture
def held(settings, store, ledger, monkeypatch):
    held = Resources(settings, store, ledger)
    producer.pages._listings.clear()
    monkeypatch.setattr(control, "resources", lambda: held)
    return held


@pytest.fixture
def sent(held, monkeypatch):
    """Jobs in the order in which they were sent. Each page has to be in S3 before its jobs."""
    jobs = []

    def send_task(name, args, priority, argsrepr, countdown=None, producer=None):
        assert (name, countdown) == (COLORIZE, None)
        job = Job.parse(args[0])
        cursor = held.ledger.cursor(job.submission)
        held.store.head(held.settings.state_bucket, paths.page(job.submission, int(cursor.get("pages", 0))))
        assert (priority, argsrepr) == (job.task.priority, job.submission)
        jobs.append(job)

    connect(held.settings)
    monkeypatch.setattr(celery_app.app, "send_task", send_task)
    return jobs
