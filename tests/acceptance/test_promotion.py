"""What people who retrain the model rely on: workers take over what is promoted, and lose no image by it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from photochrom.deploy.stack.stack import Stack
from photochrom.producer.client.report import FIELDS, rows
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import submit
from photochrom.training.promotion import Promotions
from photochrom.worker.jobs.context import Resources
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.models.registry import sha256_of_starter
from photochrom.worker.s3.store import Location, Store
from tests.acceptance.conftest import DESTINATION, SOURCE, gray_jpeg
from tests.acceptance.test_submission import wait_until

pytestmark = pytest.mark.integration

IMAGES = 120


def made_by(store: Store, destination: str) -> Counter[str]:
    """How many results at a destination each version made, by their own account."""
    place = Location.parse(destination).folder()
    heads = [store.head(place.bucket, listed.key) for listed in store.list(place)]
    return Counter(head.metadata["model-sha256"] for head in heads)


def notes(submission: str, held: Resources) -> Counter[str]:
    """How many images of a submission have which notes, by its report's rows."""
    return Counter(str(row[FIELDS.index("notes")]) for row in rows(submission, held))


def test_a_running_worker_follows_a_promotion_and_a_rollback_and_no_image_fails(tmp_path: Path) -> None:
    environment = {
        "PHOTOCHROM_CONTROL_INTERVAL": "0.2",
        "PHOTOCHROM_MODEL_INTERVAL": "0.2",
        "PHOTOCHROM_MODEL_CACHE": str(tmp_path / "models"),
    }
    old, new = sha256_of_starter("vgg16-yuv"), sha256_of_starter("autoencoder")
    stack = Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, environment=environment)
    with stack, stack.exported() as settings:
        store, promotions = Store(settings), Promotions(Store(settings), settings)
        for number in range(IMAGES):
            store.put("archive", f"scans/{number:03d}.jpg", gray_jpeg(number))
        worker = stack.start_worker("first")
        first = submit(SOURCE, DESTINATION, settings=settings)
        wait_until(stack, lambda: progress(first, settings).done >= 5)
        promotions.promote(new, "a test")
        wait_until(stack, lambda: progress(first, settings).ended)
        assert progress(first, settings).done == IMAGES
        made = made_by(store, DESTINATION)
        assert set(made) == {old, new}

        promotions.rollback("a test")
        stale = submit(SOURCE, DESTINATION, stale=True, settings=settings)  # the worker may not know of it yet
        wait_until(stack, lambda: progress(stale, settings).ended)
        assert worker.log.read_text().count("serving ") >= 2
        assert made_by(store, DESTINATION) == {old: IMAGES}
        assert progress(stale, settings).done == IMAGES
        assert notes(stale, Resources(settings, store, Ledger(settings))) == {"": made[new], "left-current": made[old]}
