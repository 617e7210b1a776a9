"""The schedule: cron's five fields, heeded once by however many control processes, and made up for after a pause."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.runs import schedule
from training.runs.records import Runs
from training.runs.schedule import due, parse, start_what_is_due
from worker.errors import UsageError

NIGHT = datetime(2026, 3, 1, 2, 59, tzinfo=UTC)


@pytest.fixture
def nightly(settings):
    return settings.model_copy(
        update={
            "training_schedule": "0 3 * * *",
            "training_source": "s3://photographs/",
            "training_recipe": "autoencoder",
        }
    )


def ended(runs):
    for run in runs.active():
        runs.move(run, run.position.moved(status="ended"))


def test_a_run_begins_at_its_time_and_not_before(store, nightly):
    assert start_what_is_due(store, nightly, NIGHT) is None  # the first look: from here on it counts
    assert start_what_is_due(store, nightly, NIGHT + timedelta(seconds=50)) is None
    name = start_what_is_due(store, nightly, NIGHT + timedelta(seconds=61))
    [run] = Runs(store, nightly).active()
    assert (run.name, run.request.model) == (name, "autoencoder")


def test_it_begins_once_a_time_however_often_one_looks(store, nightly):
    start_what_is_due(store, nightly, NIGHT)
    begun = [start_what_is_due(store, nightly, NIGHT + timedelta(seconds=55 + look)) for look in range(0, 60, 5)]
    assert sum(name is not None for name in begun) == 1


def test_of_two_control_processes_one_begins_it(store, nightly, monkeypatch):
    start_what_is_due(store, nightly, NIGHT)
    read = schedule._read(store, nightly)
    later = NIGHT + timedelta(hours=1)
    assert start_what_is_due(store, nightly, later)
    monkeypatch.setattr(schedule, "_read", lambda *_: read)  # the other one looked at the same time
    assert start_what_is_due(store, nightly, later) is None


def test_what_was_missed_is_made_up_for_once(store, nightly):
    start_what_is_due(store, nightly, NIGHT)
    assert start_what_is_due(store, nightly, NIGHT + timedelta(days=5))
    ended(Runs(store, nightly))
    assert start_what_is_due(store, nightly, NIGHT + timedelta(days=5, minutes=1, seconds=30)) is not None
    ended(Runs(store, nightly))
    assert start_what_is_due(store, nightly, NIGHT + timedelta(days=5, minutes=3)) is None


def test_while_a_run_goes_on_the_next_one_is_refused_and_tried_at_its_next_time(store, nightly):
    start_what_is_due(store, nightly, NIGHT)
    assert start_what_is_due(store, nightly, NIGHT + timedelta(hours=1))
    with pytest.raises(UsageError, match="one a model at a time"):
        start_what_is_due(store, nightly, NIGHT + timedelta(days=1, hours=1))
    assert start_what_is_due(store, nightly, NIGHT + timedelta(days=1, hours=2)) is None
    ended(Runs(store, nightly))
    assert start_what_is_due(store, nightly, NIGHT + timedelta(days=2, hours=1))


def test_without_a_schedule_nothing_begins_and_nothing_is_noted(store, settings):
    assert start_what_is_due(store, settings, NIGHT) is None
    assert schedule._read(store, settings).looked is None


@pytest.mark.parametrize("words", ["x", "61 * * * *", "* * * *", "0 3 * * * *", "daily"])
def test_what_is_no_schedule_is_told(words):
    with pytest.raises(UsageError, match="five fields"):
        parse(words)


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 60 * 24 * 40), st.integers(1, 60 * 24 * 3))
def test_it_is_due_if_and_only_if_a_time_lies_between(hour, minute, begin, minutes):
    since = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC) + timedelta(minutes=begin)
    now = since + timedelta(minutes=minutes)
    first = since.replace(hour=hour, minute=minute, second=0)
    times = [first + timedelta(days=day) for day in range(5)]
    assert due(f"{minute} {hour} * * *", since, now) == any(since < time <= now for time in times)
