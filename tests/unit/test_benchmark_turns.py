"""A stack that stands still while a process on local files is measured."""

import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from photochrom.deploy.bench.machine import session
from tests.benchmarks import turns
from tests.benchmarks.local_process import Taken
from tests.benchmarks.turns import Turns, standing_still


@pytest.fixture
def leader() -> Iterator[int]:
    """Leads a session of three: a shell and two that it waits for."""
    with subprocess.Popen(["/bin/sh", "-c", "sleep 600 & sleep 600 & echo; wait"], start_new_session=True,
                          stdout=subprocess.PIPE) as shell:  # fmt: skip
        assert shell.stdout and shell.stdout.readline()
        yield shell.pid
        for process in session(shell.pid):
            subprocess.run(["kill", "-9", str(process)])


def stopped(leader: int) -> list[bool]:
    """Of each process of a session."""
    return [stat[0] == "T" for stat in session(leader).values()]


def test_within_the_block_nothing_of_a_session_runs(leader):
    assert stopped(leader) == [False] * 3
    with standing_still([None, leader]):
        while not all(stopped(leader)):  # a signal is on its way for a moment
            pass
    while any(stopped(leader)):
        pass


def test_what_fails_within_leaves_nothing_standing(leader):
    with pytest.raises(ZeroDivisionError), standing_still([leader]):
        raise ZeroDivisionError
    while any(stopped(leader)):
        pass


@pytest.fixture
def local():
    """A process that takes two seconds of CPU, of three by the clock, for an image."""
    return SimpleNamespace(colour=lambda images: Taken(images, 3.0 * images, 2.0 * images, [], []))


@pytest.fixture
def stack():
    return SimpleNamespace(everything=list)


def test_every_turn_of_the_stack_is_followed_by_one_of_the_local_process(stack, local, monkeypatch):
    clock = iter([0, 4, 5, 5, 17, 20, 22.5, 22.5, 30])
    monkeypatch.setattr(turns.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(turns.time, "sleep", lambda seconds: None)
    taking = Turns(stack, local, images=4, seconds=5)
    assert [taking.wait() for _ in range(4)] == [0, 12, 0, 7.5]
    assert taking.local() == Taken(8, 24.0, 16.0, [], [])


def test_a_passage_of_less_than_a_turn_is_followed_by_one(stack, local):
    assert Turns(stack, local, images=4).local() == Taken(4, 12.0, 8.0, [], [])
