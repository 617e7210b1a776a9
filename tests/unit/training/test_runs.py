"""The records of training runs: one a model, moved by whoever read them last, stopped and resumed."""

import pytest

from photochrom.training.recipe import RECIPES, Recipe
from photochrom.training.runs.records import LateError, Runs
from photochrom.training.runs.request import FROM_ENCODER, Request, request_of
from photochrom.worker.errors import UsageError, WorkerFault
from photochrom.worker.models.registry import sha256_of_starter
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError


def asked(name, model="vgg16-yuv", **changes):
    return Request(name=name, model=model, recipe=RECIPES[model], source="s3://photographs/", **changes)


@pytest.fixture
def runs(store, settings):
    return Runs(store, settings)


def test_a_run_that_was_begun_is_active_and_stands_at_its_beginning(runs):
    request = asked("first", evaluation="frozen", start="ab" * 32)
    runs.start(request)
    [run] = runs.active()
    assert (run.request, run.position.phase, run.position.steps) == (request, "prepare", 0)
    assert runs.is_active(run)
    assert runs.names() == ["first"]


def test_there_is_one_run_a_model_at_a_time(runs):
    runs.start(asked("first"))
    runs.start(asked("other", "autoencoder"))
    with pytest.raises(UsageError, match="run first of vgg16-yuv goes on already"):
        runs.start(asked("second"))
    assert {run.name for run in runs.active()} == {"first", "other"}


@pytest.mark.parametrize("status", ["ended", "failed"])
def test_another_run_begins_once_the_last_one_has_ended_or_failed(runs, status):
    runs.start(asked("first"))
    first = runs.load("first")
    runs.move(first, first.position.moved(status=status))
    assert not list(runs.active())
    runs.start(asked("second"))
    assert [run.name for run in runs.active()] == ["second"]
    assert not runs.is_active(runs.load("first"))


def test_of_two_that_begin_a_run_at_once_one_learns_it(runs, store, settings, monkeypatch):
    """The second looks for a run of the model before the first has taken its place."""
    held = runs._held("vgg16-yuv")
    runs.start(asked("first"))
    late = Runs(store, settings)
    looks = iter([held])
    monkeypatch.setattr(late, "_held", lambda model: next(looks, None) or runs._held(model))
    with pytest.raises(UsageError, match="begun just now"):
        late.start(asked("second"))
    assert [run.name for run in runs.active()] == ["first"]
    assert runs.load("second").position.status == "failed"


def test_a_name_is_used_once(runs):
    runs.start(asked("first"))
    first = runs.load("first")
    runs.move(first, first.position.moved(status="ended"))
    with pytest.raises(UsageError, match="there is a run 'first' already, which is ended"):
        runs.start(asked("first"))


def test_of_two_that_move_a_run_one_comes_too_late(runs):
    runs.start(asked("first"))
    one, other = runs.load("first"), runs.load("first")
    runs.move(one, one.position.moved(steps=1))
    with pytest.raises(LateError):
        runs.move(other, other.position.moved(steps=7))
    assert runs.load("first").position.steps == 1


def test_who_moved_a_run_can_move_it_again(runs):
    runs.start(asked("first"))
    run = runs.load("first")
    for step in range(1, 4):
        run = runs.move(run, run.position.moved(steps=step))
    assert runs.load("first") == run


def test_a_stopped_run_is_not_active_until_it_is_resumed(runs):
    runs.start(asked("first"))
    runs.stop("first")
    assert not list(runs.active())
    with pytest.raises(UsageError, match="is stopped, not running"):
        runs.stop("first")
    runs.resume("first")
    assert [run.name for run in runs.active()] == ["first"]


def test_a_stopped_run_makes_room_for_another_and_waits_for_its_end(runs):
    runs.start(asked("first"))
    runs.stop("first")
    runs.start(asked("second"))
    with pytest.raises(UsageError, match="run second of vgg16-yuv goes on"):
        runs.resume("first")
    runs.stop("second")
    runs.resume("first")
    assert [run.name for run in runs.active()] == ["first"]


def test_what_has_ended_is_not_resumed_and_takes_no_place(runs):
    runs.start(asked("first"))
    first = runs.load("first")
    runs.move(first, first.position.moved(status="ended"))
    runs.start(asked("second"))
    with pytest.raises(UsageError, match="is ended, not stopped or failed"):
        runs.resume("first")
    assert [run.name for run in runs.active()] == ["second"]


def test_asking_for_the_same_run_twice_is_asking_once(runs):
    runs.start(asked("first"))
    run = runs.load("first")
    runs.move(run, run.position.moved(steps=3))
    runs.start(asked("first"))
    assert runs.load("first").position.steps == 3
    with pytest.raises(UsageError, match="another run 'first'"):
        runs.start(asked("first", evaluation="another"))


def test_who_was_cut_off_while_beginning_a_run_begins_it_again(runs, store, settings):
    request = asked("first")
    store.put_record(state_keys.run("first", "request.json"), request)
    runs.start(request)
    assert [run.name for run in runs.active()] == ["first"]


def test_a_record_that_cannot_be_read_keeps_no_other_run_from_beginning(runs, store, settings):
    runs.start(asked("first"))
    store.put(settings.state_bucket, state_keys.run("first", "position.json"), b"?")
    runs.start(asked("second"))
    assert [run.name for run in runs.active()] == ["second"]


def test_a_position_that_was_written_and_whose_answer_was_lost_is_moved(runs, store, settings, monkeypatch):
    runs.start(asked("first"))
    run = runs.load("first")
    put = store.put_record

    def lose_the_answer(key, record, **condition):
        put(key, record, **condition)
        raise ConflictError("412, since botocore tried again")

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_record", lose_the_answer)
        moved = runs.move(run, run.position.moved(steps=1))
    assert runs.move(moved, moved.position.moved(steps=2)).position.steps == 2


def test_a_failed_run_is_resumed_unless_another_one_goes_on(runs):
    runs.start(asked("first"))
    first = runs.load("first")
    runs.move(first, first.position.moved(status="failed", why="no room"))
    runs.start(asked("second"))
    with pytest.raises(UsageError, match="run second of vgg16-yuv goes on"):
        runs.resume("first")
    second = runs.load("second")
    runs.move(second, second.position.moved(status="ended"))
    runs.resume("first")
    [run] = runs.active()
    assert (run.name, run.position.why) == ("first", "")


@pytest.mark.parametrize("name", ["../escape", "", "a/b", ".hidden"])
def test_what_is_no_name_finds_no_run(runs, name):
    with pytest.raises(UsageError):
        runs.load(name)


def test_a_broken_record_is_told_and_not_guessed(runs, store, settings):
    runs.start(asked("first"))
    store.put(settings.state_bucket, state_keys.run("first", "position.json"), b"{}x")
    with pytest.raises(WorkerFault, match="malformed"):
        runs.load("first")


def test_a_run_as_the_settings_have_it_starts_from_the_champion_of_this_moment(store, settings):
    chosen = settings.model_copy(
        update={
            "training_source": "s3://photographs/colour",
            "training_evaluation": "frozen",
            "training_overrides": {"epochs": 2, "config": {"width": 64}},
        }
    )
    store.put(settings.state_bucket, state_keys.evaluation_set("frozen"), b"{}")
    request = request_of(chosen, store)
    assert request.source == "s3://photographs/colour"
    assert request.evaluation == "frozen"
    assert request.start == sha256_of_starter("vgg16-yuv")
    assert request.encoder == ""
    assert (request.recipe.epochs, request.recipe.config["width"]) == (2, 64)
    assert request.name.startswith("vgg16-yuv-")


def test_what_is_asked_for_goes_before_the_settings(store, settings):
    chosen = settings.model_copy(update={"training_source": "s3://photographs/colour", "training_encoder": "vgg.pt"})
    asked = {"source": "s3://others", "model": "autoencoder", "start": FROM_ENCODER, "evaluation": None}
    request = request_of(chosen, store, "mine", **asked, overrides={"epochs": 3})
    assert (request.name, request.source, request.model) == ("mine", "s3://others", "autoencoder")
    assert (request.start, request.encoder) == (FROM_ENCODER, "vgg.pt")
    assert isinstance(request.recipe, Recipe)
    assert request.recipe.epochs == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "where are the photographs"),
        ({"source": "s3://a", "model": "unknown"}, "unknown model"),
        ({"source": "s3://a", "start": "0123456789"}, "there is no model"),
        ({"source": "s3://a", "overrides": {"epochs": 0}}, "epochs"),
        ({"source": "s3://a", "model": "autoencoder", "start": "champion"}, "is vgg16-yuv"),
        ({"source": "/etc"}, "s3://"),
        ({"source": "s3://a", "evaluation": "missing"}, "no evaluation set"),
        ({"source": "s3://a", "name": "a/b"}, "no name for a run"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_it_begins(store, settings, options, says):
    with pytest.raises(UsageError, match=says):
        request_of(settings, store, **options)
