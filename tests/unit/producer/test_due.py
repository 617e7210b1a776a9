"""What waits for another try is in Redis, goes into the queue when its time has come, and never looks lost."""

from itertools import chain

import pytest

from photochrom.producer.control import due, tasks
from photochrom.producer.control.due import send_due
from photochrom.producer.control.rebuild import rebuild
from photochrom.producer.control.reconcile import _jobs, reconcile
from photochrom.worker.errors import RetryableError
from photochrom.worker.jobs.messages import Job
from photochrom.worker.ledger import keys

HOUR = 3600.0


def queued(held):
    """Ordinals in the queue, the next job first."""
    messages = reversed(held.ledger._redis.lrange(keys.queue(6), 0, -1))
    return [[image.ordinal for image in job.images] for job in _jobs(messages)]


def put_off(held, wait):
    """A worker takes the next job, and puts it off; gives back that job."""
    [job] = _jobs([held.ledger._redis.rpop(keys.queue(6))])
    now = held.ledger.note_sent(job.submission, [image.ordinal for image in job.images])
    again = job.only(list(job.images), sent=now, attempt=job.attempt + 1)
    assert held.ledger.put_off(job.submission, again.model_dump_json(), wait)
    return again


def test_what_is_due_is_sent_and_nothing_else(few, flowing):
    put_off(few, 0), put_off(few, HOUR)
    assert send_due(few) == 1
    assert queued(few) == [[4], [0, 1]]
    assert len(few.ledger.put_off_jobs(flowing.name)) == 1
    assert send_due(few) == 0


def test_a_job_that_was_put_off_is_the_same_job_but_for_its_time(few, flowing):
    again = put_off(few, 0)
    send_due(few)
    [_, _, sent] = list(_jobs(reversed(few.ledger._redis.lrange(keys.queue(6), 0, -1))))
    assert sent == again.model_copy(update={"sent": sent.sent})
    assert sent.sent > again.sent


def test_what_waits_for_another_try_never_looks_lost(few, flowing):
    for _ in range(3):
        put_off(few, HOUR)
    assert [reconcile(flowing, few) for _ in range(3)] == [0, 0, 0]
    assert queued(few) == []


def test_what_was_due_and_waits_in_the_queue_never_looks_lost(few, flowing, fill, submitted):
    put_off(few, 0)
    few.ledger._redis.lpush(keys.queue(6), few.ledger._redis.rpop(keys.queue(6)))
    send_due(few)
    assert [reconcile(flowing, few) for _ in range(3)] == [0, 0, 0]
    assert sorted(chain(*queued(few))) == [0, 1, 2, 3, 4]


def test_what_is_lost_beside_what_waits_comes_back(few, flowing):
    put_off(few, HOUR)
    while few.ledger._redis.rpop(keys.queue(6)):
        pass
    assert [reconcile(flowing, few), reconcile(flowing, few)] == [0, 3]
    assert sorted(chain(*queued(few))) == [2, 3, 4]


def test_control_that_dies_while_it_sends_loses_nothing(few, flowing, monkeypatch):
    again = put_off(few, 0)

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(due, "send_job", die)
        with pytest.raises(KeyboardInterrupt):
            send_due(few)
    assert [Job.model_validate_json(text) for text in few.ledger.put_off_jobs(flowing.name)] == [again]
    assert send_due(few) == 1
    assert [0, 1] in queued(few)


def test_two_controls_do_not_send_it_twice(few, flowing):
    put_off(few, 0)
    with few.ledger.lock("due"):
        assert send_due(few) == 0
    assert [send_due(few), send_due(few)] == [1, 0]


@pytest.mark.parametrize("junk", ["", "{}", "[]", "7", "[" * 100_000, '{"images": [7]}'])
def test_junk_among_what_waits_is_thrown_away_and_keeps_nothing_else(few, flowing, junk):
    few.ledger.put_off(flowing.name, junk, -1)
    put_off(few, 0)
    while few.ledger._redis.rpop(keys.queue(6)):
        pass
    assert [reconcile(flowing, few), reconcile(flowing, few)] == [0, 3]
    send_due(few)
    assert few.ledger.put_off_jobs(flowing.name) == []
    assert sorted(chain(*queued(few))) == [0, 1, 2, 3, 4]


def test_of_a_cancelled_submission_nothing_is_sent_until_it_goes_on(few, flowing):
    put_off(few, 0)
    few.ledger.cancel(flowing.name)
    assert send_due(few) == 0
    few.ledger.retire(flowing.name)
    assert send_due(few) == 0
    few.ledger.revive(flowing.name)
    assert send_due(few) == 1


def test_what_waits_of_an_ended_submission_passes_away(few, flowing):
    put_off(few, HOUR)
    few.ledger.retire(flowing.name)
    assert few.ledger._redis.ttl(keys.of(flowing.name, "due")) > 0
    few.ledger.revive(flowing.name)
    assert few.ledger._redis.ttl(keys.of(flowing.name, "due")) == -1


def test_what_waits_passes_away_also_where_control_is_of_a_version_that_does_not_know_of_it(few, flowing):
    put_off(few, HOUR)
    assert few.ledger._redis.ttl(keys.of(flowing.name, "due")) > HOUR
    few.ledger._redis.delete(keys.of(flowing.name, "due"))
    while few.ledger._redis.rpop(keys.queue(6)):
        pass
    assert [reconcile(flowing, few), reconcile(flowing, few)] == [0, 5]


def test_what_waited_when_redis_was_lost_is_put_back(few, flowing):
    for _ in range(3):
        put_off(few, HOUR)
    few.ledger._redis.flushall()
    rebuild(flowing.name, few)
    assert [reconcile(flowing, few), reconcile(flowing, few)] == [0, 5]
    assert sorted(chain(*queued(few))) == [0, 1, 2, 3, 4]


def test_control_sends_it_with_every_tick_also_while_s3_is_away(few, flowing, monkeypatch):
    put_off(few, 0)
    monkeypatch.setattr(tasks, "resources", lambda: few)

    def away(*_, **__):
        raise RetryableError("S3 is away")

    monkeypatch.setattr(few.store, "get", away)
    tasks.advance_all()
    assert queued(few) == [[2, 3], [4], [0, 1]]
