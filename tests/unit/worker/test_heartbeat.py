"""The sign of life: from the main loop, through a broker that is away, and not when that loop hangs."""

import os
import sys
import time
from types import SimpleNamespace

import pytest

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.stack import HOUSE
from photochrom.worker.errors import UsageError
from photochrom.worker.queue import heartbeat
from photochrom.worker.queue.heartbeat import Heartbeat, beat, beating
from photochrom.worker.queue.intake import Intake
from photochrom.worker.settings import Settings

LONG_AGO = 1_000_000_000.0


@pytest.fixture
def file(tmp_path, monkeypatch):
    file = tmp_path / "heartbeat"
    file.touch()
    os.utime(file, (LONG_AGO, LONG_AGO))
    monkeypatch.setattr(heartbeat, "settings", lambda: Settings(heartbeat_file=file))
    return file


def is_new(file):
    return file.stat().st_mtime > LONG_AGO


def wait_until(condition):
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_nothing_is_touched_where_no_file_is_set(no_settings):
    beat()
    with beating():
        pass
    assert not Heartbeat.include_if(None, None)


def test_an_empty_setting_is_no_file():
    assert Settings(heartbeat_file="").heartbeat_file is None


def test_a_file_that_cannot_be_written_is_told_in_one_line(file, monkeypatch, tmp_path):
    monkeypatch.setattr(heartbeat, "settings", lambda: Settings(heartbeat_file=tmp_path / "nowhere" / "file"))
    with pytest.raises(UsageError, match=r"PHOTOCHROM_HEARTBEAT_FILE .*nowhere/file cannot be written: No such"):
        beat()


def test_the_main_loop_beats_from_its_timer_unless_nothing_is_taken_although_it_could_be(file):
    timed = []
    timer = SimpleNamespace(call_repeatedly=lambda seconds, call, args: timed.append((seconds, lambda: call(*args))))
    intake = Intake(lambda: True)
    Heartbeat.start(None, SimpleNamespace(timer=timer, consumer=SimpleNamespace(intake=intake)))
    assert is_new(file)
    [(seconds, call)] = timed
    assert seconds <= 20, "a minute has to hold three"
    for intake.stuck in (False, True):
        os.utime(file, (LONG_AGO, LONG_AGO))
        call()
        assert is_new(file) is not intake.stuck


def test_a_sign_may_hold_for_longer(file):
    before = time.time()
    beat(ahead=100)
    assert file.stat().st_mtime >= before + 99


def test_while_the_broker_is_waited_for_a_thread_beats_and_then_no_more(file):
    with beating(seconds=0.01):
        for _ in range(3):
            os.utime(file, (LONG_AGO, LONG_AGO))
            wait_until(lambda: is_new(file))
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert not is_new(file)


@pytest.mark.integration
def test_a_control_process_that_has_no_broker_is_alive(tmp_path, closed_port):
    file = tmp_path / "heartbeat"
    environment = {
        "PHOTOCHROM_REDIS_URL": f"redis://127.0.0.1:{closed_port}/0", "PHOTOCHROM_HEARTBEAT_FILE": str(file),
        "PYTHONPATH": str(HOUSE), "PHOTOCHROM_LOG_FORMAT": "json",
    }  # fmt: skip
    program = "from photochrom.worker.queue import heartbeat; heartbeat.beating.__wrapped__.__defaults__ = (0.05,)\n"
    program += "from photochrom.deploy.cli import app; app(['control'])"
    process = Process("control", [sys.executable, "-c", program], tmp_path, tmp_path / "log")
    process.start(os.environ | environment)
    try:
        wait_until(lambda: "redis_lost" in process.tail())
        for _ in range(3):
            os.utime(file, (LONG_AGO, LONG_AGO))
            wait_until(lambda: is_new(file))
    finally:
        process.stop(patience=60)
