"""A source that holds no photographs: people are told, and scripts find it out by the exit code."""

import json
import sys

import pytest

from photochrom.deploy import cli
from photochrom.producer.client.watch import watch
from photochrom.producer.records.submission import load, make, submit
from tests.ticks import advance

NOTHING = "no photographs were found under s3://archive/in"
SUBMIT = ("submit", "s3://archive/in", "--to", "s3://coloured/out")
FLAG = "--fail-if-empty"


@pytest.fixture
def photochrom(exported, store, monkeypatch, capsys):
    """Runs a command in this process; gives its exit code, what it printed, and its errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["photochrom", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def listed(photochrom, held, sent):
    """Makes a submission and lists all of its source; gives back its name."""

    def submit_and_list():
        name = submit("s3://archive/in", "s3://coloured/out", settings=held.settings)
        advance(load(name, held.store, held.settings), held)
        return name

    return submit_and_list


@pytest.fixture
def control_at_once(monkeypatch, held, sent):
    """A control process that lists each submission before anybody looks."""

    def after_control(name, settings, **options):
        advance(load(name, held.store, held.settings), held)
        return watch(name, settings, **options)

    monkeypatch.setattr("photochrom.producer.client.watch.watch", after_control)


WATCHED = pytest.mark.parametrize("watch", [(), ("--watch",)], ids=["once", "watched"])


@WATCHED
def test_status_says_that_nothing_was_found_and_exits_with_2_only_where_that_is_asked_for(photochrom, listed, watch):
    name, line = listed(), "done: no photographs were found; is the source right?\n"
    assert photochrom("status", name, *watch)[:2] == (0, line)
    assert photochrom("status", name, *watch, FLAG)[:2] == (2, line)
    code, out, _ = photochrom("status", name, *watch, FLAG, "--json")
    assert (code, json.loads(out)["total"], json.loads(out)["state"]) == (2, 0, "done")


def test_a_submission_that_is_still_being_listed_is_not_empty_yet(photochrom, held):
    name = submit("s3://archive/in", "s3://coloured/out", settings=held.settings)
    code, out, _ = photochrom("status", name, FLAG)
    assert (code, out.partition(":")[0]) == (0, "listing")


@WATCHED
def test_one_with_photographs_has_the_exit_code_that_it_has_without_the_flag(photochrom, listed, held, fill, watch):
    fill(2)
    name = listed()
    held.ledger.record_done(name, 0)
    held.ledger.record_quarantined(name, 1, "damaged")
    assert photochrom("status", name, *watch, FLAG) == photochrom("status", name, *watch)
    assert photochrom("status", name, *watch, FLAG)[0] == 1


@pytest.mark.parametrize("options", [(), ("--watch",), ("--json",), ("--dry-run",)], ids="".join)
def test_nothing_is_submitted_where_there_is_nothing_and_that_is_asked_for(
    photochrom, control_at_once, ledger, aws, options
):
    assert photochrom(*SUBMIT, FLAG, *options) == (2, "", f"photochrom: {NOTHING}; nothing was submitted\n")
    assert "Contents" not in aws.list_objects_v2(Bucket="photochrom-state")
    assert ledger.active() == []


def test_what_filters_pass_over_or_a_manifest_does_not_name_is_not_there(photochrom, fill, store, ledger):
    fill(2)
    store.put("archive", "keys.txt", b"in/notes.doc\n")
    code, _, errors = photochrom(*SUBMIT, FLAG, "--suffix", ".tif")
    assert (code, NOTHING in errors) == (2, True)
    code, _, errors = photochrom(*SUBMIT, FLAG, "--manifest", "s3://archive/keys.txt")
    assert (code, f"{NOTHING} in the manifest s3://archive/keys.txt;" in errors) == (2, True)
    assert ledger.active() == []


def test_with_a_photograph_the_flag_changes_nothing(photochrom, fill, ledger):
    fill(1)
    code, out, errors = photochrom(*SUBMIT, FLAG)
    assert (code, errors) == (0, "")
    assert ledger.active() == [out.strip()]
    assert photochrom(*SUBMIT, FLAG, "--dry-run") == photochrom(*SUBMIT, "--dry-run")
    assert photochrom(*SUBMIT, FLAG, "--dry-run")[0] == 0


def test_submitting_without_the_flag_tells_of_an_empty_source_and_exits_with_0(photochrom, control_at_once):
    code, out, _ = photochrom(*SUBMIT, "--watch")
    assert (code, out) == (0, "done: no photographs were found; is the source right?\n")


def test_a_source_that_was_emptied_behind_the_first_look_is_told_at_the_end(
    photochrom, control_at_once, fill, store, monkeypatch
):
    fill(1)

    def emptied(request, settings):
        store.delete("archive", "in/000.jpg")
        return make(request, settings)

    monkeypatch.setattr("photochrom.producer.records.submission.make", emptied)
    assert photochrom(*SUBMIT, "--watch", FLAG)[0] == 2


def test_a_dry_run_names_the_source_that_holds_nothing(photochrom):
    assert photochrom(*SUBMIT, "--dry-run") == (0, f"{NOTHING}; nothing was submitted\n", "")
    assert photochrom(*SUBMIT, "--dry-run", "--json") == (0, '{"images": 0, "bytes": 0}\n', "")


def test_a_dry_run_for_machines_counts_nothing_and_exits_with_2(photochrom):
    code, out, errors = photochrom(*SUBMIT, "--dry-run", "--json", FLAG)
    assert (code, json.loads(out)) == (2, {"images": 0, "bytes": 0})
    assert errors == f"photochrom: {NOTHING}; nothing was submitted\n"
