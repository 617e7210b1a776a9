"""An archive with photographs in it, and what the control process holds."""

import pytest

from photochrom.producer.control import tasks
from photochrom.producer.control.rebuild import ensure_epoch
from photochrom.producer.records import pages
from photochrom.producer.records.submission import load, submit
from photochrom.worker.errors import ImageFault
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Image, Job
from photochrom.worker.jobs.quarantine import record_quarantined
from photochrom.worker.queue import app as celery_app
from photochrom.worker.queue.app import COLORIZE, connect
from photochrom.worker.s3 import state_keys
from tests.ticks import advance


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
    tasks.listings.cache_clear()
    monkeypatch.setattr(tasks, "resources", lambda: held)
    return held


@pytest.fixture
def sent(held, monkeypatch):
    """Jobs in the order in which they were sent. Each page has to be in S3 before its jobs."""
    jobs = []

    def send_task(name, args, priority, argsrepr, producer=None):
        assert name == COLORIZE
        job = Job.parse(args[0])
        cursor = held.ledger.cursor(job.submission)
        held.store.head(held.settings.state_bucket, state_keys.page(job.submission, int(cursor.get("pages", 0))))
        assert (priority, argsrepr) == (job.task.priority, job.submission)
        jobs.append(job)

    connect(held.settings)
    monkeypatch.setattr(celery_app.app, "send_task", send_task)
    return jobs


@pytest.fixture
def few(settings, store, ledger, monkeypatch):
    """Resources with pages of 5 images and jobs of 1 or 2."""
    monkeypatch.setattr(pages, "JOBS_A_PAGE", 3)
    changed = settings.model_copy(update={"page_images": 5})
    connect(changed)
    return Resources(changed, store, ledger)


@pytest.fixture
def flowing(few, fill, submitted):
    """A submission all of whose five images are in the queue: 0 and 1, 2 and 3, and 4."""
    fill(5)
    advance(submission := submitted(), few)
    return submission


@pytest.fixture
def with_pages_of(held):
    """The same resources with other sizes of pages and window."""

    def make(images, window=10**6):
        return held._replace(settings=held.settings.model_copy(update={"page_images": images, "window": window}))

    return make


@pytest.fixture
def quarantine(held):
    """Let an image end as a worker would that found a fault in it."""

    def end(name, ordinal, reason="damaged"):
        image = Image(ordinal=ordinal, key=f"in/{ordinal:03d}.jpg", etag='"e"', size=2)
        record_quarantined(name, image, ImageFault(reason, f"it is {reason}"), held.store, held.ledger, held.settings)

    return end


@pytest.fixture
def half(held, sent, fill, submitted, with_pages_of, quarantine):
    """Seven images in pages of three: the first page has ended, of the second one image, the third is not listed."""
    fill(7)
    submission, few = submitted(), with_pages_of(3, window=5)
    ensure_epoch(few)
    advance(submission, few)
    assert len(held.ledger.pages(submission.name)) == 2
    for ordinal in (0, 2):
        held.ledger.record_done(submission.name, ordinal)
    quarantine(submission.name, 1, "empty")
    quarantine(submission.name, 4)
    advance(submission, with_pages_of(3, window=1))
    assert [page.number for page in held.ledger.pages(submission.name)] == [1]
    return submission
