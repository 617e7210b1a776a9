"""Redis may be lost: the ledger comes back from S3."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.advance import advance
from producer.control import advance_all
from producer.lifecycle import cancel, redrive, resume
from producer.progress import progress
from producer.rebuild import bitmap, ensure_epoch
from producer.report import write_report
from producer.submission import load
from worker import keys, paths
from worker.errors import ImageFault, UsageError
from worker.job import Image
from worker.ledger import Ledger
from worker.outcomes import record_quarantined
from worker.store import Location


def with_pages_of(held, images, window=10**6):
    return held._replace(settings=held.settings.model_copy(update={"page_images": images, "window": window}))


def quarantine(held, name, ordinal, reason="damaged"):
    image = Image(ordinal=ordinal, key=f"in/{ordinal:03d}.jpg", etag='"e"', size=2)
    record_quarantined(name, image, ImageFault(reason, f"it is {reason}"), held.store, held.ledger, held.settings)


@pytest.fixture
def half(held, sent, fill, submitted):
    """Seven images in pages of three: the first page has ended, of the second one image, the third is not listed."""
    fill(7)
    submission, few = submitted(), with_pages_of(held, 3, window=5)
    ensure_epoch(few)
    advance(submission, few)
    assert len(held.ledger.pages(submission.name)) == 2
    for ordinal in (0, 2):
        held.ledger.record_done(submission.name, ordinal)
    quarantine(held, submission.name, 1, "empty")
    quarantine(held, submission.name, 4)
    advance(submission, with_pages_of(held, 3, window=1))
    assert [page.number for page in held.ledger.pages(submission.name)] == [1]
    return submission


def bits(held, name, part):
    return {number for number in range(16) if held.ledger._redis.getbit(keys.of(name, part), number)}


def test_after_redis_was_lost_the_ledger_knows_what_s3_knows(held, half):
    before = held.ledger.cursor(half.name), held.ledger.counts(half.name)
    epoch = held.ledger.epoch()
    held.ledger._redis.flushall()
    assert ensure_epoch(held)
    assert (held.ledger.cursor(half.name), held.ledger.counts(half.name)) == before
    assert held.ledger.counts(half.name).reasons == {"empty": 1, "damaged": 1}
    assert held.ledger.active() == [half.name]
    [page] = held.ledger.pages(half.name)
    assert (page.number, page.first, page.images, page.sent) == (1, 3, 3, 0.0)
    assert held.ledger.epoch() not in (None, epoch)
    assert {held.ledger._redis.ttl(key) for key in held.ledger._redis.keys("photochrom:submission:*")} == {-1}


def test_a_submission_goes_on_to_its_end_after_redis_was_lost(held, half, sent):
    held.ledger._redis.flushall()
    advance_all()
    few = with_pages_of(held, 3)
    advance(half, few)
    for ordinal in range(7):
        held.ledger.record_done(half.name, ordinal)
    advance(half, few)
    assert held.ledger.active() == []
    ended = json.loads(held.store.get("photochrom-state", paths.ended(half.name)).data)
    assert (ended["total"], ended["done"], ended["quarantined"]) == (7, 5, 2)


def test_the_true_redis_is_left_as_it_is(held, half):
    before = held.ledger.epoch()
    assert ensure_epoch(held)
    assert held.ledger.epoch() == before
    assert [page.sent > 0 for page in held.ledger.pages(half.name)] == [True]


def test_another_redis_than_the_one_that_s3_knows_is_rebuilt_too(held, half):
    held.ledger.set_epoch("another")
    held.ledger._redis.delete(keys.of(half.name, "done"))
    assert ensure_epoch(held)
    assert held.ledger.counts(half.name).done == 2


def test_nothing_is_advanced_while_another_process_rebuilds(held, half, sent):
    held.ledger._redis.flushall()
    sent.clear()
    with Ledger(held.settings).lock("rebuild"):
        assert not ensure_epoch(held)
        advance_all()
    assert (sent, held.ledger.active(), held.ledger.epoch()) == ([], [], None)


def test_an_image_that_is_both_done_and_quarantined_ends_as_quarantined_only(held, half):
    held.ledger._redis.flushall()
    held.ledger.record_done(half.name, 4)  # by a worker that knew nothing of its quarantine
    held.ledger.record_done(half.name, 5)
    assert ensure_epoch(held)
    assert (bits(held, half.name, "done"), bits(held, half.name, "quarantined")) == ({0, 2, 5}, {1, 4})
    assert held.ledger.counts(half.name).reasons == {"empty": 1, "damaged": 1}


def test_a_page_that_finished_with_a_quarantined_image_counts_it_once(held, half):
    held.ledger._redis.flushall()
    ensure_epoch(held)
    assert (bits(held, half.name, "done"), bits(held, half.name, "quarantined")) == ({0, 2}, {1, 4})


def test_ended_submissions_are_not_rebuilt_and_cancelled_ones_stay_cancelled(held, sent, fill, submitted):
    fill(2)
    ended, stopped = submitted(name="ended"), submitted(name="stopped")
    for submission in (ended, stopped):
        advance(submission, held)
    for ordinal in range(2):
        held.ledger.record_done("ended", ordinal)
    advance(ended, held)
    cancel("stopped", held)
    held.ledger._redis.flushall()
    ensure_epoch(held)
    assert held.ledger.active() == ["stopped"]
    assert held.ledger.is_cancelled("stopped")
    assert stopped.name == "stopped"


@given(ordinals=st.sets(st.integers(0, 200)))
def test_bits_are_numbered_as_redis_does(ordinals):
    data = bitmap(sorted(ordinals))
    assert {n for n in range(8 * len(data)) if data[n // 8] & (128 >> n % 8)} == ordinals


# ---- cancel, resume, redrive


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


def test_where_nothing_is_quarantined_there_is_nothing_to_try_again(held, half):
    with pytest.raises(UsageError, match="no quarantined images of that reason"):
        redrive(half.name, ["poison"], held)


# ---- the report


def test_the_report_has_one_line_an_image_with_what_became_of_it(held, half):
    places = write_report(half.name, held)
    assert places == [f"s3://photochrom-state/submissions/{half.name}/report.{kind}" for kind in ("csv", "jsonl")]
    csv, lines = (held.store.get(*Location.parse(place)).data.decode() for place in places)
    etag = held.store.head("archive", "in/000.jpg").etag.strip('"')
    outcomes = ["done,", "quarantined,empty", "done,", "pending,", "quarantined,damaged", "pending,"]
    assert csv.splitlines() == [
        "ordinal,key,outcome,reason,etag,size",
        *(f"{number},in/{number:03d}.jpg,{outcome},{etag},2" for number, outcome in enumerate(outcomes)),
    ]
    told = [json.loads(line) for line in lines.splitlines()]
    assert told[4] == {
        "ordinal": 4,
        "key": "in/004.jpg",
        "outcome": "quarantined",
        "reason": "damaged",
        "etag": etag,
        "size": 2,
    }
    assert [f"{one['outcome']},{one['reason']}" for one in told] == outcomes


def test_the_report_of_an_ended_submission_needs_no_redis(held, sent, fill, submitted):
    fill(2)
    advance(submission := submitted(), held)
    held.ledger.record_done(submission.name, 0)
    quarantine(held, submission.name, 1)
    advance(submission, held)
    held.ledger._redis.flushall()
    _, lines = write_report(submission.name, held)
    told = [json.loads(line) for line in held.store.get(*Location.parse(lines)).data.splitlines()]
    assert [one["outcome"] for one in told] == ["done", "quarantined"]


def test_there_is_no_report_of_an_unknown_submission(held):
    with pytest.raises(UsageError, match="no submission"):
        write_report("vienna", held)
