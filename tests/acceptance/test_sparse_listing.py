"""Sources of millions of keys without photographs: they are listed to their end, and nothing waits for them."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from photochrom.deploy.stack.stack import Stack
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import submit
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings
from tests.acceptance.conftest import gray_jpeg
from tests.acceptance.generated_listing import NEVER, GeneratedListing
from tests.acceptance.test_submission import wait_until

pytestmark = pytest.mark.integration

IMAGES, ENDLESS = 10, 10**9
DEADLINE = 200
"""Seconds; only a broken test waits that long."""


@pytest.fixture
def s3(stack_without_control: Stack) -> Iterator[GeneratedListing]:
    """Through which control sees S3."""
    assert stack_without_control.s3
    with GeneratedListing(stack_without_control.s3.ports[0]) as s3:
        stack_without_control.environment["PHOTOCHROM_S3_ENDPOINT"] = s3.url
        yield s3


@pytest.fixture
def stack_without_control() -> Iterator[Stack]:
    environment = {
        "PHOTOCHROM_CONTROL_INTERVAL": "0.2",
        "PHOTOCHROM_RECONCILE_INTERVAL": "1",
        "PHOTOCHROM_S3_TIMEOUT": str(2 * DEADLINE),  # so that whoever waits for an answer that never comes is seen
    }
    with Stack(
        read=["s3://archive/"], write=["s3://coloured/"], workers=0, control=False, environment=environment
    ) as running:
        yield running


@pytest.fixture
def settings(stack_without_control: Stack, s3: GeneratedListing) -> Iterator[Settings]:
    with stack_without_control.exported() as settings:
        yield settings


@pytest.fixture
def stack(stack_without_control: Stack, settings: Settings) -> Stack:
    """With photographs in one ordinary folder of the archive."""
    for number in range(IMAGES):
        Store(settings).put("archive", f"scans/{number:03d}.jpg", gray_jpeg(number, 32, 32))
    stack_without_control.start_control()
    return stack_without_control


def ask_for(folder: str, settings: Settings) -> str:
    return submit(f"s3://archive/{folder}", f"s3://coloured/{folder}", settings=settings, name=f"of-{folder[:-1]}")


def test_an_ordinary_submission_and_the_inbox_do_not_wait_for_listings_that_find_nothing(
    stack: Stack, s3: GeneratedListing, settings: Settings
) -> None:
    sparse = [f"sparse-{number}/" for number in range(5)]  # more than control lists at once
    for folder in sparse:
        s3.add(folder, ENDLESS)
        ask_for(folder, settings)
    wait_until(stack, lambda: all(s3.looked_at(folder) for folder in sparse))
    ordinary = ask_for("scans/", settings)
    wait_until(stack, lambda: progress(ordinary, settings).listed)
    assert progress(ordinary, settings).total == IMAGES

    store, place = Store(settings), f"{state_keys.INBOX}one.json"
    store.put(
        settings.state_bucket,
        place,
        json.dumps({"source": "s3://archive/scans/", "destination": "s3://coloured/inbox/"}).encode(),
    )
    wait_until(stack, lambda: any(name.startswith("inbox-") for name in Ledger(settings).active()))
    ledger = Ledger(settings)
    for ordinal in range(IMAGES):
        ledger.record_done(ordinary, ordinal)
    wait_until(stack, lambda: ordinary not in ledger.active())
    assert {f"of-{folder[:-1]}" for folder in sparse} <= set(ledger.active())


def test_a_listing_whose_answer_does_not_come_keeps_nothing_else_waiting(
    stack: Stack, s3: GeneratedListing, settings: Settings
) -> None:
    for folder in ("silent-0/", "silent-1/"):
        s3.add(folder, ENDLESS)
        ask_for(folder, settings)
        s3.add(folder, ENDLESS, NEVER)
    wait_until(stack, lambda: {folder for folder, _ in s3.asked} >= {"silent-0/", "silent-1/"})
    ordinary = ask_for("scans/", settings)
    wait_until(stack, lambda: progress(ordinary, settings).listed)
    assert stack.control
    stack.control.stop(signal.SIGTERM, DEADLINE)
    assert stack.control.exit_code == 0


def test_a_control_process_that_is_told_to_end_does_so_and_the_next_one_goes_on_where_it_stood(
    stack: Stack, s3: GeneratedListing, settings: Settings
) -> None:
    s3.add("sparse/", ENDLESS)
    name, ledger = ask_for("sparse/", settings), Ledger(settings)
    wait_until(stack, lambda: ledger.cursor(name).get("after", "") > "sparse/000002")
    assert stack.control
    stack.control.stop(signal.SIGTERM, DEADLINE)
    assert stack.control.exit_code == 0  # at the end of its time it would be 1
    cursor = ledger.cursor(name)
    del s3.asked[:]
    stack.start_control()
    wait_until(stack, lambda: ledger.cursor(name) != cursor)
    first = min(number for _, number in s3.asked)
    assert first == int(cursor["after"].removeprefix("sparse/").partition(".")[0]) + 1


def test_a_sparse_listing_ends(stack: Stack, s3: GeneratedListing, settings: Settings) -> None:
    for folder in ("sparse-0/", "sparse-1/"):
        s3.add(folder, 15_500)
    names = [ask_for(folder, settings) for folder in s3.folders]
    wait_until(stack, lambda: all(progress(name, settings).ended for name in names))
    assert [s3.looked_at(folder) for folder in s3.folders] == [15_500 + 1000] * 2  # and once to see that it is there
