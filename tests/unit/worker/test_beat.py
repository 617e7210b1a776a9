"""Celery's clock without its broker: no tick is news, and none is sent twice."""

import pytest
from celery import Celery

from photochrom.worker.queue.beat import PatientScheduler
from photochrom.worker.telemetry import outage


@pytest.fixture
def clock(monkeypatch):
    """A clock whose broker is not there, and which is told the time."""
    now = [1000.0]
    monkeypatch.setattr(outage, "monotonic", lambda: now[0])

    def make(port):
        app = Celery(broker=f"redis://127.0.0.1:{port}/0", set_as_current=False)
        app.conf.update(
            beat_schedule={"tick": {"task": "tick", "schedule": 1}},
            task_publish_retry=False,
            broker_transport_options={"max_retries": 0},
        )
        return PatientScheduler(app, lazy=False), now

    return make


def test_ticks_that_cannot_be_sent_are_one_line_a_minute_without_a_traceback(clock, closed_port, caplog):
    scheduler, now = clock(closed_port)
    for _ in range(8):
        scheduler.apply_entry(scheduler.schedule["tick"])
        now[0] += 20
    lines = [record for record in caplog.records if record.name.startswith(("photochrom", "celery"))]
    assert [line.action for line in lines] == ["ticks_not_sent", "ticks_not_sent"]
    assert not any(line.exc_info for line in lines)
    assert "127.0.0.1" not in caplog.text


def test_what_is_wrong_with_a_tick_itself_is_told_each_time(clock, closed_port, caplog):
    scheduler, _ = clock(closed_port)
    entry = scheduler.schedule["tick"]
    entry.args = [object()]
    scheduler.apply_entry(entry)
    [line] = [record for record in caplog.records if record.name.startswith("photochrom")]
    assert "tick" in line.getMessage() and "not JSON serializable" in line.getMessage()


def test_after_a_tick_that_failed_another_connection_is_used(clock, closed_port):
    scheduler, _ = clock(closed_port)
    before = scheduler.connection
    entry = scheduler.schedule["tick"]
    entry.args = [object()]
    scheduler.apply_entry(entry)
    assert scheduler.connection is not before
