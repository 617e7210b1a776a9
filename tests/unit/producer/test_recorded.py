"""What S3 and the ledger say has become of an image is one and the same, whoever asks and whatever raced."""

import json
from collections import Counter

import pytest

from photochrom.producer.client.report import rows
from photochrom.producer.control.rebuild import ensure_epoch
from photochrom.producer.records.outcomes import cancelled_since, listing, outcomes, quarantined_images
from photochrom.producer.records.progress import progress, quarantined
from photochrom.worker.s3 import state_keys
from tests.ticks import advance

SIX = 6


@pytest.fixture
def six(held, sent, fill, submitted):
    """Six images in pages of three, all of them sent."""
    fill(SIX)
    submission, few = submitted(name="six"), held._replace(settings=held.settings.model_copy(update={"page_images": 3}))
    ensure_epoch(few)
    advance(submission, few)
    return submission


@pytest.fixture
def quarantine_while(held, quarantine):
    """Quarantine an image while, between its record and its bit, something else happens."""
    put_record = held.store.put_record

    def end(ordinal, meanwhile, reason="damaged"):
        def put(key, record, **options):
            put_record(key, record, **options)
            held.store.put_record = put_record
            meanwhile()

        held.store.put_record = put
        quarantine("six", ordinal, reason)
        assert held.store.put_record is put_record

    return end


def told(held):
    """What every way of asking says of the quarantined images: it has to be the same."""
    found = quarantined_images("six", held)
    assert {one.ordinal: one.reason for one in quarantined("six", held.settings)} == found
    reported = {row[0]: row[3] for row in rows("six", held) if row[2] == "quarantined"}
    assert reported == found
    now = progress("six", held.settings)
    assert (now.quarantined, now.reasons) == (len(found), dict(Counter(found.values())))
    return found


def rebuilt(held):
    held.ledger._redis.flushall()
    assert ensure_epoch(held)
    return told(held)


def done(held, *ordinals):
    for ordinal in ordinals:
        held.ledger.record_done("six", ordinal)


def test_an_image_that_was_done_before_its_quarantine_counted_is_done(held, six, quarantine_while):
    done(held, 0, 2)
    quarantine_while(1, lambda: done(held, 1))
    assert told(held) == {}
    advance(six, held)
    assert [page.number for page in held.ledger.pages("six")] == [1]
    assert told(held) == {}
    assert rebuilt(held) == {}
    done(held, 3, 4, 5)
    advance(six, held)
    assert json.loads(held.store.get("photochrom-state", state_keys.ended("six")).data)["done"] == SIX
    held.ledger._redis.flushall()
    assert told(held) == {}


@pytest.mark.parametrize("reasons", [("damaged", "poison"), ("poison", "damaged")])
def test_an_image_with_two_records_has_the_reason_that_counted_first(held, six, reasons, quarantine, quarantine_while):
    first, second = reasons
    done(held, 0, 2)
    quarantine_while(1, lambda: quarantine("six", 1, first), second)
    assert told(held) == {1: first}
    advance(six, held)
    assert told(held) == {1: first}
    assert rebuilt(held) == {1: first}


def test_a_record_that_does_not_count_yet_is_not_told(held, six, quarantine, quarantine_while):
    asked = []
    quarantine("six", 4, "empty")
    quarantine_while(1, lambda: asked.append(told(held)), "vanished")
    assert asked == [{4: "empty"}]
    assert told(held) == {1: "vanished", 4: "empty"}


def test_a_record_whose_bit_was_lost_with_redis_counts(held, six, quarantine_while):
    """Nothing else is known of the image: also if it was done, only Redis knew."""
    quarantine_while(1, lambda: done(held, 1))
    assert rebuilt(held) == {1: "damaged"}
    done(held, 0, 1, 2)
    advance(six, held)
    assert told(held) == {1: "damaged"}
    assert rebuilt(held) == {1: "damaged"}


def test_names_alone_say_it_where_records_and_outcomes_agree(held, six, monkeypatch, quarantine):
    done(held, 0, 2)
    quarantine("six", 1, "empty")
    advance(six, held)
    quarantine("six", 5)
    monkeypatch.setattr(held.store, "get", lambda *_: pytest.fail("it was read"))
    said = outcomes("six", held)
    assert (said.quarantined, said.recorded) == ({1: "empty"}, {5: "damaged"})
    assert said.finished == [(0, 0, 3, 1)]


def test_before_anything_was_listed_nothing_is_said(held, submitted):
    submitted(name="six")
    assert listing("six", held) == (0, 0, "", False)
    assert outcomes("six", held) == ([], {}, {})
    assert cancelled_since("six", held) is None


@pytest.mark.parametrize(
    ("images", "page_images", "total"), [(0, 3, 0), (2, 3, 2), (3, 3, 3), (7, 3, 7), (6, 3, 6), (1, 1, 1)]
)
def test_how_far_listing_came_stands_in_the_pages(held, sent, fill, submitted, images, page_images, total):
    fill(images)
    few = held._replace(settings=held.settings.model_copy(update={"page_images": page_images}))
    advance(submitted(name="six"), few)
    now = listing("six", held)
    assert (now.pages, now.total, now.listed) == (images // page_images + 1, total, True)
    cursor = held.ledger.cursor("six") or {"after": now.after}
    assert now.after == cursor["after"]
