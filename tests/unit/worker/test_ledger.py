"""The ledger: every image ends once, whatever is delivered again and whoever records at the same time."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from worker.errors import RetryableError
from worker.ledger import KEPT_AFTER_END, LOCK_SECONDS, Counts, Ledger
from worker.settings import Settings


def test_an_image_that_is_done_cannot_be_quarantined(ledger):
    assert ledger.record_done("s", 7) is True
    assert ledger.record_quarantined("s", 7, "damaged") is False
    assert ledger.counts("s") == Counts(1, 0, {})


def test_an_image_that_is_quarantined_cannot_be_done_nor_have_a_second_reason(ledger):
    assert ledger.record_quarantined("s", 7, "damaged") is True
    assert ledger.record_done("s", 7) is False
    assert ledger.record_quarantined("s", 7, "empty") is False
    assert ledger.counts("s") == Counts(0, 1, {"damaged": 1})


def test_an_image_that_is_done_twice_counts_once(ledger):
    assert [ledger.record_done("s", 0), ledger.record_done("s", 0)] == [True, False]
    assert ledger.counts("s").done == 1


def test_reasons_are_counted(ledger):
    for ordinal, reason in enumerate(["damaged", "empty", "damaged"]):
        ledger.record_quarantined("s", ordinal, reason)
    assert ledger.counts("s") == Counts(0, 3, {"damaged": 2, "empty": 1})


def test_submissions_are_counted_apart(ledger):
    ledger.record_done("one", 0)
    assert ledger.counts("other") == Counts(0, 0, {})
    assert ledger.record_quarantined("other", 0, "empty") is True


def test_counts_come_from_the_bitmaps_so_that_nothing_drifts(ledger):
    ledger.record_done("s", 3)
    ledger._redis.setbit("photochrom:submission:s:done", 100, 1)
    assert ledger.counts("s").done == 2


def test_a_hundred_million_images_are_12_megabytes(ledger):
    ledger.record_done("s", 99_999_999)
    assert ledger._redis.strlen("photochrom:submission:s:done") == 12_500_000


def test_ended_tells_the_images_with_an_outcome(ledger):
    ledger.record_done("s", 1)
    ledger.record_quarantined("s", 9, "empty")
    assert ledger.ended("s", [9, 0, 1, 2]) == {1, 9}
    assert ledger.ended("s", []) == set()
    assert ledger.ended("another", [1, 9]) == set()


outcomes = st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["", "damaged", "empty"])), max_size=40)


@given(outcomes=outcomes)
@examples(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_outcomes_every_image_has_ended_as_the_first_of_its_own_said(ledger, outcomes):
    name, first = uuid.uuid4().hex, {}
    for ordinal, reason in outcomes:
        counted = ledger.record_quarantined(name, ordinal, reason) if reason else ledger.record_done(name, ordinal)
        assert counted is (ordinal not in first)
        first.setdefault(ordinal, reason)
    reasons = [reason for reason in first.values() if reason]
    counts = ledger.counts(name)
    assert (counts.done, counts.quarantined) == (len(first) - len(reasons), len(reasons))
    assert counts.reasons == {reason: reasons.count(reason) for reason in set(reasons)}
    assert ledger.ended(name, list(range(21))) == set(first)


def test_of_many_that_record_at_once_one_counts(ledger):
    images, workers = 20, 8
    together = threading.Barrier(workers)

    def work(number):
        together.wait()
        if number % 2:
            return sum(ledger.record_done("s", ordinal) for ordinal in range(images))
        return sum(ledger.record_quarantined("s", ordinal, "damaged") for ordinal in range(images))

    with ThreadPoolExecutor(workers) as pool:
        assert sum(pool.map(work, range(workers))) == images
    counts = ledger.counts("s")
    assert counts.done + counts.quarantined == images
    assert sum(counts.reasons.values()) == counts.quarantined


# ---- submissions


def test_active_submissions_come_oldest_first_until_they_are_retired(ledger):
    for name in ("20260102-b", "20260101-a", "20260102-b"):
        ledger.activate(name)
    assert ledger.active() == ["20260101-a", "20260102-b"]
    ledger.retire("20260101-a")
    assert ledger.active() == ["20260102-b"]


def test_everything_of_a_retired_submission_passes_away_and_nothing_of_another(ledger):
    for name in ("old", "new"):
        ledger.activate(name)
        ledger.record_done(name, 0)
        ledger.record_quarantined(name, 1, "empty")
        ledger.move_cursor(name, pages=1)
    ledger.retire("old")
    lives = {key: ledger._redis.ttl(key) for key in ledger._redis.keys("photochrom:submission:*")}
    assert len(lives) == 8
    for key, life in lives.items():
        assert (0 < life <= KEPT_AFTER_END) if ":old:" in key else (life == -1), key
    assert ledger.counts("old") == Counts(1, 1, {"empty": 1})


def test_the_cursor_keeps_what_was_last_written(ledger):
    assert ledger.cursor("s") == {}
    ledger.move_cursor("s", pages=1, after="in/é.jpg")
    ledger.move_cursor("s", pages=2)
    assert ledger.cursor("s") == {"pages": "2", "after": "in/é.jpg"}


# ---- the lock


def test_a_lock_is_held_by_one_and_let_go_at_the_end(ledger, settings):
    other = Ledger(settings)
    with ledger.lock("advance:s") as mine:
        assert mine
        with other.lock("advance:s") as theirs:
            assert not theirs
        with other.lock("advance:s") as still_not_theirs:
            assert not still_not_theirs
        with other.lock("advance:another") as another:
            assert another
    with other.lock("advance:s") as theirs:
        assert theirs


def test_a_lock_is_let_go_when_its_holder_fails(ledger):
    with pytest.raises(ZeroDivisionError), ledger.lock("l"):
        raise ZeroDivisionError
    with ledger.lock("l") as mine:
        assert mine


def test_a_lock_whose_holder_died_passes_away(ledger):
    with ledger.lock("l"):
        assert 0 < ledger._redis.ttl("photochrom:lock:l") <= LOCK_SECONDS


def test_a_lock_that_ran_out_is_left_to_its_next_holder(ledger, settings):
    with ledger.lock("l") as mine:
        assert mine
        ledger._redis.delete("photochrom:lock:l")
        taken = Ledger(settings)._redis.lock("photochrom:lock:l", timeout=60)
        assert taken.acquire(blocking=False)
    assert taken.owned()


# ---- Redis away


CALLS = {
    "record_done": lambda ledger: ledger.record_done("s", 0),
    "record_quarantined": lambda ledger: ledger.record_quarantined("s", 0, "empty"),
    "ended": lambda ledger: ledger.ended("s", [0]),
    "counts": lambda ledger: ledger.counts("s"),
    "activate": lambda ledger: ledger.activate("s"),
    "active": lambda ledger: ledger.active(),
    "retire": lambda ledger: ledger.retire("s"),
    "cursor": lambda ledger: ledger.cursor("s"),
    "move_cursor": lambda ledger: ledger.move_cursor("s", pages=1),
    "lock": lambda ledger: ledger.lock("l").__enter__(),
}


@pytest.mark.parametrize("call", CALLS)
def test_redis_being_away_may_pass_and_its_password_is_not_told(no_settings, closed_port, call):
    away = Ledger(Settings(redis_url=f"redis://user:hunter2@127.0.0.1:{closed_port}/0"))
    with pytest.raises(RetryableError) as told:
        CALLS[call](away)
    assert "hunter2" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_wrong_password_is_not_told_either(settings):
    host = settings.redis_url.get_secret_value().rpartition("@")[2]
    with pytest.raises(RetryableError) as told:
        Ledger(Settings(redis_url=f"redis://:hunter2@{host}")).active()
    assert "hunter2" not in str(told.value)


def test_a_full_redis_may_pass(ledger):
    ledger._redis.config_set("maxmemory", 1)
    try:
        for call in ("record_done", "activate", "move_cursor", "lock"):
            with pytest.raises(RetryableError, match="OutOfMemory"):
                CALLS[call](ledger)
    finally:
        ledger._redis.config_set("maxmemory", 0)
    assert ledger.counts("s") == Counts(0, 0, {})
