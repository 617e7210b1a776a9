"""The chaos driver sees whether work goes on after an outage, and which worker does nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from tests.chaos import continuity, outages
from tests.chaos.continuity import IdleTimes, Interruption
from tests.chaos.outages import KINDS, Kind, Outage, Servers, every_outage, one_of_each_group

NO_SERVERS = cast(Servers, None)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(continuity, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is away."""
    now: list[str] = []

    @contextmanager
    def power(_: Servers) -> Iterator[None]:
        now.append("power")
        yield
        now.remove("power")

    monkeypatch.setitem(outages.KINDS, "power", Kind("power", (5,), power))
    return now


def test_work_goes_on_when_more_images_ended_than_were_in_hand(clock: Clock, away: list[str]) -> None:
    interruption = Interruption(Outage("power", 5), NO_SERVERS)
    interruption.look(100, 1000)
    assert (away, interruption.is_away) == (["power"], True)

    clock.now += 5
    interruption.look(110, 1000)
    assert (away, interruption.is_away, interruption.seconds) == ([], False, None)

    clock.now += 2
    interruption.look(110 + continuity.MORE - 1, 1000)
    assert interruption.seconds is None
    clock.now += 1
    interruption.look(110 + continuity.MORE, 1000)
    assert interruption.seconds == 3
    clock.now += 1
    interruption.look(1000, 1000)
    assert interruption.seconds == 3


def test_work_goes_on_when_the_last_images_ended(clock: Clock, away: list[str]) -> None:
    interruption = Interruption(Outage("power", 5), NO_SERVERS)
    clock.now += 6
    interruption.look(99, 100)
    clock.now += 1
    interruption.look(100, 100)
    assert interruption.seconds == 1


def test_what_is_away_comes_back_when_a_run_ends_before(clock: Clock, away: list[str]) -> None:
    Interruption(Outage("power", 5), NO_SERVERS).end()
    assert away == []


class Worker:
    name = "worker"

    def __init__(self) -> None:
        self.running, self.count = True, 0

    def steps(self) -> int:
        return self.count


def test_a_worker_that_does_nothing_although_jobs_wait_is_idle(clock: Clock) -> None:
    worker, idle = Worker(), IdleTimes()
    idle.look([worker], [])
    clock.now += 12
    idle.look([worker], [])
    assert idle.longest == {"worker": 12}
    worker.count += 1
    idle.look([worker], [])
    clock.now += 5
    idle.look([worker], [])
    assert idle.longest == {"worker": 12}


def test_a_worker_that_has_ended_or_has_nothing_to_do_is_not_idle(clock: Clock) -> None:
    worker, idle = Worker(), IdleTimes()
    for running, excused in ((False, []), (True, ["worker"]), (False, ["worker"])):
        worker.running = running
        idle.look([worker], excused)
        clock.now += 60
        idle.look([worker], excused)
    assert idle.longest == {"worker": 0}


def test_a_short_run_has_one_outage_of_each_group_and_every_kind_by_turns() -> None:
    seen = set()
    for seed in range(100):
        chosen = one_of_each_group(random.Random(seed))
        assert sorted(outage.kind.group for outage in chosen) == sorted({kind.group for kind in KINDS.values()})
        assert all(outage.seconds <= outages.SHORT_SECONDS for outage in chosen)
        seen.update(outage.name for outage in chosen)
    assert seen == set(KINDS)


def test_an_outage_is_named_with_its_seconds_or_without() -> None:
    assert Outage.parse("S3 away:7") == Outage("S3 away", 7)
    assert Outage.parse("S3 away") in every_outage()
    with pytest.raises(ValueError, match="there are: Redis stopped"):
        Outage.parse("Redis bored")
