"""Images a second and time left: of the last minutes, however fast or slow a submission was before."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from photochrom.producer.client.lifecycle import cancel, resume
from photochrom.producer.records.progress import progress
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.ledger import RATE_SECONDS, SAMPLE_SECONDS, Ledger
from photochrom.worker.s3 import state_keys
from tests.ticks import advance, advance_all

NIGHT = 8 * 3600.0
OLD_FIELDS = {
    "submission", "listed", "total", "done", "quarantined", "reasons", "cancelled", "seconds", "state",
}  # fmt: skip
"""Of ended.json, as older processes read and write it."""


class Clock:
    """What Redis tells as its time."""

    def __init__(self):
        self.time = 1_800_000_000.0


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(Ledger, "now", lambda ledger: clock.time)
    return clock


@pytest.fixture
def running(held, sent, fill, submitted, clock):
    """A submission of 200 images that was asked for a day ago, listed and begun just now."""
    fill(200)
    submission = submitted()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    record = submission.model_copy(update={"created": yesterday})
    held.store.put_record(state_keys.submission(submission.name), record)
    advance(record, held)
    return record


@pytest.fixture
def work(held, running, clock):
    """Lets so many images end, one each so many seconds, while the control process ticks."""
    ordinals = iter(range(200))

    def work(images, seconds_each):
        for _ in range(images):
            clock.time += seconds_each
            held.ledger.record_done(running.name, next(ordinals))
            advance_all()

    return work


def look(held, name):
    return progress(name, held.settings, held.ledger, held.store)


def samples(held, name):
    return held.ledger._redis.lrange(keys.of(name, "samples"), 0, -1)


def test_a_submission_that_slowed_down_is_as_slow_as_in_the_last_minutes(held, running, work):
    work(100, seconds_each=1)
    fast = look(held, running.name)
    assert (fast.images_per_second, fast.seconds_left) == (1, 100)
    work(60, seconds_each=10)
    slow = look(held, running.name)
    assert (slow.images_per_second, slow.seconds_left) == (pytest.approx(0.1), pytest.approx(400))
    assert slow.line() == "running: 160 of 200 done, 0.1 images/s, 0:06:40 left"


def test_one_that_stands_still_says_so_and_tells_no_time_left(held, running, work, clock):
    work(20, seconds_each=1)
    for _ in range(40):
        clock.time += 10
        advance_all()
    now = look(held, running.name)
    assert (now.images_per_second, now.seconds_left) == (0, None)
    assert now.line() == "running: 20 of 200 done, 0.0 images/s"


@pytest.mark.parametrize("pause", [60.0, NIGHT])
def test_after_a_pause_the_rate_is_unknown_and_then_that_of_the_time_since(held, running, work, clock, pause):
    work(100, seconds_each=1)
    cancel(running.name, held)
    assert look(held, running.name).line() == "cancelled: 100 of 200 done"
    clock.time += pause
    resume(running.name, held)
    assert look(held, running.name).line() == "running: 100 of 200 done"
    advance_all()
    work(20, seconds_each=2)
    now = look(held, running.name)
    assert (now.images_per_second, now.seconds_left) == (0.5, 160)


def test_a_control_process_that_was_away_for_a_night_leaves_the_rate_unknown(held, running, work, clock):
    work(100, seconds_each=1)
    clock.time += NIGHT
    assert look(held, running.name).images_per_second is None


def test_without_samples_a_young_submission_has_its_mean_rate_and_an_old_one_none(held, running, submitted, quarantine):
    held.ledger._redis.delete(keys.of(running.name, "samples"))  # as beside a control process that takes none
    held.ledger.record_done(running.name, 0)
    assert look(held, running.name).line() == "running: 1 of 200 done"
    young = submitted(name="young")
    minute_ago = (datetime.now(UTC) - timedelta(minutes=1)).isoformat(timespec="seconds")
    held.store.put_record(state_keys.submission("young"), young.model_copy(update={"created": minute_ago}))
    held.ledger.move_cursor("young", pages=1, total=9, listed=1)
    held.ledger.record_done("young", 0)
    quarantine("young", 1)
    now = look(held, "young")
    assert now.images_per_second == pytest.approx(2 / now.seconds)
    assert now.seconds_left == pytest.approx(7 * now.seconds / 2)


def test_a_moment_is_too_short_for_a_rate(held, clock):
    held.ledger.note_sample("s", 0)
    clock.time += SAMPLE_SECONDS / 2
    assert held.ledger.rate("s", 1) is None
    clock.time += SAMPLE_SECONDS / 2
    assert held.ledger.rate("s", 1) == 1 / SAMPLE_SECONDS


def test_samples_are_few_and_of_minutes_however_often_the_control_process_looks(held, clock):
    for second in range(3 * RATE_SECONDS):
        clock.time += 1
        held.ledger.note_sample("s", second)
    assert len(samples(held, "s")) == RATE_SECONDS / SAMPLE_SECONDS
    assert held.ledger.rate("s", second) == pytest.approx(1)
    clock.time += RATE_SECONDS / 5
    assert held.ledger.rate("s", second) == pytest.approx(4 / 5, rel=0.05)


@pytest.mark.parametrize("ended", [100, 40, 0])
def test_what_redis_has_forgotten_makes_no_rate_below_zero(held, clock, ended):
    held.ledger.note_sample("s", 100)
    clock.time += 60
    assert held.ledger.rate("s", ended) == 0


def test_a_clock_that_was_set_back_does_not_stop_the_samples(held, clock):
    held.ledger.note_sample("s", 100)
    clock.time -= 3600
    assert held.ledger.rate("s", 100) is None
    held.ledger.note_sample("s", 100)
    clock.time += 60
    assert held.ledger.rate("s", 130) == 0.5


def test_a_redis_that_was_lost_takes_the_samples_along(held, running, work, clock):
    work(30, seconds_each=1)
    held.ledger._redis.flushall()
    advance_all()
    assert look(held, running.name).images_per_second is None
    clock.time += 60
    assert look(held, running.name).images_per_second == 0


def test_samples_pass_away_also_where_a_process_that_does_not_know_them_ends_the_submission(held, running):
    assert samples(held, running.name)
    held.ledger._redis.srem(keys.ACTIVE, running.name)
    assert 0 < held.ledger._redis.ttl(keys.of(running.name, "samples")) <= RATE_SECONDS


def test_the_record_of_the_end_has_the_fields_that_older_processes_know(held, running, work):
    work(200, seconds_each=1)
    ended = json.loads(held.store.get("photochrom-state", state_keys.ended(running.name)).data)
    assert ended.keys() == OLD_FIELDS
    now = look(held, running.name)
    assert now.summary() == ended | {"images_per_second": None}
    assert now.line() == "done: 200 of 200 done"


def test_a_record_of_a_newer_version_is_read_as_far_as_it_is_known(held, running, work):
    work(200, seconds_each=1)
    ended = json.loads(held.store.get("photochrom-state", state_keys.ended(running.name)).data)
    before = look(held, running.name)
    held.store.put_record(state_keys.ended(running.name), ended | {"megapixels": 7})
    assert look(held, running.name) == before


def test_machines_are_told_the_rate(held, running, work):
    work(100, seconds_each=1)
    told = json.loads(json.dumps(look(held, running.name).summary()))
    assert told.keys() == OLD_FIELDS | {"images_per_second"}
    assert told["images_per_second"] == 1
