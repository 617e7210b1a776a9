"""An archive with photographs in it, and what the control process holds."""

import pytest

from producer import control
from producer.control import Resources
from producer.submission import load, submit
from worker import paths
from worker.app import COLORIZE
from worker.job import Job


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
    monkeypatch.setattr(control, "resources", lambda: held)
    return held


@pytest.fixture
def sent(held, monkeypatch):
    """Jobs in the order in which they were sent. Each page has to be in S3 before its jobs."""
    jobs = []

    def send_task(name, args):
        assert name == COLORIZE
        job = Job.parse(args[0])
        cursor = held.ledger.cursor(job.submission)
        held.store.head(held.settings.state_bucket, paths.page(job.submission, int(cursor.get("pages", 0))))
        jobs.append(job)

    monkeypatch.setattr(control.app, "send_task", send_task)
    return jobs
