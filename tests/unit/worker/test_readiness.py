"""Ready: once all is well, however long that takes, and not while draining. Without S3 nothing is taken."""

import os
import threading
from itertools import chain, repeat

import billiard
import pytest

from photochrom.worker.errors import CheckpointError, RetryableError
from photochrom.worker.process import shutdown
from photochrom.worker.queue import app, readiness
from photochrom.worker.queue.readiness import doubt, is_ready, may_take, ready_later, ready_once


@pytest.fixture(autouse=True)
def draining(monkeypatch):
    """Whether the process drains: not before the test's end."""
    told = threading.Event()
    monkeypatch.setattr(shutdown, "is_draining", told.is_set)
    monkeypatch.setattr(readiness, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(readiness, "STILL_SECONDS", 0.01)
    forget()
    yield told
    told.set()
    for thread in threads():
        thread.join(30)
    forget()


def forget():
    readiness._standing[:] = [0] * len(readiness._standing)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "ready"]


def wait_until(condition):
    pause = threading.Event()
    for _ in range(6000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("not within a minute")


class S3:
    """Answers, or does not."""

    fault = None

    def ask(self):
        if self.fault:
            raise self.fault


def test_before_anything_is_known_nothing_is_taken():
    assert not is_ready()
    assert not may_take()


def test_what_can_work_is_ready_at_once():
    ready_once(lambda: None)
    assert is_ready()
    assert may_take()


def test_what_cannot_work_yet_is_ready_when_it_can(caplog):
    answers = chain([RetryableError("S3 is away"), RetryableError("S3 is away")], repeat(None))

    def reach():
        if fault := next(answers):
            raise fault

    ready_once(reach)
    wait_until(is_ready)
    assert [(record.action, record.getMessage()) for record in caplog.records] == [
        ("not_ready", "not ready: S3 is away")
    ]


def test_the_main_thread_is_not_kept_waiting():
    may_go_on = threading.Event()
    ready_later(lambda: may_go_on.wait(30))
    assert not is_ready()
    may_go_on.set()
    wait_until(is_ready)


@pytest.mark.parametrize("fault", [RetryableError("S3 is away"), RuntimeError("expired")])
def test_what_can_work_no_longer_takes_nothing_until_it_can_again(fault):
    s3 = S3()
    ready_once(s3.ask)
    assert may_take()
    s3.fault = fault
    wait_until(lambda: not may_take())
    assert not is_ready()
    s3.fault = None
    wait_until(may_take)
    assert is_ready()


@pytest.mark.parametrize("fault", [CheckpointError("altered"), RetryableError("slow down"), RuntimeError("odd")])
def test_who_has_no_model_is_not_ready_and_takes_what_may_name_another(fault):
    s3, model = S3(), S3()
    model.fault = fault
    ready_once(s3.ask, model.ask)
    assert not is_ready()
    assert may_take()
    model.fault = None
    wait_until(is_ready)


def test_an_s3_that_holds_a_malformed_pointer_has_answered():
    s3 = S3()
    s3.fault = CheckpointError("the pointer to the champion is malformed")
    ready_once(s3.ask)
    assert not is_ready()
    assert may_take()


def test_after_a_doubt_it_is_tried_soon(monkeypatch):
    monkeypatch.setattr(readiness, "STILL_SECONDS", 600)
    s3 = S3()
    ready_once(s3.ask)
    s3.fault = RetryableError("S3 is away")
    doubt()
    wait_until(lambda: not may_take())


def in_child(index, fault):
    """What a child with that place among its siblings finds out, before it is killed."""
    billiard.current_process().index = index
    s3 = S3()
    s3.fault = fault
    ready_once(s3.ask)
    os._exit(0)


def test_the_parent_knows_what_its_children_found_out_the_killed_ones_included():
    for faults in ([None, None], [None, RetryableError("S3 is away")], [None, None]):
        for index, fault in enumerate(faults):
            child = billiard.Process(target=in_child, args=(index, fault))
            child.start()
            child.join()
        assert is_ready() is may_take() is (not any(faults))


def test_a_process_that_drains_is_not_ready_any_more(draining, monkeypatch, tmp_path):
    monkeypatch.setenv(app.READY_FILE, str(tmp_path / "ready"))
    app.mark_ready()
    assert (tmp_path / "ready").exists()
    (tmp_path / "ready").unlink()
    draining.set()
    app.mark_ready()
    assert not (tmp_path / "ready").exists()


def test_who_never_gets_ready_stops_trying_when_it_drains(draining):
    tried = threading.Event()

    def reach():
        draining.set()
        tried.set()
        raise RetryableError("S3 is away")

    ready_later(reach)
    assert tried.wait(30)
    for thread in threads():
        thread.join(30)
        assert not thread.is_alive()
    assert not is_ready()
