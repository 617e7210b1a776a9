"""The command: exit codes 0, 1 and 2, JSON for machines, and errors in one line."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import deploy.cli
import worker.local
from producer.submission import load, submit
from worker.errors import ImageFault
from worker.job import Image as ListedImage
from worker.outcomes import record_quarantined


def photochrom(*arguments):
    return CliRunner().invoke(deploy.cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def main(monkeypatch, capsys):
    """Runs the command in this process; gives its exit code, what it printed, and its errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["photochrom", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as ended:
            deploy.cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


# ---- submit and status


def test_a_dry_run_counts_and_submits_nothing(exported, store, ledger, aws):
    for name, data in {"1.jpg": b"123", "deep/2.tif": b"45", "notes.txt": b"6"}.items():
        store.put("archive", "in/" + name, data)
    done = photochrom("submit", "s3://archive/in", "--to", "s3://coloured/out", "--dry-run", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"images": 2, "bytes": 5}
    told = photochrom("submit", "s3://archive/in", "--to", "s3://coloured/out", "--dry-run")
    assert "2 photographs" in told.stdout
    assert "Contents" not in aws.list_objects_v2(Bucket="photochrom-state")
    assert ledger.active() == []


def test_submit_prints_the_name_that_status_takes(exported, aws, ledger):
    done = photochrom("submit", "s3://archive/in", "--to", "s3://coloured/out")
    name = done.stdout.strip()
    assert ledger.active() == [name]
    told = photochrom("status", name)
    assert (told.exit_code, told.stdout.partition(":")[0]) == (0, "listing")
    again = photochrom("submit", "s3://archive/in", "--to", "s3://coloured/out", "--name", "own", "--json")
    assert json.loads(again.stdout) == {"submission": "own"}


def test_submit_asks_for_stale_work_alone_where_it_is_told_to(exported, aws, store):
    asked = ("submit", "s3://archive/in", "--to", "s3://coloured/out")
    names = [photochrom(*asked, *options).stdout.strip() for options in ((), ("--stale",))]
    assert [load(name, store, exported).task.stale for name in names] == [False, True]


@pytest.fixture
def ended(exported, aws, ledger):
    """A submission of three images, one of them quarantined."""
    submit("s3://archive/in", "s3://coloured/out", name="ended", settings=exported)
    ledger.move_cursor("ended", pages=1, total=3, listed=1)
    ledger.record_done("ended", 0)
    ledger.record_done("ended", 1)
    ledger.record_quarantined("ended", 2, "damaged")
    return "ended"


def test_status_exits_with_1_when_images_are_quarantined(ended):
    done = photochrom("status", ended, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["state"], told["done"], told["quarantined"], told["reasons"]) == ("done", 2, 1, {"damaged": 1})
    people = photochrom("status", ended)
    assert people.exit_code == 1
    assert people.stdout.splitlines() == ["done: 2 of 3 done, 1 quarantined", "  quarantined, damaged: 1"]


def test_watch_ends_with_the_submission_and_its_exit_code(ended):
    done = photochrom("status", ended, "--watch", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["state"] == "done"


def test_a_submission_can_be_cancelled_and_resumed(exported, aws, ledger):
    submit("s3://archive/in", "s3://coloured/out", name="own", settings=exported)
    assert photochrom("cancel", "own").exit_code == 0
    assert json.loads(photochrom("status", "own", "--json").stdout)["state"] == "cancelled"
    assert photochrom("resume", "own").exit_code == 0
    assert json.loads(photochrom("status", "own", "--json").stdout)["state"] == "listing"


def test_what_is_quarantined_is_listed_shown_and_tried_again(ended, exported, store, ledger):
    fault, image = ImageFault("empty", "it is empty"), ListedImage(ordinal=3, key="in/3.jpg")
    record_quarantined(ended, image, fault, store, ledger, exported)
    listed = photochrom("quarantine", "list", ended)
    assert listed.stdout.split() == ["3", "empty", "in/3.jpg"]
    assert json.loads(photochrom("quarantine", "list", ended, "--json").stdout)["key"] == "in/3.jpg"
    assert photochrom("quarantine", "list", ended, "--reason", "poison").stdout == ""
    assert json.loads(photochrom("quarantine", "show", ended, "3").stdout)["message"] == "it is empty"
    again = photochrom("redrive", ended, "--reason", "empty").stdout.strip()
    assert again in ledger.active()


def test_a_dry_run_reads_manifest_and_filters(exported, store):
    store.put("archive", "keys.csv", b"key,size\nin/1.jpg,5\nin/2.jpg,500\nin/3.txt,5\n")
    options = ("--manifest", "s3://archive/keys.csv", "--smallest", "10", "--dry-run", "--json")
    done = photochrom("submit", "s3://archive/in", "--to", "s3://coloured/out", *options)
    assert json.loads(done.stdout) == {"images": 1, "bytes": 500}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cancel", "vienna"), "no submission 'vienna'"),
        (("report", "vienna"), "no submission 'vienna'"),
        (("submit", "s3://archive/in", "--to", "s3://coloured/out", "--priority", "soon"), "unknown priority"),
        (("submit", "archive/in", "--to", "s3://coloured/out"), "not s3://bucket/prefix"),
        (("submit", "s3://archive/in", "--to", "s3://archive/in/x"), "inside one another"),
        (("submit", "s3://archive/in", "--to", "s3://coloured/out", "--model", "rembrandt"), "rembrandt"),
        (("submit", "s3://archive/in", "--to", "s3://coloured/out", "--format", "gif"), "jpeg"),
        (("status", "vienna"), "no submission 'vienna'"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(exported, aws, main, arguments, words):
    code, out, errors = main(*arguments)
    assert (code, out) == (2, "")
    assert errors.startswith("photochrom: ")
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_a_wrong_setting_is_one_line_and_exit_code_2(no_settings, main, monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_WINDOW", "wide")
    code, _, errors = main("status", "vienna")
    assert code == 2
    assert errors.startswith("photochrom: setting PHOTOCHROM_WINDOW: ")


def test_the_installed_command_ends_with_one_line_and_exit_code_2():
    code = "import deploy.cli; deploy.cli.main()"
    command = [sys.executable, "-c", code, "submit", "archive/in", "--to", "s3://coloured/out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "photochrom: 'archive/in' is not s3://bucket/prefix\n"


# ---- colorize


@pytest.fixture
def pictures(tmp_path, engine, no_settings, monkeypatch):
    """Makes gray photographs in a folder; the real network is not loaded."""
    monkeypatch.setattr(worker.local, "load_engine", lambda model: engine)
    monkeypatch.setattr(worker.local, "prepare_process", lambda threads: None)

    def make(*names):
        for number, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (20, 30), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        return tmp_path

    return make


def luma(path):
    return np.asarray(Image.open(path).convert("L"))


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_colorize_keeps_names_folders_and_luma_and_leaves_the_sources(pictures, tmp_path):
    pictures("in/a.png", "in/deep/b.tif", "single.PNG")
    before = files(tmp_path)
    done = photochrom("colorize", tmp_path / "in", tmp_path / "single.PNG", "--to", tmp_path / "out", "--json")
    assert done.exit_code == 0
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["output"] for one in told] == [str(tmp_path / "out" / n) for n in ("a.png", "deep/b.tif", "single.PNG")]
    for one in told:
        assert Image.open(one["output"]).mode == "RGB"
        np.testing.assert_array_equal(luma(one["output"]), luma(one["file"]))
    assert before.items() <= files(tmp_path).items()


def test_another_format_changes_the_suffix(pictures, tmp_path):
    pictures("in/a.png")
    assert photochrom("colorize", tmp_path / "in", "--to", tmp_path / "out", "--format", "tiff").exit_code == 0
    assert Image.open(tmp_path / "out/a.tif").format == "TIFF"


def test_a_photograph_that_cannot_be_coloured_does_not_stop_the_others(pictures, tmp_path):
    pictures("in/a.png", "in/c.png")
    (tmp_path / "in/b.jpg").write_bytes(b"no photograph")
    done = photochrom("colorize", tmp_path / "in", "--to", tmp_path / "out", "--json")
    assert done.exit_code == 1
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["reason"] for one in told] == [None, "not-a-photograph", None]
    assert sorted(files(tmp_path / "out")) == ["a.png", "c.png"]


REFUSED = {
    "the source's own folder": (["in/a.png"], ["in"], "in", [], "is a source itself"),
    "a file's own folder": (["in/a.png"], ["in/a.png"], "in", [], "is a source itself"),
    "a folder where another source lies": (["x/sub/a.png", "y/sub/a.png"], ["x", "y/sub"], "y", [], "source itself"),
    "two results of one name": (["x/a.png", "y/a.png"], ["x", "y"], "out", [], "would both become"),
    "two results of one name and format": (["x/a.png", "x/a.tif"], ["x"], "out", ["--format", "jpeg"], "both become"),
    "an unknown format": (["in/a.png"], ["in"], "out", ["--format", "gif"], "unknown format 'gif'"),
    "a file that is not there": (["in/a.png"], ["in", "b.png"], "out", [], "is not there"),
    "a folder without photographs": (["in/a.png"], ["none"], "out", [], "no photographs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_is_written(pictures, tmp_path, main, case):
    made, asked, to, options, words = REFUSED[case]
    pictures(*made)
    (tmp_path / "none").mkdir()
    before = files(tmp_path)
    code, out, errors = main("colorize", *(tmp_path / name for name in asked), "--to", tmp_path / to, *options)
    assert (code, out) == (2, "")
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert files(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_one_line(pictures, tmp_path, main):
    pictures("in/a.png")
    (tmp_path / "out").write_text("a file, and no folder")
    code, _, errors = main("colorize", tmp_path / "in", "--to", tmp_path / "out")
    assert code == 2
    assert "cannot be written" in errors
    assert len(errors.splitlines()) == 1
