"""Ready: once all is well, however long that takes, and not while draining."""

import threading
from itertools import chain, repeat

import pytest

from worker import app, drain, readiness
from worker.errors import RetryableError
from worker.readiness import ready_later, ready_once


@pytest.fixture(autouse=True)
def draining(monkeypatch):
    """Whether the process drains: not before the test's end."""
    told = threading.Event()
    monkeypatch.setattr(drain, "is_draining", told.is_set)
    monkeypatch.setattr(readiness, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(readiness, "STILL_SECONDS", 0.01)
    yield told
    told.set()
    for thread in threads():
        thread.join(30)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "ready"]


@pytest.fixture
def ready(monkeypatch):
    said = threading.Event()
    monkeypatch.setattr(readiness, "mark_ready", said.set)
    monkeypatch.setattr(readiness, "mark_unready", said.clear)
    return said


def test_what_can_work_is_ready_at_once(ready):
    ready_once(lambda: None)
    assert ready.is_set()


def test_what_cannot_work_yet_is_ready_when_it_can(ready, caplog):
    answers = chain([RetryableError("S3 is away"), RetryableError("S3 is away")], repeat(None))

    def prepare():
        if fault := next(answers):
            raise fault

    ready_once(prepare)
    assert ready.wait(30)
    assert {(record.action, record.getMessage()) for record in caplog.records} == {
        ("not_ready", "not ready: S3 is away")
    }


def test_the_main_thread_is_not_kept_waiting(ready):
    may_go_on = threading.Event()
    ready_later(lambda: may_go_on.wait(30))
    assert not ready.is_set()
    may_go_on.set()
    assert ready.wait(30)


def test_what_can_work_no_longer_is_not_ready_until_it_can_again(ready, monkeypatch):
    s3, lost = threading.Event(), threading.Event()
    s3.set()
    monkeypatch.setattr(readiness, "mark_unready", lambda: (ready.clear(), lost.set()))

    def prepare():
        if not s3.is_set():
            raise RetryableError("S3 is away")

    ready_once(prepare)
    assert ready.is_set()
    s3.clear()
    assert lost.wait(30)
    assert not ready.is_set()
    s3.set()
    assert ready.wait(30)


def test_a_process_that_drains_is_not_ready_any_more(draining, monkeypatch, tmp_path):
    monkeypatch.setenv(app.READY_FILE, str(tmp_path / "ready"))
    app.mark_ready()
    assert (tmp_path / "ready").exists()
    (tmp_path / "ready").unlink()
    draining.set()
    app.mark_ready()
    assert not (tmp_path / "ready").exists()


def test_who_never_gets_ready_stops_trying_when_it_drains(ready, draining):
    tried = threading.Event()

    def prepare():
        draining.set()
        tried.set()
        raise RetryableError("S3 is away")

    ready_later(prepare)
    assert tried.wait(30)
    for thread in threads():
        thread.join(30)
        assert not thread.is_alive()
    assert not ready.is_set()
