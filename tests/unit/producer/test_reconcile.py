"""What went missing from the queue comes back, and nothing else does. The queue is a real one."""

import json

import pytest

from photochrom.producer.client import lifecycle
from photochrom.producer.client.lifecycle import reconcile_now
from photochrom.producer.control.reconcile import _jobs, oldest_waiting, reconcile
from photochrom.worker.errors import UsageError
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.queue.app import send_job
from tests.ticks import advance

UNACKED = keys.UNACKED.format(role="colorize")


def queued(held, priority=6):
    """Ordinals in the queue, the next job first."""
    messages = reversed(held.ledger._redis.lrange(keys.queue(priority), 0, -1))
    return [[image.ordinal for image in job.images] for job in _jobs(messages)]


def images(held, priority=6):
    return [ordinal for job in queued(held, priority) for ordinal in job]


def pop(held, priority=6):
    return held.ledger._redis.rpop(keys.queue(priority))


def take(held, priority=6):
    """A worker takes the next message; gives its tag."""
    message, tag = pop(held, priority), f"tag-{held.ledger._redis.hlen(UNACKED)}"
    held.ledger._redis.hset(UNACKED, tag, json.dumps([json.loads(message), "", "photochrom.colorize"]))
    return tag


def test_a_lost_message_comes_back_at_the_second_look_and_not_before(few, flowing):
    pop(few)
    pop(few), pop(few)
    few.ledger.record_done(flowing.name, 1)
    assert (reconcile(flowing, few), queued(few)) == (0, [])
    assert reconcile(flowing, few) == 4
    assert sorted(images(few)) == [0, 2, 3, 4]


def test_a_message_lost_in_front_of_others_comes_back(few, flowing):
    few.ledger._redis.lpush(keys.queue(6), pop(few))  # as if it were sent again, later
    pop(few)
    later(few, 6)
    assert [reconcile(flowing, few), reconcile(flowing, few)] == [0, 2]
    assert sorted(images(few)) == [0, 1, 2, 3, 4]


def later(held, priority):
    """Make everything in the queue as if it were sent just now."""
    messages = held.ledger._redis.lrange(keys.queue(priority), 0, -1)
    held.ledger._redis.delete(keys.queue(priority))
    for job in reversed(list(_jobs(messages))):
        now = held.ledger.note_sent(job.submission, [image.ordinal for image in job.images])
        send_job(job.model_copy(update={"sent": now}))


def test_what_was_put_back_and_waits_is_not_put_back_again(few, flowing):
    while pop(few):
        pass
    assert [reconcile(flowing, few) for _ in range(6)] == [0, 5, 0, 0, 0, 0]
    assert sorted(images(few)) == [0, 1, 2, 3, 4]


def test_what_was_put_back_and_lost_again_comes_back_again(few, flowing):
    for _ in range(2):
        while pop(few):
            pass
        assert [reconcile(flowing, few), reconcile(flowing, few)] == [0, 5]


def test_a_long_backlog_is_never_lost(few, flowing, fill, submitted):
    for place in range(3):
        advance(submitted(destination=f"s3://coloured/{place}"), few)
    before = queued(few)
    assert [reconcile(flowing, few) for _ in range(4)] == [0] * 4
    assert queued(few) == before


def test_a_message_that_a_worker_has_taken_is_not_lost(few, flowing):
    for _ in range(3):
        take(few)
    assert [reconcile(flowing, few) for _ in range(3)] == [0, 0, 0]
    few.ledger._redis.delete(UNACKED)
    assert [reconcile(flowing, few), reconcile(flowing, few)] == [0, 5]


JUNK = [b"", b"\xff", b"{}", b"[]", b"7", b"[7]", b'[{"body": 7}]', b'[{"body": "!"}]', b"[" * 100_000]


@pytest.mark.parametrize("junk", JUNK)
def test_junk_among_what_workers_have_taken_keeps_nothing_from_coming_back(few, flowing, junk):
    while pop(few):
        pass
    few.ledger._redis.hset(UNACKED, "junk", junk)
    assert [reconcile(flowing, few), reconcile(flowing, few)] == [0, 5]


def test_images_that_end_between_the_looks_do_not_come_back(few, flowing):
    while pop(few):
        pass
    reconcile(flowing, few)
    for ordinal in range(5):
        few.ledger.record_done(flowing.name, ordinal)
    assert (reconcile(flowing, few), queued(few)) == (0, [])


def test_an_image_that_was_started_comes_back_in_a_job_of_its_own(few, flowing):
    while pop(few):
        pass
    few.ledger.start(flowing.name, 1)
    reconcile(flowing, few), reconcile(flowing, few)
    assert [1] in queued(few)
    assert sorted(images(few)) == [0, 1, 2, 3, 4]


def test_each_priority_has_a_list_of_its_own(few, fill, submitted):
    fill(5)
    urgent = submitted(priority=0)
    advance(urgent, few)
    advance(submitted(destination="s3://coloured/low", priority=9), few)
    assert (len(queued(few, 0)), len(queued(few, 9)), queued(few, 6)) == (3, 3, [])
    assert oldest_waiting(few, 0) < oldest_waiting(few, 9)
    while pop(few, 0):
        pass
    assert [reconcile(urgent, few), reconcile(urgent, few)] == [0, 5]
    assert len(images(few, 0)) == 5
    assert len(queued(few, 9)) == 3


def test_reconciling_now_looks_twice_and_leaves_a_submission_that_control_works_at(few, flowing, monkeypatch):
    monkeypatch.setattr(lifecycle, "BETWEEN_LOOKS", 0)
    while pop(few):
        pass
    with Ledger(few.settings).lock(f"advance:{flowing.name}"), pytest.raises(UsageError, match="again in a moment"):
        reconcile_now(flowing.name, few)
    assert reconcile_now(flowing.name, few) == 5
    assert len(images(few)) == 5
