"""A turn of listing: it ends in time whatever is found, the next one goes on behind it, and nothing is given twice."""

import json
import time
from itertools import chain
from types import SimpleNamespace

import pytest

import photochrom.producer.control.turn
from photochrom.producer.control import listing
from photochrom.producer.control.listing import Listings
from photochrom.producer.control.rebuild import ensure_epoch
from photochrom.producer.control.turn import take_turn
from photochrom.producer.records.outcomes import listing as listing_in_s3
from photochrom.worker.errors import RetryableError, UsageError
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Listed, Location

NEXT_YEAR = 3600.0


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when somebody looks at a key: a second each."""

    class Clock:
        now = 0.0

        def is_over(self, until):
            self.now += 1
            return self.now >= until

    clock = Clock()
    monkeypatch.setattr(photochrom.producer.control.turn, "is_over", lambda until: clock.now >= until)
    monkeypatch.setattr(listing, "is_over", clock.is_over)
    for module in (photochrom.producer.control.turn, listing):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def asked_for(held, monkeypatch):
    """Cursors behind which the source was listed anew."""
    found, list_by_answer = [], held.store.list_by_answer

    def listed(location, after=""):
        if location.bucket == "archive":
            found.append(after)
        return list_by_answer(location, after)

    monkeypatch.setattr(held.store, "list_by_answer", listed)
    return found


@pytest.fixture
def of_others(store):
    """Puts so many objects into the archive that are no photographs, and sort before those."""

    def put(count):
        for number in range(count):
            store.put("archive", f"in/!{number:03d}.xml", b"12")

    return put


def keys_in_pages(held, name):
    now = listing_in_s3(name, held)
    pages = [held.store.record(state_keys.page(name, number), dict) for number in range(now.pages)]
    return [[image["key"] for image in page["images"]] for page in pages]


def ordinals_in_pages(held, name):
    now = listing_in_s3(name, held)
    pages = [held.store.record(state_keys.page(name, number), dict) for number in range(now.pages)]
    return [image["ordinal"] for page in pages for image in page["images"]]


def with_settings(held, **changes):
    return held._replace(settings=held.settings.model_copy(update=changes))


def until_listed(submission, listings, held, most=200):
    for turns in range(1, most):
        take_turn(submission, listings, held)
        if held.ledger.cursor(submission.name).get("listed") == "1":
            return turns
    raise AssertionError("the listing does not end")


def test_a_source_is_cut_into_pages_with_consecutive_ordinals(held, sent, fill, submitted):
    fill(7)
    submission = submitted()
    take_turn(submission, Listings(), with_settings(held, page_images=3))
    assert [len(page) for page in keys_in_pages(held, submission.name)] == [3, 3, 1]
    assert ordinals_in_pages(held, submission.name) == list(range(7))
    assert held.ledger.cursor(submission.name) == {"pages": "3", "total": "7", "after": "in/006.jpg", "listed": "1"}


@pytest.mark.parametrize(("images", "pages"), [(0, [0]), (2, [2]), (3, [3, 0])])
def test_a_page_that_is_not_full_is_the_last(held, sent, fill, submitted, images, pages):
    fill(images)
    submission = submitted()
    take_turn(submission, Listings(), with_settings(held, page_images=3))
    assert [len(page) for page in keys_in_pages(held, submission.name)] == pages


def test_a_turn_that_finds_nothing_ends_in_time_and_moves_the_cursor(held, sent, of_others, submitted, clock):
    of_others(20)
    submission = submitted()
    take_turn(submission, Listings(), held)
    assert held.ledger.cursor(submission.name) == {
        "pages": "0",
        "total": "0",
        "after": "in/!001.xml",
        "listed": "0",
    }
    assert keys_in_pages(held, submission.name) == []
    assert clock.now == photochrom.producer.control.turn.TURN_SECONDS


@pytest.mark.parametrize("restarted", [False, True])
def test_a_sparse_source_is_listed_to_its_end_and_every_key_looked_at_once(
    held, sent, fill, of_others, submitted, clock, asked_for, restarted
):
    of_others(20)
    fill(3)
    submission, listings = submitted(), Listings()
    del asked_for[:]
    for turn in range(12):
        take_turn(submission, Listings() if restarted else listings, held)
        assert clock.now == 2 * (turn + 1) or held.ledger.cursor(submission.name)["listed"] == "1"
    assert [image.key for job in sent for image in job.images] == ["in/000.jpg", "in/001.jpg", "in/002.jpg"]
    assert held.ledger.cursor(submission.name)["listed"] == "1"
    assert ordinals_in_pages(held, submission.name) == [0, 1, 2]
    behind = [f"in/!{number:03d}.xml" for number in range(1, 20, 2)]
    assert asked_for == (["", *behind, "in/001.jpg"] if restarted else [""])


def test_photographs_that_are_found_in_a_turn_are_sent_with_it(held, sent, fill, of_others, submitted, clock):
    of_others(1)
    fill(9)
    submission, listings = submitted(), Listings()
    take_turn(submission, listings, held)
    assert keys_in_pages(held, submission.name) == [["in/000.jpg"]]
    assert [image.key for job in sent for image in job.images] == ["in/000.jpg"]
    until_listed(submission, listings, held)
    assert ordinals_in_pages(held, submission.name) == list(range(9))
    assert list(chain(*keys_in_pages(held, submission.name))) == [f"in/{number:03d}.jpg" for number in range(9)]


@pytest.mark.parametrize("manifest", ["keys.txt", "keys.csv", "keys.jsonl"])
def test_a_long_manifest_is_read_once_and_no_turn_waits_for_its_end(
    held, sent, store, submitted, clock, manifest, monkeypatch
):
    keys = [f"in/{number:03d}.{'jpg' if number % 10 == 9 else 'xml'}" for number in range(40)]
    lines = {"txt": keys, "csv": ["key", *keys], "jsonl": [json.dumps({"key": key}) for key in keys]}
    store.put("archive", manifest, "\n".join(lines[manifest.partition(".")[2]]).encode())
    submission, listings, opened, open_one = submitted(manifest=f"s3://archive/{manifest}"), Listings(), [], store.open
    monkeypatch.setattr(held.store, "open", lambda *place: opened.append(place) or open_one(*place))
    turns = until_listed(submission, listings, held)
    assert (turns, len(opened)) == (21, 1)
    assert [image.key for job in sent for image in job.images] == keys[9::10]


def test_a_manifest_goes_on_at_its_line_after_a_restart_however_long_the_way_there_is(
    held, sent, store, submitted, clock
):
    keys = [f"in/{number:03d}.jpg" for number in range(30)]
    store.put("archive", "keys.txt", "\n".join(keys).encode())
    submission, listings = submitted(manifest="s3://archive/keys.txt"), Listings()
    for _ in range(8):
        take_turn(submission, listings, held)
    assert held.ledger.cursor(submission.name)["after"] == "0:16"
    until_listed(submission, Listings(), held)
    assert [image.key for job in sent for image in job.images] == keys


def test_nothing_is_listed_while_another_process_has_its_turn(held, sent, fill, submitted):
    fill(2)
    submission = submitted()
    with Ledger(held.settings).lock(f"list:{submission.name}"):
        take_turn(submission, Listings(), held)
    assert (sent, held.ledger.cursor(submission.name)) == ([], {})


def test_what_was_found_while_somebody_held_the_submission_is_in_the_next_turn(
    held, sent, fill, submitted, asked_for, monkeypatch
):
    monkeypatch.setattr(photochrom.producer.control.turn, "PATIENCE", 0.05)
    fill(3)
    submission, listings = submitted(), Listings()
    del asked_for[:]
    with Ledger(held.settings).lock(f"advance:{submission.name}"):
        take_turn(submission, listings, held)
    assert (sent, held.ledger.cursor(submission.name)) == ([], {})
    take_turn(submission, listings, held)
    assert len(sent) == 3
    assert asked_for == [""]


def test_a_listing_that_somebody_else_took_further_goes_on_from_there(held, sent, fill, of_others, submitted, clock):
    of_others(7)
    fill(5)
    submission, mine, theirs = submitted(), Listings(), Listings()
    for _ in range(20):
        for listings in (mine, theirs, theirs):
            take_turn(submission, listings, held)
    assert ordinals_in_pages(held, submission.name) == list(range(5))
    assert list(chain(*keys_in_pages(held, submission.name))) == [f"in/{number:03d}.jpg" for number in range(5)]
    assert held.ledger.cursor(submission.name)["listed"] == "1"


def test_a_process_that_was_held_up_between_looking_and_writing_takes_nothing_back(
    held, sent, fill, of_others, submitted, clock, monkeypatch
):
    """Its cursor stands before pages that others wrote meanwhile: they are read, and no key gets another ordinal."""
    of_others(4)
    fill(6)
    submission, listings, few = submitted(), Listings(), with_settings(held, page_images=2)
    take_turn(submission, listings, few)
    before = held.ledger.cursor(submission.name)
    until_listed(submission, listings, few)
    pages = keys_in_pages(held, submission.name)
    held.ledger.move_cursor(submission.name, **before)
    until_listed(submission, Listings(), few)
    assert keys_in_pages(held, submission.name) == pages
    assert held.ledger.cursor(submission.name)["total"] == "6"
    assert {image.ordinal: image.key for job in sent for image in job.images} == {
        number: f"in/{number:03d}.jpg" for number in range(6)
    }


def test_what_was_found_before_a_fault_counts_and_the_next_turn_goes_on_behind_it(
    held, sent, submitted, asked_for, monkeypatch
):
    def list_by_answer(location, after=""):
        asked_for.append(after)
        if not after:
            yield [Listed("in/0.jpg", '"0"', 2), Listed("in/1.xml", '"1"', 2)]
            raise RetryableError("S3 cannot be reached")
        yield [Listed("in/2.jpg", '"2"', 2)]

    submission, listings = submitted(), Listings()
    del asked_for[:]
    monkeypatch.setattr(held.store, "list_by_answer", list_by_answer)
    with pytest.raises(RetryableError):
        take_turn(submission, listings, held)
    assert [image.key for job in sent for image in job.images] == ["in/0.jpg"]
    take_turn(submission, listings, held)
    assert [image.key for job in sent for image in job.images] == ["in/0.jpg", "in/2.jpg"]
    assert asked_for == ["", "in/1.xml"]
    assert held.ledger.cursor(submission.name)["listed"] == "1"


def test_a_line_that_cannot_be_read_is_told_in_every_turn_and_sends_nothing_again(held, sent, submitted, store):
    store.put("archive", "keys.jsonl", b'{"key": "in/0.jpg"}\n{"key": 5}\n')
    submission, listings = submitted(manifest="s3://archive/keys.jsonl"), Listings()
    for _ in range(3):
        with pytest.raises(UsageError, match="line 2"):
            take_turn(submission, listings, held)
    assert [image.key for job in sent for image in job.images] == ["in/0.jpg"]


def test_answers_without_keys_take_no_turn_beyond_its_time(held, sent, submitted, clock, monkeypatch):
    answers = iter([[], [], [], [Listed("in/0.jpg", '"0"', 2)]])
    submission, listings = submitted(), Listings()
    monkeypatch.setattr(held.store, "list_by_answer", lambda *_: answers)
    take_turn(submission, listings, held)
    assert (clock.now, sent, held.ledger.cursor(submission.name)) == (2, [], {})
    until_listed(submission, listings, held)
    assert [image.key for job in sent for image in job.images] == ["in/0.jpg"]


def test_a_process_that_drains_notes_where_it_stands_at_once(held, sent, of_others, submitted, monkeypatch):
    of_others(5)
    submission = submitted()
    monkeypatch.setattr(listing, "is_draining", lambda: True)
    take_turn(submission, Listings(), held)
    assert held.ledger.cursor(submission.name)["after"] == "in/!000.xml"


def test_a_submission_that_was_cancelled_while_it_was_listed_gets_no_page(held, sent, fill, submitted):
    fill(2)
    submission = submitted()
    held.ledger.cancel(submission.name)
    held.ledger.retire(submission.name)
    take_turn(submission, Listings(), held)
    assert sent == []
    assert keys_in_pages(held, submission.name) == []
    assert held.ledger._redis.ttl(f"photochrom:submission:{submission.name}:cancelled") > 0
    assert not held.ledger.cursor(submission.name)


# ---- when Redis is lost


@pytest.fixture
def noted_at_once(monkeypatch):
    monkeypatch.setattr(photochrom.producer.control.turn, "NOTED_EVERY", 0.0)


def lose_redis(held):
    held.ledger._redis.flushall()
    assert ensure_epoch(held)


def test_a_sparse_listing_goes_on_at_its_note_when_redis_is_lost(
    held, sent, fill, of_others, submitted, clock, noted_at_once, asked_for
):
    of_others(6)
    fill(1)
    submission, listings = submitted(), Listings()
    for _ in range(2):
        take_turn(submission, listings, held)
    lose_redis(held)
    assert held.ledger.cursor(submission.name) == {"pages": "0", "total": "0", "after": "in/!003.xml", "listed": "0"}
    del asked_for[:]
    until_listed(submission, Listings(), held)
    assert asked_for == ["in/!003.xml"]
    assert keys_in_pages(held, submission.name)[0] == ["in/000.jpg"]


def test_a_note_of_before_the_last_page_is_not_believed(held, sent, fill, of_others, submitted, clock, monkeypatch):
    of_others(2)
    fill(5)
    submission, listings, few = submitted(), Listings(), with_settings(held, page_images=2)
    monkeypatch.setattr(photochrom.producer.control.turn, "NOTED_EVERY", 0.0)
    take_turn(submission, listings, few)
    assert held.store.record(state_keys.cursor(submission.name), dict) == {"pages": 0, "after": "in/!001.xml"}
    monkeypatch.setattr(photochrom.producer.control.turn, "NOTED_EVERY", NEXT_YEAR)
    take_turn(submission, listings, few)
    lose_redis(held)
    assert held.ledger.cursor(submission.name) == {"pages": "1", "total": "2", "after": "in/001.jpg", "listed": "0"}
    until_listed(submission, listings, few)
    assert ordinals_in_pages(held, submission.name) == list(range(5))


def test_a_note_that_may_not_be_written_keeps_nothing_waiting(
    held, sent, fill, of_others, submitted, clock, noted_at_once, monkeypatch, caplog
):
    of_others(4)
    fill(1)
    submission, put_record = submitted(), held.store.put_record

    def put(key, *rest, **options):
        if key == state_keys.cursor(submission.name):
            raise UsageError("denied")
        return put_record(key, *rest, **options)

    monkeypatch.setattr(held.store, "put_record", put)
    until_listed(submission, Listings(), held)
    assert "denied" in caplog.text
    assert len(sent) == 1


def test_a_source_full_of_photographs_writes_no_notes(held, sent, fill, submitted, clock, monkeypatch):
    monkeypatch.setattr(photochrom.producer.control.turn, "NOTED_EVERY", 3.0)
    fill(20)
    until_listed(submission := submitted(), Listings(), with_settings(held, page_images=2))
    below = Location(held.settings.state_bucket, f"submissions/{submission.name}/")
    assert state_keys.cursor(submission.name) not in {item.key for item in held.store.list(below)}


def test_listings_of_submissions_that_are_gone_are_closed(held, sent, of_others, submitted, clock, asked_for):
    of_others(9)
    listings, gone, there = Listings(), submitted(name="gone"), submitted(name="there")
    for submission in (gone, there):
        take_turn(submission, listings, held)
    del asked_for[:]
    listings.keep_only(["there"])
    for submission in (gone, there):
        take_turn(submission, listings, held)
    assert asked_for == ["in/!001.xml"]


def test_time_in_a_turn_is_the_monotonic_clock():
    assert listing.is_over(time.monotonic())
    assert not listing.is_over(time.monotonic() + NEXT_YEAR)
