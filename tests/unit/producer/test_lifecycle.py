"""What people do with a submission that is there: cancel, resume, try quarantined images again."""

from datetime import datetime, timedelta

import pytest

from photochrom.producer.client.lifecycle import cancel, redrive, resume
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import load
from photochrom.worker.errors import RetryableError, UsageError
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.models.registry import Promotion
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location
from tests.ticks import advance, advance_all


def records(held, name):
    return list(held.store.list(Location("photochrom-state", f"submissions/{name}/")))


def test_a_cancelled_submission_sends_nothing_more_until_it_is_resumed(held, half, sent):
    sent.clear()
    cancel(half.name, held)
    advance_all()
    assert (sent, held.ledger.active()) == ([], [])
    assert progress(half.name, held.settings).state == "cancelled"
    assert all(held.ledger._redis.ttl(key) > 0 for key in held.ledger._redis.keys("photochrom:submission:*"))
    resume(half.name, held)
    assert held.ledger.active() == [half.name]
    assert progress(half.name, held.settings).state == "listing"
    assert {held.ledger._redis.ttl(key) for key in held.ledger._redis.keys("photochrom:submission:*")} == {-1}
    advance_all()
    assert [image.ordinal for job in sent for image in job.images] == [6]


def test_a_cancelled_submission_can_be_resumed_after_redis_forgot_it(held, half):
    before = held.ledger.cursor(half.name), held.ledger.counts(half.name)
    cancel(half.name, held)
    for key in keys.all_of(half.name):
        held.ledger._redis.delete(key)
    held.ledger._redis.srem(keys.ACTIVE, half.name)
    resume(half.name, held)
    assert (held.ledger.cursor(half.name), held.ledger.counts(half.name)) == before
    assert not held.ledger.is_cancelled(half.name)
    assert held.ledger.active() == [half.name]


def forget(held, name):
    """What Redis does a week after a submission was cancelled, or has ended."""
    held.ledger._redis.delete(*keys.all_of(name))


def test_a_cancelled_submission_is_still_cancelled_when_redis_has_forgotten_it(held, half):
    cancel(half.name, held)
    advance_all()
    forget(held, half.name)
    now = progress(half.name, held.settings)
    assert (now.state, now.ended, now.listed) == ("cancelled", True, False)
    assert (now.total, now.done, now.quarantined, now.reasons) == (6, 2, 2, {"empty": 1, "damaged": 1})
    held.ledger._redis.flushall()
    assert progress(half.name, held.settings) == now


def test_a_submission_that_was_cancelled_before_it_began_is_cancelled(held, submitted):
    name = submitted().name
    cancel(name, held)
    forget(held, name)
    now = progress(name, held.settings)
    assert (now.state, now.total) == ("cancelled", 0)
    resume(name, held)
    assert progress(name, held.settings).state == "listing"


def test_the_time_of_a_cancelled_submission_stands_still_until_it_is_resumed(held, half, monkeypatch):
    cancel(half.name, held)
    stopped = progress(half.name, held.settings).seconds
    an_hour_passes(monkeypatch)
    assert progress(half.name, held.settings).seconds == stopped < 3600
    forget(held, half.name)
    assert progress(half.name, held.settings).seconds == stopped
    resume(half.name, held)
    assert progress(half.name, held.settings).seconds > 3600


def an_hour_passes(monkeypatch):
    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + timedelta(hours=1)

    monkeypatch.setattr("photochrom.producer.records.progress.datetime", Later)


def test_the_time_of_an_ended_submission_stands_still(held, half, monkeypatch, with_pages_of):
    few = with_pages_of(3)
    advance(half, few)
    for ordinal in range(7):
        held.ledger.record_done(half.name, ordinal)
    with monkeypatch.context() as killed:
        killed.setattr(Ledger, "retire", lambda *_: (_ for _ in ()).throw(RetryableError("killed")))
        with pytest.raises(RetryableError):
            advance(half, few)
    ended = held.store.get("photochrom-state", state_keys.ended(half.name))
    now = progress(half.name, held.settings)
    assert (now.state, now.done, now.quarantined) == ("done", 5, 2)
    an_hour_passes(monkeypatch)
    assert progress(half.name, held.settings) == now
    advance(half, few)
    assert held.ledger.active() == []
    assert held.store.get("photochrom-state", state_keys.ended(half.name)) == ended
    forget(held, half.name)
    assert progress(half.name, held.settings) == now
    assert now.seconds < 3600


def test_only_what_runs_is_cancelled_and_only_what_is_cancelled_resumed(held, sent, submitted):
    submission = submitted()
    with pytest.raises(UsageError, match="not cancelled"):
        resume(submission.name, held)
    advance(submission, held)
    with pytest.raises(UsageError, match="ended already"):
        cancel(submission.name, held)
    for call in (cancel, resume):
        with pytest.raises(UsageError, match="no submission"):
            call("vienna", held)


@pytest.mark.parametrize(("reasons", "keys"), [(None, ["in/001.jpg", "in/004.jpg"]), (["damaged"], ["in/004.jpg"])])
def test_quarantined_images_are_tried_again_as_a_submission_of_their_own(held, half, sent, reasons, keys):
    before = records(held, half.name)
    name = redrive(half.name, reasons, held)
    sent.clear()
    again = load(name, held.store, held.settings)
    advance(again, held)
    assert [image.key for job in sent for image in job.images] == keys
    assert again.task.model_copy(update={"epoch": 0}) == half.task.model_copy(update={"epoch": 0})
    assert again.task.epoch >= half.task.epoch
    after = records(held, half.name)
    assert after == before


def test_quarantined_images_of_stale_work_are_tried_again_as_stale_work(held, sent, fill, submitted, quarantine):
    fill(1)
    advance(submitted(name="weekly", stale=True), held)
    quarantine("weekly", 0)
    held.store.put_record(state_keys.CHAMPION, Promotion(sequence=2, sha256="6" * 64, name="better"))
    again = load(redrive("weekly", None, held), held.store, held.settings)
    assert (again.task.stale, again.task.promotion) == (True, 2)


@pytest.mark.parametrize("name", ["x", "x" * 77, "x" * 78, "x" * 100, "x" * 98 + "-"], ids=len)
def test_images_of_any_submission_can_be_tried_again_and_again(held, sent, fill, submitted, name, quarantine):
    """Twice within a second, too, and what was tried again and failed again."""
    fill(2)
    advance(submitted(name=name), held)
    quarantine(name, 0)
    quarantine(name, 1, "empty")
    first, second = redrive(name, ["damaged"], held), redrive(name, ["empty"], held)
    for again in (first, second):
        advance(load(again, held.store, held.settings), held)
        quarantine(again, 0)
    third = redrive(first, None, held)
    advance(load(third, held.store, held.settings), held)
    assert len({name, first, second, third}) == 4
    shown = {job.submission: [image.key for image in job.images] for job in sent}
    assert [shown[again] for again in (first, second, third)] == [["in/000.jpg"], ["in/001.jpg"], ["in/000.jpg"]]


def test_where_nothing_is_quarantined_there_is_nothing_to_try_again(held, half):
    with pytest.raises(UsageError, match="no quarantined images of that reason"):
        redrive(half.name, ["poison"], held)
