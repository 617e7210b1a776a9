"""What keeps runs going: the control process's tick, the training process's task, and what Redis holds between them."""

from datetime import UTC, datetime, timedelta

import pytest

from photochrom.training.recipe import RECIPES
from photochrom.training.runs import scheduler_task, tasks
from photochrom.training.runs.context import Desk
from photochrom.training.runs.records import Runs
from photochrom.training.runs.request import Request
from photochrom.training.runs.run_board import Board
from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger import keys
from photochrom.worker.s3 import state_keys


@pytest.fixture
def runs(store, settings):
    return Runs(store, settings)


@pytest.fixture
def sent(exported, monkeypatch):
    """The steps that were asked for; each waits in its queue."""
    asked = []
    scheduler_task.board.cache_clear()

    def send_step(run):
        asked.append(run)
        Board(exported)._redis.lpush(keys.TRAINING_QUEUE, run)

    monkeypatch.setattr(scheduler_task, "send_step", send_step)
    monkeypatch.setattr(tasks, "send_step", send_step)
    yield asked
    scheduler_task.board.cache_clear()


def begin(runs, name, model="vgg16-yuv"):
    runs.start(Request(name=name, model=model, recipe=RECIPES[model], source="s3://archive/"))


def taken(settings):
    Board(settings)._redis.delete(keys.TRAINING_QUEUE)


def test_a_run_left_alone_is_sent_a_step_and_not_another_while_that_waits(sent, runs):
    begin(runs, "first")
    scheduler_task.training()
    scheduler_task.training()
    assert sent == ["first"]


def test_a_run_that_somebody_works_at_is_sent_none(sent, runs, exported):
    begin(runs, "first")
    board = Board(exported)
    with board.work("first") as mine:
        assert mine
        scheduler_task.training()
    assert sent == []
    scheduler_task.training()
    assert sent == ["first"]


def test_runs_of_two_models_take_turns(sent, runs, exported):
    begin(runs, "first", "autoencoder")
    begin(runs, "second", "vgg16-yuv")
    scheduler_task.training()
    taken(exported)
    with Board(exported).work("first"):
        scheduler_task.training()
    assert sent == ["first", "second"]


@pytest.mark.parametrize("status", ["stopped", "ended", "failed"])
def test_a_run_that_may_not_go_on_is_sent_none(sent, runs, status):
    begin(runs, "first")
    run = runs.load("first")
    runs.move(run, run.position.moved(status=status))
    scheduler_task.training()
    assert sent == []


def test_what_goes_wrong_with_the_schedule_keeps_no_run_waiting(sent, runs, monkeypatch, caplog):
    begin(runs, "first")
    monkeypatch.setattr(scheduler_task, "start_what_is_due", lambda *_: 1 / 0)
    scheduler_task.training()
    assert sent == ["first"]
    assert "ZeroDivisionError" in caplog.text


def test_a_malformed_run_does_not_keep_the_others_waiting(sent, runs, store, settings):
    begin(runs, "broken", "autoencoder")
    begin(runs, "whole")
    store.put(settings.state_bucket, state_keys.run("broken", "position.json"), b"no json")
    store.put(settings.state_bucket, state_keys.active_run("another"), b"no json either")
    scheduler_task.training()
    assert sent == ["whole"]


def test_the_tick_begins_what_the_schedule_says(sent, runs, exported, monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_TRAINING_SCHEDULE", "* * * * *")
    monkeypatch.setenv("PHOTOCHROM_TRAINING_SOURCE", "s3://archive/")
    exported_again(monkeypatch)
    scheduler_task.training()
    assert sent == []
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    scheduler_task.resources().store.put_record(state_keys.SCHEDULE, {"until": an_hour_ago.isoformat()})
    scheduler_task.training()
    [name] = sent
    assert runs.load(name).request.source == "s3://archive/"


def exported_again(monkeypatch):
    from photochrom.worker.jobs.context import resources
    from photochrom.worker.settings import settings

    settings.cache_clear()
    resources.cache_clear()


def test_a_schedule_that_is_none_does_not_stop_the_runs(sent, runs, monkeypatch, caplog):
    monkeypatch.setenv("PHOTOCHROM_TRAINING_SCHEDULE", "every night")
    exported_again(monkeypatch)
    begin(runs, "first")
    scheduler_task.training()
    assert sent == ["first"]
    assert "five fields" in caplog.text


@pytest.fixture
def stepping(exported, monkeypatch):
    """Let steps do as told; the desk of the task is that of these settings."""
    tasks.desk.cache_clear()
    monkeypatch.setattr(tasks, "PAUSE_SECONDS", 0)

    def let(*outcomes):
        left = list(outcomes)

        def take_step(run, desk):
            assert isinstance(desk, Desk)
            outcome = left.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(tasks, "take_step", take_step)
        return left

    yield let
    tasks.desk.cache_clear()
    tasks._worked_at.clear()


def test_a_process_goes_on_with_its_run_while_nothing_else_waits(sent, stepping):
    left = stepping(True, True, False)
    tasks.train_step("first")
    assert (left, sent) == ([], [])


def test_behind_a_step_another_run_has_its_turn(sent, stepping, exported):
    left = stepping(True, True)
    Board(exported)._redis.lpush(keys.TRAINING_QUEUE, "another")
    tasks.train_step("first")
    assert (left, sent) == ([True], ["first"])


def test_a_process_that_is_to_end_leaves_the_next_step_to_another(sent, stepping, monkeypatch):
    left = stepping(True, True)
    monkeypatch.setattr(tasks.shutdown, "is_draining", lambda: True)
    tasks.train_step("first")
    assert (left, sent) == ([True], ["first"])


def test_behind_the_last_step_none_is_sent_for(sent, stepping):
    stepping(False)
    tasks.train_step("first")
    assert sent == []


@pytest.mark.parametrize("away", [RetryableError("S3 is away")])
def test_what_may_pass_is_left_to_the_next_tick(sent, stepping, away, caplog):
    stepping(away)
    tasks.train_step("first")
    assert sent == []
    assert "waits: S3 is away" in caplog.text


def test_a_message_about_a_run_that_is_none_is_logged_and_forgotten(sent, stepping, caplog):
    tasks.train_step("../../etc/passwd")
    assert "is no name of a run" in caplog.text
    assert sent == []


def test_what_was_said_of_a_run_is_heard_and_forgotten_in_time(settings):
    board = Board(settings)
    assert board.heard("first") == {}
    board.tell("first", {"phase": "train", "loss": 0.5})
    assert board.heard("first") == {"phase": "train", "loss": 0.5}
    assert 0 < board._redis.ttl(keys.progress("first")) <= 3600
