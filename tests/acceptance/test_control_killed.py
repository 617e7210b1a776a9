"""A control process may die at any moment: whoever comes after it goes on where it stopped.

A few kills by default; `PHOTOCHROM_TEST_KILLS=100` for the full run.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from photochrom.deploy.stack.stack import Stack
from photochrom.producer.records.pages import read_page
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import submit
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, Store
from tests.acceptance.conftest import DESTINATION, SOURCE, gray_jpeg
from tests.acceptance.test_submission import wait_until

pytestmark = pytest.mark.integration

KILLS = int(os.environ.get("PHOTOCHROM_TEST_KILLS", "5"))
IMAGES = 25 * KILLS


def test_every_key_has_one_ordinal_and_one_outcome_after_control_was_killed_again_and_again() -> None:
    environment = {
        "PHOTOCHROM_MODEL": "autoencoder",
        "PHOTOCHROM_CONTROL_INTERVAL": "0.1",
        "PHOTOCHROM_RECONCILE_INTERVAL": "1",
        "PHOTOCHROM_LOCK_SECONDS": "1",  # so that the next one works, and is worth killing, before it is killed
        "PHOTOCHROM_PAGE_IMAGES": "7",
        "PHOTOCHROM_WINDOW": "30",
    }
    with (
        Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=1, environment=environment) as stack,
        stack.exported() as settings,
    ):
        store = Store(settings)
        names = {f"scans/{number:05d}.jpg" for number in range(IMAGES)}
        for number, name in enumerate(sorted(names)):
            store.put("archive", name, gray_jpeg(number % 50, 32, 32))
        submission = submit(SOURCE, DESTINATION, settings=settings)

        moments = random.Random(1)
        for _ in range(KILLS):
            time.sleep(moments.uniform(0, 1.0))  # a random moment is no condition to await
            assert stack.control
            stack.stop(stack.control, signal.SIGKILL)
            stack.start_control()
        wait_until(stack, lambda: progress(submission, settings).ended)
        wait_until(stack, lambda: submission not in Ledger(settings).active())

        pages = sum(1 for _ in store.list(Location(settings.state_bucket, state_keys.pages(submission))))
        images = [image for number in range(pages) for image in read_page(submission, number, store).images]
        assert [image.ordinal for image in images] == list(range(IMAGES))
        assert {image.key for image in images} == names
        now = progress(submission, settings)
        assert (now.total, now.done, now.quarantined) == (IMAGES, IMAGES, 0)
        assert {item.key for item in store.list(Location("coloured", ""))} == names
        finished = [
            state_keys.parse_outcome(item.key)
            for item in store.list(Location(settings.state_bucket, state_keys.outcomes(submission)))
        ]
        assert sum(page.images for page in finished) == IMAGES
