"""The watchdog: what takes nothing although it could is mended or ends, and nothing else is."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from celery.worker import state

from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger import keys
from photochrom.worker.process import shutdown
from photochrom.worker.queue import app, intake, redis_watch
from photochrom.worker.queue.app import connect, send_job
from photochrom.worker.queue.intake import Intake
from photochrom.worker.queue.redis_watch import STUCK_CODE, STUCK_SECONDS, Watch, messages_waiting
from photochrom.worker.telemetry import outage
from photochrom.worker.telemetry.outage import Outage


@pytest.fixture
def clock(monkeypatch):
    """Stands still until a test moves it."""
    clock = SimpleNamespace(now=1000.0)
    for module in (redis_watch, outage, intake):
        monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def ready_file(monkeypatch, tmp_path):
    monkeypatch.setenv(app.READY_FILE, str(tmp_path / "ready"))
    return tmp_path / "ready"


class Scene:
    """A process in which all is well, messages wait, and nothing is taken."""

    def __init__(self, clock):
        self.clock, self.did = clock, []
        self.waits, self.s3, self.broker, self.ready = 3, True, True, True
        self.intake = Intake(lambda: self.s3)
        self.intake.connected = True
        away = Outage(redis_watch.log, "the queue", "redis_lost", "redis_back")
        self.watch = Watch(
            self.intake,
            self.waiting,
            lambda: self.did.append("rebuilt"),
            lambda: self.did.append("ended"),
            away,
            lambda: self.ready,
        )

    def waiting(self):
        if not self.broker:
            raise RetryableError("Redis cannot be reached")
        return self.waits

    def looks_for(self, seconds):
        for _ in range(int(seconds / 5)):
            self.watch.look()
            self.clock.now += 5


@pytest.fixture
def scene(clock):
    return Scene(clock)


def test_what_takes_nothing_is_connected_anew_and_ends_when_that_does_not_help(scene, caplog):
    scene.looks_for(STUCK_SECONDS)
    assert scene.did == []
    scene.looks_for(5)
    assert scene.did == ["rebuilt"]
    assert scene.intake.stuck
    scene.looks_for(STUCK_SECONDS - 5)
    assert scene.did == ["rebuilt"]
    scene.looks_for(5)
    assert scene.did == ["rebuilt", "ended"]
    assert [record.action for record in caplog.records] == ["queue_stuck", "worker_stopped"]
    assert "3 messages wait and none was taken for 60 s: this process ends" in caplog.text


def test_what_takes_again_when_it_is_connected_anew_goes_on(scene):
    scene.looks_for(STUCK_SECONDS + 5)
    assert scene.did == ["rebuilt"]
    scene.intake.note_taken()
    assert not scene.intake.stuck
    scene.looks_for(STUCK_SECONDS)
    assert scene.did == ["rebuilt"]


def test_it_may_be_stuck_again_later(scene):
    for _ in range(2):
        scene.looks_for(STUCK_SECONDS + 5)
        scene.intake.note_taken()
    assert scene.did == ["rebuilt", "rebuilt"]


@pytest.mark.parametrize("what", ["nothing waits", "S3 is away", "the broker is away", "in hand", "draining"])
def test_who_has_a_reason_to_take_nothing_is_left_alone(scene, monkeypatch, what):
    if what == "nothing waits":
        scene.waits = 0
    scene.s3, scene.broker = what != "S3 is away", what != "the broker is away"
    if what == "in hand":
        monkeypatch.setattr(state, "active_requests", {"a request"})
    if what == "draining":
        monkeypatch.setattr(shutdown, "is_draining", lambda: True)
    scene.looks_for(5 * STUCK_SECONDS)
    assert scene.did == []
    assert not scene.intake.stuck


def test_the_time_begins_anew_when_the_reason_is_gone(scene):
    scene.s3 = False
    scene.looks_for(5 * STUCK_SECONDS)
    scene.s3 = True
    scene.looks_for(STUCK_SECONDS)
    assert scene.did == []


def test_ready_is_who_is_connected_to_a_broker_that_answers_and_has_the_rest(scene, ready_file):
    scene.watch.show()
    assert not ready_file.exists(), "the broker was not asked yet"
    scene.watch.look()
    scene.watch.show()
    assert ready_file.exists()
    for change in ("ready", "broker"):
        setattr(scene, change, False)
        scene.watch.look()
        scene.watch.show()
        assert not ready_file.exists()
        setattr(scene, change, True)
        scene.watch.look()
        scene.watch.show()
        assert ready_file.exists()
    for change, value in (("connected", False), ("stuck", True)):
        before = getattr(scene.intake, change)
        setattr(scene.intake, change, value)
        scene.watch.show()
        assert not ready_file.exists()
        setattr(scene.intake, change, before)
        scene.watch.show()
        assert ready_file.exists()


def test_a_broker_that_is_away_is_one_line_and_one_a_minute_and_one_when_it_is_back(scene, caplog):
    caplog.set_level("INFO", logger="photochrom.queue")
    scene.waits = 0
    scene.broker = False
    scene.looks_for(150)
    scene.broker = True
    scene.looks_for(150)
    lines = [(record.action, record.getMessage()) for record in caplog.records]
    assert lines == [
        ("redis_lost", "the queue: Redis cannot be reached"),
        ("redis_lost", "the queue: Redis cannot be reached, for 60 s now"),
        ("redis_lost", "the queue: Redis cannot be reached, for 120 s now"),
        ("redis_back", "the queue: back after 150 s"),
    ]


def test_messages_of_every_priority_are_counted(settings, make_job):
    connect(settings, "colorize")
    for priority in keys.PRIORITIES.values():
        send_job(make_job(1, priority=priority))
    assert messages_waiting(settings, [keys.QUEUE]) == len(keys.PRIORITIES)
    assert messages_waiting(settings, ["photochrom.another"]) == 0


def test_a_broker_that_is_away_or_refuses_the_password_is_told_as_ours(settings, closed_port):
    away = settings.model_copy(update={"redis_url": type(settings.redis_url)(f"redis://127.0.0.1:{closed_port}/0")})
    with pytest.raises(RetryableError, match="Redis cannot be reached"):
        messages_waiting(away, [keys.QUEUE])


def test_a_broker_that_answers_and_does_not_write_is_told_as_ours(settings):
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(RetryableError, match="Redis refuses"):
                messages_waiting(settings, [keys.QUEUE])
        finally:
            client.config_set("maxmemory", 0)


ENDING = """
import os, time
from billiard import Process
from photochrom.worker.queue.redis_watch import end_at_once
child = Process(target=time.sleep, args=(600,))
child.start()
print(child.pid, flush=True)
end_at_once()
"""


def test_the_end_takes_the_children_along_and_is_no_good_one():
    ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=120)
    assert ended.returncode == STUCK_CODE != 0
    for _ in range(6000):
        if not is_running(int(ended.stdout)):
            return
        time.sleep(0.01)
    raise AssertionError("the child lives on")


def is_running(pid):
    """A child whose parent has ended may be a zombie for a while."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
