"""The control process: pages into the queue while there is room, and an end when every image has its outcome."""

import json

import pytest

from photochrom.producer.control import dispatch, tasks
from photochrom.producer.control.rebuild import ensure_epoch
from photochrom.producer.control.tasks import inbox, reconcile_all, submit_task
from photochrom.producer.records.progress import progress
from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger.ledger import KEPT_AFTER_END, Ledger
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, NotFoundError
from tests.ticks import advance, advance_all


def with_settings(held, **changes):
    return held._replace(settings=held.settings.model_copy(update=changes))


def ordinals(jobs):
    return [image.ordinal for job in jobs for image in job.images]


def unsent(jobs):
    """The same jobs, whenever they were sent."""
    return [job.model_copy(update={"sent": 0.0}) for job in jobs]


def ended_record(held, name):
    return json.loads(held.store.get(held.settings.state_bucket, state_keys.ended(name)).data)


def finish(held, name, done=(), bad=()):
    for ordinal in done:
        held.ledger.record_done(name, ordinal)
    for ordinal in bad:
        held.ledger.record_quarantined(name, ordinal, "damaged")


def test_every_image_is_sent_once_and_in_order(held, sent, fill, submitted):
    fill(7)
    submission = submitted()
    advance(submission, with_settings(held, page_images=3))
    assert ordinals(sent) == list(range(7))
    assert [image.key for job in sent for image in job.images] == [f"in/{n:03d}.jpg" for n in range(7)]
    assert {(job.submission, job.task) for job in sent} == {(submission.name, submission.task)}
    now = progress(submission.name, held.settings)
    assert (now.total, now.listed, now.state) == (7, True, "running")


def test_a_second_tick_sends_nothing_again(held, sent, fill, submitted):
    fill(4)
    submission = submitted()
    for _ in range(3):
        advance(submission, held)
    assert ordinals(sent) == [0, 1, 2, 3]


def test_a_page_that_is_full_and_the_last_ends_with_an_empty_one(held, sent, fill, submitted):
    fill(6)
    advance(submission := submitted(), with_settings(held, page_images=3))
    assert ordinals(sent) == list(range(6))
    assert progress(submission.name, held.settings).listed


def test_no_more_are_in_flight_than_the_window_and_the_page_that_filled_it(held, sent, fill, submitted):
    fill(12)
    submission, narrow = submitted(), with_settings(held, page_images=2, window=4)
    advance(submission, narrow)
    assert ordinals(sent) == [0, 1, 2, 3]
    advance(submission, narrow)
    assert len(ordinals(sent)) == 4
    finish(held, submission.name, done=[0, 2], bad=[3])
    advance(submission, narrow)
    assert ordinals(sent) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert progress(submission.name, held.settings).in_flight == 5


def test_a_control_process_killed_before_its_cursor_moved_sends_the_same_page_again(
    held, sent, fill, submitted, store, monkeypatch
):
    fill(3)
    submission = submitted()
    with monkeypatch.context() as killed:
        killed.setattr(Ledger, "move_cursor", lambda *_, **__: (_ for _ in ()).throw(RetryableError("killed")))
        with pytest.raises(RetryableError):
            advance(submission, held)
    first = list(sent)
    store.put("archive", "in/000-new.jpg", b"12")
    advance(submission, held)
    assert unsent(sent) == unsent(first + first)
    now = progress(submission.name, held.settings)
    assert (now.total, now.listed) == (3, True)


def test_a_control_process_killed_between_page_and_jobs_sends_them_later(held, sent, fill, submitted, monkeypatch):
    fill(3)
    submission = submitted()
    with monkeypatch.context() as killed:
        killed.setattr(dispatch, "jobs_of", lambda *_: (_ for _ in ()).throw(RetryableError("killed")))
        with pytest.raises(RetryableError):
            advance(submission, held)
    assert sent == []
    advance(submission, held)
    assert ordinals(sent) == [0, 1, 2]


def test_a_submission_ends_when_every_image_has_its_outcome(held, sent, fill, submitted):
    fill(3)
    submission = submitted()
    advance(submission, held)
    finish(held, submission.name, done=[0, 2])
    advance(submission, held)
    assert held.ledger.active() == [submission.name]
    with pytest.raises(NotFoundError):
        ended_record(held, submission.name)
    finish(held, submission.name, bad=[1])
    advance(submission, held)
    assert held.ledger.active() == []
    record = ended_record(held, submission.name)
    assert (record["state"], record["total"], record["done"], record["quarantined"]) == ("done", 3, 2, 1)
    assert record["reasons"] == {"damaged": 1}


def test_a_submission_that_is_still_listed_does_not_end_when_what_was_sent_has_ended(held, sent, fill, submitted):
    fill(5)
    submission, narrow = submitted(), with_settings(held, page_images=2, window=2)
    advance(submission, narrow)
    finish(held, submission.name, done=[0, 1])
    advance(submission, narrow)
    assert held.ledger.active() == [submission.name]
    assert ordinals(sent) == [0, 1, 2, 3]


def test_a_submission_without_photographs_ends_at_once(held, sent, submitted):
    submission = submitted()
    advance(submission, held)
    assert sent == []
    assert held.ledger.active() == []
    assert ended_record(held, submission.name)["total"] == 0


def test_progress_answers_after_the_end_when_redis_has_forgotten(held, sent, fill, submitted):
    fill(3)
    submission = submitted()
    advance(submission, held)
    finish(held, submission.name, done=[0, 2], bad=[1])
    advance(submission, held)
    before = progress(submission.name, held.settings)
    held.ledger._redis.flushall()
    after = progress(submission.name, held.settings)
    assert (after.total, after.done, after.quarantined, after.reasons) == (3, 2, 1, {"damaged": 1})
    assert (after.state, after.ended, after.line()) == (before.state, True, before.line())


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_submission_that_lost_its_redis_gives_no_image_another_ordinal(held, sent, fill, submitted, rebuilt):
    fill(5)
    submission, narrow = submitted(), with_settings(held, page_images=2)
    advance(submission, narrow)
    held.ledger._redis.flushall()
    before = list(sent)
    sent.clear()
    if rebuilt:
        assert ensure_epoch(narrow)
        assert [page.first for page in held.ledger.pages(submission.name)] == [0, 2, 4]
    advance(submission, narrow)
    assert ordinals(sent) == ([] if rebuilt else ordinals(before))
    assert {image for job in sent for image in job.images} <= {image for job in before for image in job.images}
    now = progress(submission.name, held.settings)
    assert (now.total, now.listed, now.in_flight) == (5, True, 5)


# ---- the tasks


def test_what_a_manifest_names_outside_the_source_is_quarantined_and_the_rest_sent(held, sent, submitted, store):
    store.put("archive", "keys.txt", b"in/1.jpg\nsecret/2.jpg\nin/3.jpg\n")
    submission = submitted(manifest="s3://archive/keys.txt")
    advance(submission, held)
    assert ordinals(sent) == [0, 2]
    assert held.ledger.counts(submission.name).reasons == {"outside-source": 1}


def test_a_manifest_that_cannot_be_carried_out_does_not_hold_up_others(held, sent, fill, submitted, store):
    fill(2)
    store.put("archive", "keys.txt", b"in/" + b"x" * 2000 + b".jpg")
    submitted(name="a-in-trouble", manifest="s3://archive/keys.txt")
    submitted(name="b-good")
    advance_all()
    assert {job.submission for job in sent} == {"b-good"}


def test_a_tick_advances_every_active_submission(held, sent, fill, submitted):
    fill(2)
    names = {submitted().name, submitted().name}
    advance_all()
    assert {job.submission for job in sent} == names


def test_a_tick_leaves_a_submission_to_whoever_holds_its_lock(held, sent, fill, submitted):
    fill(2)
    mine, theirs = submitted(name="mine"), submitted(name="theirs")
    with Ledger(held.settings).lock(f"advance:{theirs.name}") as locked:
        assert locked
        advance_all()
    assert {job.submission for job in sent} == {mine.name}
    advance_all()
    assert {job.submission for job in sent} == {mine.name, theirs.name}


@pytest.mark.parametrize("record", [None, b"{}"])
def test_one_submission_in_trouble_does_not_hold_up_the_others(held, sent, fill, submitted, store, aws, record):
    fill(2)
    submitted(name="a-in-trouble")
    if record is None:
        aws.delete_object(Bucket="photochrom-state", Key=state_keys.submission("a-in-trouble"))
    else:
        store.put("photochrom-state", state_keys.submission("a-in-trouble"), record)
    submitted(name="b-good")
    advance_all()
    assert {job.submission for job in sent} == {"b-good"}
    assert "a-in-trouble" in held.ledger.active()


def test_a_submission_can_be_asked_for_by_message(held):
    submit_task("s3://archive/in", "s3://coloured/out", name="by-message")
    assert held.ledger.active() == ["by-message"]


def test_stale_work_can_be_asked_for_by_message_and_reaches_the_jobs(held, sent, fill):
    fill(1)
    submit_task("s3://archive/in", "s3://coloured/out", stale=True)
    advance_all()
    assert [job.task.stale for job in sent] == [True]


def test_a_refused_message_is_logged_and_does_not_come_back(held, caplog):
    with caplog.at_level("ERROR", "photochrom.control"):
        submit_task("s3://archive/in", "s3://archive/in")
    assert "inside one another" in caplog.text
    assert held.ledger.active() == []


def test_the_tasks_are_found_under_their_public_names():
    assert (submit_task.name, tasks.advance_all.name) == ("photochrom.submit", "photochrom.advance")
    assert (reconcile_all.name, inbox.name) == ("photochrom.reconcile", "photochrom.inbox")


def test_no_key_of_an_ended_submission_stays_in_redis_for_ever(held, sent, fill, submitted):
    fill(4)
    submission, few = submitted(), with_settings(held, page_images=2)
    advance_all()
    advance(submission, few)
    start = held.ledger.start(submission.name, 0)
    held.ledger.give_back(submission.name, 0, start)
    held.ledger.note_sent(submission.name, [1, 2])
    held.ledger.swap_suspects(submission.name, [1])
    finish(held, submission.name, done=[0, 1, 2], bad=[3])
    advance(submission, few)
    assert held.ledger.active() == []
    held.ledger.note_sent(submission.name, [1, 2])
    held.ledger.start(submission.name, 1)
    finish(held, submission.name, done=[3], bad=[2])
    lives = {key: held.ledger._redis.ttl(key) for key in held.ledger._redis.keys("photochrom:submission:*")}
    assert lives
    assert {key: life for key, life in lives.items() if not 0 < life <= KEPT_AFTER_END} == {}


def test_a_page_is_closed_in_s3_when_all_its_images_have_ended(held, sent, fill, submitted):
    fill(5)
    submission, few = submitted(), with_settings(held, page_images=2)
    advance(submission, few)
    finish(held, submission.name, done=[0, 2, 3], bad=[4])
    advance(submission, few)
    outcomes = [
        item.key for item in held.store.list(Location("photochrom-state", state_keys.outcomes(submission.name)))
    ]
    assert [state_keys.parse_outcome(key) for key in outcomes] == [(1, 2, 2, 0), (2, 4, 1, 1)]
    assert [page.number for page in held.ledger.pages(submission.name)] == [0]


def test_the_reconciler_leaves_a_submission_to_whoever_holds_its_lock(held, sent, fill, submitted, monkeypatch):
    looked = []
    monkeypatch.setattr(
        "photochrom.producer.control.tasks.reconcile", lambda submission, _: looked.append(submission.name) or 0
    )
    mine, theirs = submitted(name="mine"), submitted(name="theirs")
    with Ledger(held.settings).lock(f"advance:{theirs.name}"):
        reconcile_all()
    assert looked == [mine.name]
