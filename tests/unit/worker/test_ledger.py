"""The ledger: every image ends once, whatever is delivered again and whoever records at the same time."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger.ledger import KEPT_AFTER_END, Counts, Ledger, PageInFlight, Standing
from photochrom.worker.settings import Settings
from tests.examples import examples


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
@examples(40, HealthCheck.function_scoped_fixture)
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
        ledger.cancel(name)
    ledger.retire("old")
    lives = {key: ledger._redis.ttl(key) for key in ledger._redis.keys("photochrom:submission:*")}
    assert len(lives) == 12
    for key, life in lives.items():
        assert (0 < life <= KEPT_AFTER_END) if ":old:" in key else (life == -1), key
    assert ledger.counts("old") == Counts(1, 1, {"empty": 1})
    assert ledger.is_cancelled("old")


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


def test_a_lock_whose_holder_died_passes_away(ledger, settings):
    with ledger.lock("l"):
        assert 0 < ledger._redis.ttl("photochrom:lock:l") <= settings.lock_seconds


def test_a_lock_is_renewed_for_as_long_as_its_holder_works(settings, monkeypatch):
    reacquire, renewed = redis.lock.Lock.reacquire, threading.Event()
    monkeypatch.setattr(redis.lock.Lock, "reacquire", lambda lock: reacquire(lock) and renewed.set())
    with Ledger(settings.model_copy(update={"lock_seconds": 5})).lock("l"):
        assert renewed.wait(30)


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


# ---- starts


def test_starts_count_until_there_is_an_outcome(ledger):
    assert [ledger.start("s", 4).number for _ in range(3)] == [1, 2, 3]
    assert ledger.starts("s", [4, 5]) == {4: 3, 5: 0}
    ledger.record_done("s", 4)
    assert ledger.starts("s", [4]) == {4: 0}
    assert ledger.start("s", 4).standing is Standing.ENDED
    assert ledger.starts("s", [4]) == {4: 0}


def test_a_start_that_is_given_back_does_not_count(ledger):
    first, second = ledger.start("s", 4), ledger.start("s", 4)
    ledger.give_back("s", 4, second)
    ledger.give_back("s", 4, second)
    assert ledger.starts("s", [4]) == {4: 1}
    ledger.give_back("s", 4, first)
    assert ledger.starts("s", [4]) == {4: 0}


def test_a_start_that_is_sent_again_after_a_lost_answer_is_the_same_start(ledger, monkeypatch):
    monkeypatch.setattr("photochrom.worker.ledger.ledger.secrets.token_hex", lambda _: "00aa00aa00aa")
    assert [ledger.start("s", 4).number, ledger.start("s", 4).number] == [1, 1]


def test_nothing_of_a_cancelled_submission_starts_until_it_is_revived(ledger):
    ledger.cancel("s")
    assert ledger.start("s", 4).standing is Standing.CANCELLED
    assert ledger.start("another", 4).standing is Standing.STARTED
    ledger.revive("s")
    assert (ledger.start("s", 4).standing, ledger.is_cancelled("s")) == (Standing.STARTED, False)
    assert ledger.active() == ["s"]


# ---- pages


def test_pages_come_in_order_with_how_many_of_their_images_have_ended(ledger):
    pages = [PageInFlight(number, 10 * number, 10, 1.25 + number) for number in (10, 2, 9)]
    for page in pages:
        ledger.add_page("s", page)
    assert ledger.pages("s") == sorted(pages)
    for ordinal in (19, 20, 29, 30):
        ledger.record_done("s", ordinal)
    ledger.record_quarantined("s", 25, "empty")
    assert ledger.ended_in("s", ledger.pages("s")) == [3, 0, 0]
    ledger.remove_page("s", 9)
    assert [page.number for page in ledger.pages("s")] == [2, 10]


def test_suspects_are_those_of_the_last_look(ledger):
    assert ledger.swap_suspects("s", [1, 2]) == set()
    assert ledger.swap_suspects("s", [2, 3]) == {1, 2}
    assert ledger.swap_suspects("s", []) == {2, 3}
    assert ledger.swap_suspects("s", []) == set()


def test_when_an_image_was_sent_again_is_known_until_it_has_ended(ledger):
    now = ledger.note_sent("s", [1, 2])
    assert ledger.sent("s") == {1: now, 2: now}
    ledger.record_done("s", 1)
    assert ledger.sent("s") == {2: now}


# ---- what comes after the end


def late(ledger, name):
    """A redelivery of everything there is."""
    start = ledger.start(name, 5)
    ledger.note_sent(name, [5, 6])
    ledger.give_back(name, 5, start)
    ledger.start(name, 6)
    ledger.record_done(name, 7)
    ledger.record_quarantined(name, 8, "empty")


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_what_comes_late_leaves_no_key_for_ever(ledger, cancelled, known):
    if known:
        ledger.activate("s")
        ledger.record_done("s", 0)
        ledger.move_cursor("s", pages=1)
        ledger.add_page("s", PageInFlight(0, 0, 1, 0.0))
        ledger.swap_suspects("s", [1])
        if cancelled:
            ledger.cancel("s")
    ledger.retire("s")
    late(ledger, "s")
    if cancelled and known:
        ledger.cancel("s")
    found = ledger._redis.keys("photochrom:submission:*")
    assert found
    assert {key: ledger._redis.ttl(key) for key in found if not 0 < ledger._redis.ttl(key) <= KEPT_AFTER_END} == {}


def test_what_comes_while_a_submission_runs_stays(ledger):
    late(ledger, "s")  # into a Redis that has just been lost
    ledger.activate("s")
    late(ledger, "s")
    assert {ledger._redis.ttl(key) for key in ledger._redis.keys("photochrom:submission:*")} == {-1}


def bits(ledger, part):
    return {n for n in range(24) if ledger._redis.getbit(f"photochrom:submission:s:{part}", n)}


def test_merging_takes_what_s3_says_of_finished_pages_and_what_redis_knows_of_the_others(ledger):
    """The first byte is a finished page, the second one not."""
    for ordinal in (0, 8, 9):
        ledger.record_done("s", ordinal)
    for ordinal, reason in {1: "empty", 10: "empty", 11: "vanished"}.items():
        ledger.record_quarantined("s", ordinal, reason)
    faults = {9: "damaged", 11: "damaged", 12: "damaged"}
    ledger.merge("s", bytes([0b01111111]), bytes([0b10000000]), {"damaged": 1}, faults)
    assert (bits(ledger, "done"), bits(ledger, "quarantined")) == ({1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 10, 11, 12})
    assert ledger.faults("s") == {10: "empty", 11: "vanished", 12: "damaged"}
    assert ledger.counts("s") == Counts(9, 4, {"damaged": 2, "empty": 1, "vanished": 1})
    assert not [key for key in ledger._redis.keys("photochrom:submission:*") if key.endswith(":said")]


said = st.sets(st.integers(0, 15))


@given(done=said, quarantined=said, meanwhile=outcomes, data=st.data())
@examples(60, HealthCheck.function_scoped_fixture)
def test_after_merging_every_image_has_one_outcome_and_every_reason_is_counted(
    ledger, done, quarantined, meanwhile, data
):
    """Ordinals below 16 are of finished pages, 16 and more of others."""
    ledger._redis.flushall()
    for ordinal, reason in meanwhile:
        ledger.record_quarantined("s", ordinal, reason) if reason else ledger.record_done("s", ordinal)
    before = bits(ledger, "done")
    faults = data.draw(st.dictionaries(st.integers(16, 20), st.sampled_from(["damaged", "empty"])))
    final = done - quarantined
    ledger.merge("s", bitmap(final), bitmap(quarantined), {"damaged": len(quarantined)}, faults)
    counts = ledger.counts("s")
    assert not bits(ledger, "done") & bits(ledger, "quarantined")
    assert final <= bits(ledger, "done")
    assert quarantined <= bits(ledger, "quarantined")
    assert {ordinal for ordinal in before if ordinal >= 16} <= bits(ledger, "done")
    assert faults.keys() - before <= bits(ledger, "quarantined")
    assert sum(counts.reasons.values()) == counts.quarantined
    assert ledger.faults("s").keys() == bits(ledger, "quarantined") - quarantined


def bitmap(ordinals):
    return bytes(sum(0x80 >> n % 8 for n in ordinals if n // 8 == place) for place in range(3))


def test_reasons_of_quarantined_images_are_kept_until_their_page_is_removed(ledger):
    for ordinal, reason in {1: "empty", 7: "damaged", 12: "empty"}.items():
        ledger.record_quarantined("s", ordinal, reason)
    ledger.record_done("s", 2)
    assert ledger.faults("s") == {1: "empty", 7: "damaged", 12: "empty"}
    assert ledger.quarantined("s", [1, 2, 3, 12]) == {1, 12}
    ledger.remove_page("s", 0, [1, 7])
    assert ledger.faults("s") == {12: "empty"}
    assert ledger.counts("s").reasons == {"empty": 2, "damaged": 1}
