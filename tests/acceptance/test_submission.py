"""What an archive relies on: every image of a submission ends, once, whatever happens to workers and files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import boto3
import pytest

from photochrom.deploy.stack.stack import Stack
from photochrom.producer.records.progress import progress, quarantined
from photochrom.producer.records.submission import submit
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings
from tests.acceptance.conftest import DESTINATION, SOURCE, gray_jpeg, png_header
from tests.benchmarks.turns import standing_still

pytestmark = pytest.mark.integration

DEADLINE = 240
"""Seconds; only a broken test waits that long."""


def wait_until(stack: Stack, condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        stack.check()
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def photochrom(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "photochrom.deploy.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


def test_a_drained_and_a_new_worker_leave_every_image_done_exactly_once(
    stack: Stack, settings: Settings, store: Store
) -> None:
    images = 200
    for number in range(images):
        store.put("archive", f"scans/{number:03d}.jpg", gray_jpeg(number))
    first, second = stack.start_worker("first"), stack.start_worker("second")

    submission = submit(SOURCE, DESTINATION, settings=settings)
    ledger = Ledger(settings)
    wait_until(stack, lambda: ledger.counts(submission).done >= 20)
    with standing_still([second.pid]):
        stack.stop(first)
    assert not progress(submission, settings).ended, "the first worker was stopped too late to prove anything"
    third = stack.start_worker("third")
    wait_until(stack, lambda: progress(submission, settings).ended)
    for worker in (second, third):  # whose last words are in their logs then
        stack.stop(worker)

    now = progress(submission, settings)
    assert (now.total, now.done, now.quarantined) == (images, images, 0)
    assert [worker.exit_code for worker in (first, second, third)] == [0, 0, 0]
    done = Counter(
        line.split()[-1]
        for worker in (first, second, third)
        for line in worker.log.read_text().splitlines()
        if "] done " in line
    )
    assert len(done) == images
    assert set(done.values()) == {1}
    results = [listed.key for listed in store.list(Location("coloured", "scans/"))]
    assert results == [f"scans/{number:03d}.jpg" for number in range(images)]


def test_five_bad_files_end_with_five_reasons_and_everything_else_is_done(
    stack: Stack, settings: Settings, store: Store
) -> None:
    sources = {f"scans/good-{number}.jpg": gray_jpeg(number) for number in range(6)} | {
        "scans/empty.jpg": b"",
        "scans/text.jpg": b"To whom it may concern: this is not a photograph.",
        "scans/truncated.jpg": gray_jpeg(1, 600, 800)[:4000],
        "scans/huge.png": png_header(60_000, 60_000),
        "scans/vanished.jpg": gray_jpeg(2),
    }
    etags = {key: store.put("archive", key, data) for key, data in sources.items()}
    asked = photochrom("submit", SOURCE, "--to", DESTINATION, "--json")
    submission = json.loads(asked.stdout)["submission"]
    wait_until(stack, lambda: progress(submission, settings).listed)
    boto3.session.Session().client("s3", endpoint_url=settings.s3_endpoint).delete_object(
        Bucket="archive", Key="scans/vanished.jpg"
    )

    stack.start_worker("worker")
    watched = photochrom("status", submission, "--watch", "--json")

    assert watched.returncode == 1, watched.stderr
    now = json.loads(watched.stdout)
    assert (now["state"], now["total"], now["done"], now["quarantined"]) == ("done", 11, 6, 5)
    assert {record.key: record.reason for record in quarantined(submission, settings)} == {
        "scans/empty.jpg": "empty",
        "scans/huge.png": "too-many-pixels",
        "scans/text.jpg": "not-a-photograph",
        "scans/truncated.jpg": "damaged",
        "scans/vanished.jpg": "vanished",
    }
    results = [listed.key for listed in store.list(Location("coloured", ""))]
    assert results == [f"scans/good-{number}.jpg" for number in range(6)]
    del etags["scans/vanished.jpg"]
    assert {item.key: item.etag for item in store.list(Location("archive", ""))} == etags, "the archive was touched"


def test_a_message_to_the_task_makes_a_submission(stack: Stack, settings: Settings, store: Store) -> None:
    from celery import Celery

    store.put("archive", "scans/one.jpg", gray_jpeg(1))
    stack.start_worker("worker")

    # any Celery client will do: no code of ours on its side
    client = Celery(broker=settings.redis_url.get_secret_value())
    client.send_task("photochrom.submit", (SOURCE, DESTINATION), {"name": "by-message"}, queue="photochrom.control")
    wait_until(stack, lambda: bool(list(store.list(Location("coloured", "")))))
    wait_until(stack, lambda: progress("by-message", settings).ended)

    assert progress("by-message", settings).done == 1
