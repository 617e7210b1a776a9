"""`photochrom evaluate` and `photochrom evaluation`: what they print, write and refuse."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from photochrom.deploy import cli
from photochrom.training.evaluation import creation, evaluate
from photochrom.worker.errors import UsageError
from photochrom.worker.settings import settings as settings_of_process


def photochrom(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


class Tint:
    """An engine of one constant colour; its card says what was asked for."""

    def __init__(self, model):
        trained = SimpleNamespace(mean_chroma=(0.02, 0.01))
        self.card = SimpleNamespace(name=model, sha256=model[0].encode().hex() * 32, trained_on=trained)
        self.chroma = 0.05 if model == "blue" else -0.05

    def input_size(self, height, width):
        return 8, 8

    def predict(self, gray, vividness=None):
        share = 1.0 if vividness is None else vividness
        return np.full((2, 8, 8), share * self.chroma, np.float32)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """Small squares, and engines that need no weights."""
    monkeypatch.setattr(evaluate, "SIDE", 16)
    monkeypatch.setattr("photochrom.worker.inference.engine.load_engine", Tint)
    monkeypatch.setattr("photochrom.worker.inference.engine.prepare_process", lambda threads: None)


@pytest.fixture
def source(tmp_path, encode):
    """Ten photographs, most of them rather blue."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index in range(10):
        patches = np.random.default_rng(index).integers(0, 200, (7, 8, 3)) + np.array((0, 0, 55))
        picture = Image.fromarray(patches.astype(np.uint8)).resize((80, 72), Image.Resampling.BICUBIC)
        (folder / f"{index}.png").write_bytes(encode(picture))
    return folder


@pytest.fixture
def state(exported, aws, monkeypatch, tmp_path):
    """An empty state bucket, and a folder of its own for what is fetched."""
    monkeypatch.setenv("PHOTOCHROM_TRAINING_FOLDER", str(tmp_path / "training"))
    settings_of_process.cache_clear()


@pytest.fixture
def frozen(state, source, monkeypatch):
    """A set by the name of "frozen"."""
    monkeypatch.setattr(creation, "SIDE", 16)
    assert photochrom("evaluation", "create", source, "--name", "frozen").exit_code == 0
    return "frozen"


def test_a_folder_is_measured_without_asking_s3(no_settings, source, tmp_path):
    done = photochrom("evaluate", source, "--model", "blue", "--sheet", tmp_path / "sheet.png")
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith("blue 626262626262 on photographs: 10 photographs, 95% confidence")
    assert "| model minus mean chroma |" in done.stdout
    assert Image.open(tmp_path / "sheet.png").width > 3 * 3 * 16


def test_json_has_the_scores_of_every_photograph_where_they_are_asked_for(no_settings, source):
    plain, long = (
        json.loads(photochrom("evaluate", source, "--model", "blue", "--json", *more).stdout)
        for more in ((), ("--per-image",))
    )
    assert set(long) - set(plain) == {"per_image"}
    assert plain["model"] == "blue"
    assert plain["photographs"] == len(long["per_image"]) == 10
    assert np.mean([image["model"]["psnr"] for image in long["per_image"]]) == pytest.approx(
        plain["means"]["model"]["psnr"], abs=1e-3
    )


def test_the_vividness_that_is_asked_for_counts(no_settings, source):
    asked = ("evaluate", source, "--model", "blue", "--json")
    means = json.loads(photochrom(*asked, "--vividness", 0).stdout)["means"]
    assert means["model"] == means["gray"]


def test_a_prefix_in_s3_is_measured_like_a_folder(state, store, source):
    for path in source.iterdir():
        store.put("archive", f"in/{path.name}", path.read_bytes())
    here, there = (photochrom("evaluate", place, "--json") for place in (source, "s3://archive/in"))
    assert json.loads(here.stdout) == json.loads(there.stdout)
    assert " on s3://archive/in: " in photochrom("evaluate", "s3://archive/in").stdout


def test_a_set_is_measured_by_its_halves(frozen):
    counts = {
        half: json.loads(photochrom("evaluate", "--set", frozen, *asked, "--json").stdout)["photographs"]
        for half, asked in {"both": (), "select": ("--half", "select"), "decide": ("--half", "decide")}.items()
    }
    assert counts["both"] == 10 == counts["select"] + counts["decide"]
    assert counts["select"] * counts["decide"] > 0
    told = photochrom("evaluate", "--set", frozen, "--half", "decide", "--model", "blue").stdout
    assert told.startswith("blue 626262626262 on evaluation set frozen, decide: ")


def test_a_challenger_is_judged_against_the_champion(frozen, tmp_path):
    asked = ("evaluate", "--set", frozen, "--model", "blue", "--against", "ochre")
    done = photochrom(*asked, "--sheet", tmp_path / "sheet.png")
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith(
        "On evaluation set frozen: challenger blue 626262626262 against champion ochre 6f6f6f"
    )
    assert "Promote: yes" in done.stdout
    assert (tmp_path / "sheet.png").exists()
    said = json.loads(photochrom(*asked, "--json", "--per-image").stdout)
    assert (said["promote"], said["challenger"]["name"], said["champion"]["name"]) == (True, "blue", "ochre")
    assert len(said["per_image"]) == 10
    assert "per_image" not in json.loads(photochrom(*asked, "--json").stdout)


def test_a_challenger_that_does_not_pass_is_no_error(no_settings, source):
    done = photochrom("evaluate", source, "--model", "ochre", "--against", "blue")
    assert done.exit_code == 0
    assert "Promote: no\n- not met: " in done.stdout


def test_the_gate_is_that_of_the_settings(no_settings, source, monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_GATE_MEASURE", "psnr")
    settings_of_process.cache_clear()
    said = json.loads(photochrom("evaluate", source, "--model", "blue", "--against", "ochre", "--json").stdout)
    assert said["gate"]["measure"] == "psnr"
    assert said["reasons"][0].startswith("met: PSNR")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either"),
        (["FOLDER", "--set", "frozen"], "name either"),
        (["FOLDER", "--half", "select"], "--half is of an evaluation set"),
        (["FOLDER", "--against", "ochre", "--vividness", "0.3"], "do not go together"),
        (["nowhere"], "is not a folder"),
        (["--set", "missing"], "there is no evaluation set 'missing'"),
    ],
)
def test_what_does_not_go_together_is_refused(state, source, arguments, message):
    done = photochrom("evaluate", *(source if word == "FOLDER" else word for word in arguments))
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)


def test_a_set_is_made_listed_and_shown(frozen, source, tmp_path):
    (listed,) = photochrom("evaluation", "list").stdout.splitlines()
    assert listed.startswith("frozen: 10 photographs (")
    assert f"of {source}" in listed
    (row,) = map(json.loads, photochrom("evaluation", "list", "--json").stdout.splitlines())
    assert row["photographs"] == row["select"] + row["decide"] == 10
    assert photochrom("evaluation", "show", frozen).stdout.strip() == listed
    manifest = json.loads(photochrom("evaluation", "show", frozen, "--json").stdout)
    assert {entry["name"] for entry in manifest["entries"]} == {f"{index}.png" for index in range(10)}
    shown = photochrom("evaluation", "show", frozen, "--sheet", tmp_path / "sheet.png")
    assert shown.exit_code == 0, shown.exception
    assert Image.open(tmp_path / "sheet.png").height > 2 * 16


def test_a_set_says_what_it_takes(state, source):
    asked = ("evaluation", "create", source, "--name", "few", "--json")
    said = json.loads(photochrom(*asked, "--most", 4, "--share", 0.9).stdout)
    assert (said["photographs"], said["most"], said["share"]) == (4, 4, 0.9)
    assert isinstance(photochrom(*asked).exception, UsageError)
