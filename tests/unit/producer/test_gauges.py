"""What the control process tells of the queue, and of its own ticks."""

import pytest
from celery import signals

from photochrom.producer.client.commands import PRIORITIES
from photochrom.producer.control import metrics, tasks
from photochrom.producer.control.metrics import Queue
from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger import keys
from tests.ticks import advance_all


@pytest.fixture
def told(held, monkeypatch):
    monkeypatch.setattr(metrics, "resources", lambda: held)

    def told():
        return {
            (sample.name, *sample.labels.values()): sample.value
            for metric in Queue().collect()
            for sample in metric.samples
        }

    return told


def test_priorities_have_the_names_that_people_know():
    assert metrics.PRIORITIES == PRIORITIES


def test_an_empty_queue(told):
    found = told()
    assert found["photochrom_redis_up",] == 1
    assert found["photochrom_queue_jobs", "normal"] == 0
    assert found["photochrom_queue_oldest_seconds", "normal"] == 0
    assert found["photochrom_submissions_active",] == 0


def test_jobs_that_wait_and_the_age_of_the_oldest(told, held, monkeypatch):
    client = metrics.connection(held.settings)
    client.lpush(keys.queue(6), "a", "b")
    client.lpush(keys.queue(0), "c")
    client.hset(keys.UNACKED.format(role="colorize"), "tag", "message")
    client.lpush(keys.TRAINING_QUEUE, "step")
    sent = {6: held.ledger.now() - 100}
    monkeypatch.setattr(metrics, "oldest_waiting", lambda held, priority: sent.get(priority, float("inf")))
    found = told()
    assert {name: found["photochrom_queue_jobs", name] for name in PRIORITIES} == {
        "urgent": 1, "high": 0, "normal": 2, "low": 0,
    }  # fmt: skip
    assert 100 <= found["photochrom_queue_oldest_seconds", "normal"] < 160
    assert found["photochrom_queue_oldest_seconds", "urgent"] == 0, "a message that is no job has no age"
    assert found["photochrom_jobs_taken",] == 1
    assert found["photochrom_training_steps_waiting",] == 1


def test_images_of_active_submissions_are_told_together(told, held, fill, submitted, sent):
    fill(3)
    submission = submitted()
    advance_all()
    held.ledger.record_done(submission.name, 0)
    held.ledger.record_quarantined(submission.name, 2, "vanished")
    found = told()
    assert found["photochrom_submissions_active",] == 1
    images = {state: found["photochrom_active_images", state] for state in ("enqueued", "done", "quarantined")}
    assert images == {"enqueued": 3, "done": 1, "quarantined": 1}


def test_without_redis_only_that_is_told(told, monkeypatch, caplog):
    def look(held):
        raise RetryableError("Redis cannot be reached")

    monkeypatch.setattr(metrics, "_look", look)
    assert told() == {("photochrom_redis_up",): 0}
    assert caplog.records[-1].action == "queue_unknown"


TICKS = pytest.mark.parametrize(
    ("tick", "run"), [("advance", "advance_all"), ("reconcile", "reconcile_all"), ("inbox", "inbox")]
)


@TICKS
def test_a_tick_that_never_came_is_late_from_the_start_on(monkeypatch, tick, run):
    metrics.TICKED.labels(tick).set(0)
    monkeypatch.setattr(tasks.time, "time", lambda: 55.0)
    signals.worker_init.send(None)
    assert metrics.TICKED.labels(tick)._value.get() == 55


@TICKS
def test_a_tick_that_went_through_leaves_its_time_and_one_that_did_not_leaves_none(held, monkeypatch, tick, run):
    metrics.TICKED.labels(tick).set(0)
    monkeypatch.setattr(tasks.time, "time", lambda: 77.0)
    with monkeypatch.context() as broken:

        def refuse(*_):
            raise RetryableError("Redis cannot be reached")

        broken.setattr(tasks, "ensure_epoch", refuse)
        broken.setattr(tasks, "take_inbox", refuse)
        getattr(tasks, run)()
        assert metrics.TICKED.labels(tick)._value.get() == 0
    getattr(tasks, run)()
    assert metrics.TICKED.labels(tick)._value.get() == 77


def test_images_that_are_put_back_are_counted(held, monkeypatch, submitted, fill):
    fill(1)
    submitted()
    before = metrics.PUT_BACK._value.get()
    monkeypatch.setattr(tasks, "reconcile", lambda submission, held: 5)
    tasks.reconcile_all()
    assert metrics.PUT_BACK._value.get() == before + 5
