"""The command as a program: version, completion, terminals of any kind, and what of others' texts may reach them."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from photochrom.deploy import cli
from photochrom.deploy.stack.process import Process
from photochrom.producer.records.submission import submit
from photochrom.training.evaluation.evaluation_set import EvaluationSet
from photochrom.training.recipe import RECIPES
from photochrom.training.runs.records import Runs
from photochrom.training.runs.request import Request
from photochrom.worker.errors import ImageFault, UsageError
from photochrom.worker.jobs.messages import Image
from photochrom.worker.jobs.quarantine import record_quarantined
from photochrom.worker.models.registry import Promotion
from photochrom.worker.s3 import state_keys
from photochrom.worker.version import VERSION

HOSTILE = "\x1b[2J\x9b7m\u202e"
SHOWN = r"\x1b[2J\x9b7m\u202e"


def photochrom(*arguments, **environment):
    """Run it as a program."""
    command = [sys.executable, "-m", "photochrom.deploy.cli", *arguments]
    done = subprocess.run(command, capture_output=True, env=os.environ | environment, timeout=300)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def printed(*arguments):
    """What it prints, run in this process."""
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0, done.exception
    return done.stdout


@pytest.fixture
def main(monkeypatch, capsys):
    """Runs a command that does something in place of the app; gives exit code and errors."""

    def run(does):
        monkeypatch.setattr(cli, "app", does)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    return run


def raising(error):
    def does():
        raise error

    return does


def test_it_says_its_version():
    assert photochrom("--version") == (0, f"photochrom {VERSION}\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell):
    code = "import sys; sys.argv[0] = 'photochrom'; import photochrom.deploy.cli; photochrom.deploy.cli.main()"
    environment = os.environ | {"_PHOTOCHROM_COMPLETE": f"source_{shell}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert f"_PHOTOCHROM_COMPLETE=complete_{shell}" in done.stdout


def test_commands_of_groups_are_completed():
    code = "import sys; sys.argv[0] = 'photochrom'; import photochrom.deploy.cli; photochrom.deploy.cli.main()"
    words = {"_PHOTOCHROM_COMPLETE": "complete_bash", "COMP_WORDS": "photochrom models ro", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ | words, timeout=300)
    assert done.stdout.split() == [b"rollback"]


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["evaluate", "--help"], ["worker", "--help"]])
def test_help_is_shown_on_a_terminal_that_has_ascii_alone(arguments):
    code, out, errors = photochrom(*arguments, PYTHONIOENCODING="ascii")
    assert (code, errors) == (0, "")
    assert out.isascii()


def test_an_error_is_one_line_of_what_the_terminal_has():
    code, out, errors = photochrom("submit", "straße\x1b[31m", "--to", "s3://coloured/out", PYTHONIOENCODING="ascii")
    assert (code, out) == (2, "")
    assert errors == r"photochrom: 'stra\xdfe\x1b[31m' is not s3://bucket/prefix" + "\n"


def test_an_error_about_a_hostile_name_is_one_line_without_control_characters(main):
    assert main(raising(UsageError(f"{HOSTILE}\nphotochrom: done"))) == (
        2,
        rf"photochrom: {SHOWN}\nphotochrom: done" + "\n",
    )


def test_the_end_of_a_log_keeps_its_lines(main, tmp_path):
    process = Process("worker", ["sh", "-c", "printf 'one\\n\\033[7mtwo\\n'; exit 3"], tmp_path, tmp_path / "log")

    def does():
        process.start({})
        process.wait_until(lambda: False, 60)

    code, errors = main(does)
    assert code == 2
    assert errors.splitlines() == [
        "photochrom: worker ended with exit code 3; its log:",
        "one",
        r"\x1b[7mtwo",
    ]


def test_a_module_of_ours_that_is_missing_is_no_missing_package(main):
    with pytest.raises(ModuleNotFoundError):
        main(raising(ModuleNotFoundError("no module", name="photochrom.worker.nothing")))


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_without_a_core_unless_told_otherwise(main, monkeypatch, before, after):
    monkeypatch.setenv("OMP_WAIT_POLICY", before or "")
    if before is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    main(raising(UsageError("nothing")))
    assert os.environ["OMP_WAIT_POLICY"] == after


# ---- what others have written


@pytest.fixture
def quarantined(exported, store, ledger):
    submit("s3://archive/in", "s3://coloured/out", name="some", settings=exported)
    image, fault = Image(ordinal=3, key=f"in/{HOSTILE}größe.jpg"), ImageFault("empty", f"{HOSTILE} is empty")
    record_quarantined("some", image, fault, store, ledger, exported)


@pytest.mark.usefixtures("quarantined")
def test_quarantined_keys_are_listed_with_escapes():
    assert printed("quarantine", "list", "some").splitlines() == [f"3  empty               in/{SHOWN}größe.jpg"]


@pytest.mark.usefixtures("quarantined")
@pytest.mark.parametrize("arguments", [("list", "some", "--json"), ("show", "some", "3")])
def test_json_is_ascii_and_says_the_very_key(arguments):
    out = printed("quarantine", *arguments)
    assert out.isascii()
    assert json.loads(out)["key"] == f"in/{HOSTILE}größe.jpg"


def test_who_promoted_what_and_why_is_told_with_escapes(exported, store):
    promotion = Promotion(sequence=1, sha256="1" * 64, name=f"n{HOSTILE}", who=f"w{HOSTILE}", why=f"y{HOSTILE}")
    store.put_record(state_keys.CHAMPION, promotion)
    [line] = printed("models", "history").splitlines()
    assert f"n{SHOWN}" in line
    assert line.endswith(f"w{SHOWN}: y{SHOWN}")
    assert json.loads(printed("models", "history", "--json"))["why"] == f"y{HOSTILE}"


def test_a_version_and_what_it_differs_in_are_told_with_escapes(exported, store):
    for digit in "ab":
        card = {"sha256": digit * 64, "name": f"{digit}{HOSTILE}", "images_seen": 1, "created": HOSTILE}
        store.put_record(state_keys.card(digit * 64), card)
    listed, told = printed("models", "list"), printed("models", "diff", "a" * 8, "b" * 8)
    assert f"a{SHOWN} " in listed
    assert f"name: a{SHOWN} -> b{SHOWN}" in told
    assert "\x1b" not in listed + told


def test_a_set_is_told_with_escapes(exported, store):
    made = EvaluationSet(
        name="frozen", source=HOSTILE, created="", side=8, most=None, share=1, left_out={HOSTILE: 1}, entries=()
    )
    store.put_record(state_keys.evaluation_set("frozen"), made)
    for out in (printed("evaluation", "list"), printed("evaluation", "show", "frozen")):
        [line] = out.splitlines()
        assert f"of {SHOWN}, " in line
        assert line.endswith(f"left out: 1 {SHOWN}")


def test_why_a_run_failed_is_told_with_escapes(exported, store):
    runs = Runs(store, exported)
    runs.start(Request(name="first", model="autoencoder", recipe=RECIPES["autoencoder"], source="s3://archive/in"))
    run = runs.load("first")
    runs.move(run, run.position.moved(status="failed", why=HOSTILE))
    assert printed("runs", "list").splitlines() == [f"first  failed: {SHOWN}"]
