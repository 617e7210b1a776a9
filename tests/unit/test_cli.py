"""The command: exit codes 0, 1 and 2, JSON for machines, and errors in one line."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from photochrom.deploy import cli
from photochrom.producer.records.submission import load, submit
from photochrom.worker.errors import ImageFault
from photochrom.worker.jobs.messages import Image as ListedImage
from photochrom.worker.jobs.quarantine import record_quarantined


def photochrom(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def main(monkeypatch, capsys):
    """Runs the command in this process; gives its exit code, what it printed, and its errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["photochrom", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
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
    code = "import photochrom.deploy.cli; photochrom.deploy.cli.main()"
    command = [sys.executable, "-c", code, "submit", "archive/in", "--to", "s3://coloured/out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "photochrom: 'archive/in' is not s3://bucket/prefix\n"


# ---- colorize


def test_colorize_wants_something_to_colorize(main, no_settings, tmp_path):
    code, out, errors = main("colorize", "--to", tmp_path)
    assert (code, out) == (2, "")
    assert "--files-from" in errors
    assert len(errors.splitlines()) == 1
