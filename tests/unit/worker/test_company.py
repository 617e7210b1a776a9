"""Images in hand beside each other, or one alone."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from photochrom.worker.coloring.company import Company

PATIENCE = 30.0
"""Seconds; nothing waits so long unless it is broken."""

A_MOMENT = 0.3
"""Seconds in which what must not happen would have happened."""


@pytest.fixture
def company():
    return Company()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


class Guest:
    """One that has come in a thread of its own, and stays until it is told to go."""

    def __init__(self, threads, way):
        self.way, self.entered, self.go = way, Event(), Event()
        self.gone = threads.submit(self.stay)

    def stay(self):
        with self.way():
            self.entered.set()
            assert self.go.wait(PATIENCE)

    def leave(self):
        self.go.set()
        self.gone.result(PATIENCE)


def test_many_work_beside_each_other(company, threads):
    guests = [Guest(threads, company.shared) for _ in range(3)]
    assert all(guest.entered.wait(PATIENCE) for guest in guests)
    for guest in guests:
        guest.leave()


@pytest.mark.parametrize(("first", "second"), [("alone", "shared"), ("shared", "alone"), ("alone", "alone")])
def test_who_is_alone_has_nobody_beside_it(company, threads, first, second):
    one = Guest(threads, getattr(company, first))
    assert one.entered.wait(PATIENCE)
    other = Guest(threads, getattr(company, second))
    assert not other.entered.wait(A_MOMENT)
    one.leave()
    assert other.entered.wait(PATIENCE)
    other.leave()


def test_who_wants_to_be_alone_goes_before_those_who_come_later(company, threads):
    first = Guest(threads, company.shared)
    assert first.entered.wait(PATIENCE)
    alone = Guest(threads, company.alone)
    assert not alone.entered.wait(A_MOMENT)
    later = Guest(threads, company.shared)
    assert not later.entered.wait(A_MOMENT)
    first.leave()
    assert alone.entered.wait(PATIENCE)
    assert not later.entered.is_set()
    alone.leave()
    assert later.entered.wait(PATIENCE)
    later.leave()


@pytest.mark.parametrize("way", ["shared", "alone"])
def test_a_fault_lets_the_next_one_in(company, threads, way):
    with pytest.raises(ZeroDivisionError), getattr(company, way)():
        raise ZeroDivisionError
    guest = Guest(threads, company.alone)
    assert guest.entered.wait(PATIENCE)
    guest.leave()


def test_what_was_entered_in_one_thread_may_be_left_in_another(company, threads):
    inside = company.shared()
    inside.__enter__()
    threads.submit(inside.__exit__, None, None, None).result(PATIENCE)
    guest = Guest(threads, company.alone)
    assert guest.entered.wait(PATIENCE)
    guest.leave()
