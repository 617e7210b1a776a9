"""Turns are given in the order of asking, by a few threads, and nobody waits for one but who wants to."""

import threading

import pytest

import photochrom.producer.control.turns
from photochrom.producer.control.turns import Turns

DEADLINE = 60
"""Seconds; only a broken test waits that long."""


class Stage:
    """Whose turn it is; a turn lasts until it is ended."""

    def __init__(self):
        self.begun = []
        self.ended = []
        self._may_end = {}
        self._changed = threading.Condition()

    def take(self, name):
        with self._changed:
            self.begun.append(name)
            self._changed.notify_all()
        if name in self._may_end:
            assert self._may_end[name].wait(DEADLINE)
        with self._changed:
            self.ended.append(name)
            self._changed.notify_all()

    def hold(self, *names):
        self._may_end |= {name: threading.Event() for name in names}

    def end(self, *names):
        for name in names:
            self._may_end[name].set()

    def wait_until(self, condition):
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE)


@pytest.fixture
def stage():
    return Stage()


def test_turns_are_given_in_the_order_of_asking(stage):
    turns = Turns(stage.take, 1)
    for name in "abc":
        turns.ask(name)
    assert turns.finish(DEADLINE)
    assert stage.ended == ["a", "b", "c"]


def test_what_waits_or_has_its_turn_is_not_asked_for_again_and_what_had_it_is(stage):
    turns = Turns(stage.take, 1)
    stage.hold("a")
    for name in "abab":
        turns.ask(name)
    stage.wait_until(lambda: stage.begun == ["a"])
    stage.end("a")
    assert turns.finish(DEADLINE)
    assert stage.ended == ["a", "b"]
    turns.ask("a")
    assert turns.finish(DEADLINE)
    assert stage.ended == ["a", "b", "a"]


def test_one_that_waits_for_s3_keeps_no_other_waiting(stage):
    turns = Turns(stage.take, 2)
    stage.hold("slow")
    for name in ("slow", "a", "b"):
        turns.ask(name)
    stage.wait_until(lambda: stage.ended == ["a", "b"])
    assert not turns.finish(0)
    stage.end("slow")
    assert turns.finish(DEADLINE)


def test_there_are_no_more_at_once_than_threads(stage):
    turns = Turns(stage.take, 2)
    stage.hold("a", "b", "c")
    for name in "abc":
        turns.ask(name)
    stage.wait_until(lambda: len(stage.begun) == 2)
    stage.end("a")
    stage.wait_until(lambda: len(stage.begun) == 3)
    assert stage.ended == ["a"]
    stage.end("b", "c")
    assert turns.finish(DEADLINE)


def test_a_turn_that_fails_as_nobody_foresaw_ends_no_thread(caplog):
    done = []

    def take(name):
        if name == "bad":
            raise ZeroDivisionError
        done.append(name)

    turns = Turns(take, 1)
    for name in ("bad", "good"):
        turns.ask(name)
    assert turns.finish(DEADLINE)
    assert done == ["good"]
    assert "not foreseen" in caplog.text


def test_in_a_process_that_drains_nothing_begins(stage, monkeypatch):
    turns = Turns(stage.take, 1)
    stage.hold("a")
    turns.ask("a")
    turns.ask("b")
    stage.wait_until(lambda: stage.begun == ["a"])
    monkeypatch.setattr(photochrom.producer.control.turns, "is_draining", lambda: True)
    turns.ask("c")
    stage.end("a")
    assert turns.finish(DEADLINE)
    assert stage.begun == ["a"]
