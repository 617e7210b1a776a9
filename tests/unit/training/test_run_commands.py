"""`photochrom runs`: what people see of training runs, and how they steer them."""

import json

import pytest
from typer.testing import CliRunner

from photochrom.deploy.cli import app
from photochrom.training.recipe import RECIPES
from photochrom.training.runs.records import Runs, Verdict
from photochrom.training.runs.request import Request
from photochrom.training.runs.run_board import Board
from photochrom.worker.errors import PhotochromError
from photochrom.worker.s3 import state_keys

SOURCE = "s3://archive/colour"


@pytest.fixture
def runs(exported, store):
    return Runs(store, exported)


def photochrom(*arguments):
    return CliRunner().invoke(app, ["runs", *arguments])


def begin(runs, name="first", model="autoencoder"):
    runs.start(Request(name=name, model=model, recipe=RECIPES[model], source=SOURCE))


def end(runs, name, **changes):
    run = runs.load(name)
    runs.move(run, run.position.moved(**changes))


VERDICT = Verdict(challenger="c" * 64, champion="a" * 64, sequence=4, reasons=["met: it is better"])


def test_a_run_is_begun_with_settings_of_ones_own(runs):
    own = ["--recipe", "autoencoder", "--start", "encoder", "--set", "epochs=3", "--set", "rate=0.01"]
    done = photochrom("start", SOURCE, *own, "--json")
    assert done.exit_code == 0, done.output
    request = runs.load(json.loads(done.stdout)["run"]).request
    assert (request.source, request.model) == (SOURCE, "autoencoder")
    assert (request.recipe.epochs, request.recipe.rate) == (3, 0.01)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["start"], "where are the photographs"),
        (["start", SOURCE, "--recipe", "unknown"], "unknown model"),
        (["start", SOURCE, "--set", "epochs"], "NAME=JSON"),
        (["start", SOURCE, "--set", "epochs=many"], "NAME=JSON"),
        (["start", SOURCE, "--set", "unknown=1"], "unknown"),
        (["start", SOURCE, "--evaluation", "missing"], "no evaluation set"),
        (["start", "not-s3"], "s3://"),
        (["show", "missing"], "there is no run"),
        (["stop", "missing"], "there is no run"),
        (["resume", "missing"], "there is no run"),
        (["watch", "missing"], "there is no run"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_begins_nothing(runs, arguments, says):
    done = photochrom(*arguments)
    assert isinstance(done.exception, PhotochromError)
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)
    assert runs.names() == []


def test_the_list_says_where_each_run_stands(runs):
    begin(runs, "done")
    end(runs, "done", status="ended", verdict=VERDICT)
    begin(runs, "going")
    end(runs, "going", phase="train", epoch=2)
    lines = photochrom("list").stdout.splitlines()
    assert lines[0].split() == ["done", "ended", "cccccccccccc", "promotion", "4"]
    assert lines[1].startswith("going  running, train, epoch 3 of ")
    rows = [json.loads(line) for line in photochrom("list", "--json").stdout.splitlines()]
    assert [row["run"] for row in rows] == ["done", "going"]


def test_a_run_is_stopped_and_resumed(runs):
    begin(runs)
    assert photochrom("stop", "first").exit_code == 0
    assert runs.load("first").position.status == "stopped"
    assert photochrom("resume", "first").exit_code == 0
    assert runs.load("first").position.status == "running"


def test_show_fetches_pictures_and_reports(runs, store, exported, tmp_path):
    begin(runs)
    for part in ("curve.png", "judgement.md", "dataset.json", "state-a.tar", "dataset.jsonl"):
        store.put(exported.state_bucket, state_keys.run("first", part), part.encode())
    done = photochrom("show", "first", "--to", str(tmp_path / "out"))
    assert json.loads(done.stdout)["request"]["source"] == SOURCE
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"curve.png", "judgement.md", "dataset.json"}
    assert (tmp_path / "out" / "curve.png").read_bytes() == b"curve.png"


def test_watching_shows_figures_and_ends_with_the_verdict(runs, exported):
    begin(runs)
    Board(exported).tell("first", {"phase": "train", "epoch": 0, "epochs": 2, "step": 1, "steps": 5, "loss": 0.5,
                                   "images_per_second": 9.0})  # fmt: skip
    end(runs, "first", status="ended", history=[{"epoch": 1.0, "psnr": 22.5}], verdict=VERDICT)
    done = photochrom("watch", "first")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "epoch 1: psnr 22.5",
        "first  ended  cccccccccccc promotion 4",
        "  met: it is better",
    ]


def test_watching_a_run_that_failed_says_why_and_exits_with_1(runs):
    begin(runs)
    end(runs, "first", status="failed", why="no room on the disk")
    done = photochrom("watch", "first", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout.splitlines()[-1])["why"] == "no room on the disk"
