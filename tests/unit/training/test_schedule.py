"""The schedule: cron's five fields, heeded once by however many control processes, and made up for after a pause."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.training.runs import schedule
from photochrom.training.runs.records import Runs
from photochrom.training.runs.schedule import due, parse, start_what_is_due
from photochrom.worker.errors import UsageError
from photochrom.worker.s3 import state_keys

NIGHT = datetime(2026, 3, 1, 2, 59, tzinfo=UTC)


@pytest.fixture
def nightly(settings):
    return settings.model_copy(
        update={
            "training_schedule": "0 3 * * *",
            "training_source": "s3://photographs/",
            "training_recipe": "autoencoder",
            "training_start": "encoder",
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


def test_who_is_cut_off_behind_the_beginning_begins_the_same_run_again(store, nightly, monkeypatch):
    start_what_is_due(store, nightly, NIGHT)
    later = NIGHT + timedelta(minutes=5)
    with monkeypatch.context() as patch:
        patch.setattr(schedule, "_note", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            start_what_is_due(store, nightly, later)
    assert start_what_is_due(store, nightly, later + timedelta(seconds=10)) == "autoencoder-20260301-0300"
    assert Runs(store, nightly).names() == ["autoencoder-20260301-0300"]
    assert start_what_is_due(store, nightly, later + timedelta(seconds=20)) is None


def test_each_run_of_the_schedule_sees_its_photographs_in_another_order(store, nightly):
    start_what_is_due(store, nightly, NIGHT)
    seeds = []
    for day in range(2):
        name = start_what_is_due(store, nightly, NIGHT + timedelta(days=day, minutes=2))
        seeds.append(Runs(store, nightly).load(name).request.recipe.seed)
        ended(Runs(store, nightly))
    assert len(set(seeds)) == 2


def test_a_clock_that_was_ahead_does_not_silence_the_schedule(store, nightly):
    store.put_record(state_keys.SCHEDULE, schedule.Looked(until=NIGHT + timedelta(days=300)))
    assert start_what_is_due(store, nightly, NIGHT) is None
    store.put_record(state_keys.SCHEDULE, schedule.Looked(until=NIGHT))
    assert start_what_is_due(store, nightly, NIGHT + timedelta(minutes=2))


def test_a_malformed_note_of_the_schedule_is_written_anew(store, nightly):
    store.put(nightly.state_bucket, state_keys.SCHEDULE, b"?")
    assert start_what_is_due(store, nightly, NIGHT) is None
    assert start_what_is_due(store, nightly, NIGHT + timedelta(minutes=2))


def test_it_begins_once_a_time_however_often_one_looks(store, nightly):
    start_what_is_due(store, nightly, NIGHT)
    begun = [start_what_is_due(store, nightly, NIGHT + timedelta(seconds=55 + look)) for look in range(0, 60, 5)]
    assert sum(name is not None for name in begun) == 1


def test_of_two_control_processes_that_look_at_once_both_begin_one_run(store, nightly, monkeypatch):
    start_what_is_due(store, nightly, NIGHT)
    read = schedule._read(store, nightly)
    later = NIGHT + timedelta(hours=1)
    first = start_what_is_due(store, nightly, later)
    monkeypatch.setattr(schedule, "_read", lambda *_: read)
    assert start_what_is_due(store, nightly, later) == first
    assert Runs(store, nightly).names() == [first]


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
    found = [time for time in times if since < time <= now]
    assert due(f"{minute} {hour} * * *", since, now) == (found[0] if found else None)
