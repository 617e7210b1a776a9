"""What a plain installation can do, and that every command says in one line which extra it lacks."""

import json

import pytest
import typer

from photochrom.deploy import cli
from photochrom.deploy.cli import EXTRAS
from tests.installation import ROOT, Installation, needed

HEAVY = {"torch", "numpy", "pillow", "opencv-python-headless", "lxml", "imagecodecs", "safetensors", "matplotlib"}

BY_OPTION = {"evaluation show"}
"""What needs its extra for an option alone, here for --sheet."""

ENDLESS = {"control"}
"""Commands that run until they are stopped: tests/acceptance/test_plain_installation.py starts them."""

PROCESSES = {
    "demo": ("photochrom.worker.coloring.tasks", "photochrom.producer.control.tasks"),
    "demo-training": (
        "photochrom.worker.coloring.tasks",
        "photochrom.producer.control.tasks",
        "photochrom.training.runs.tasks",
    ),
    "training": ("photochrom.training.runs.tasks",),
    "worker": ("photochrom.worker.coloring.tasks",),
}
"""What is loaded by processes that a command runs or starts."""

NOWHERE = {
    "PHOTOCHROM_S3_ENDPOINT": "http://127.0.0.1:9",
    "PHOTOCHROM_S3_ATTEMPTS": "1",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""An S3 that refuses every connection."""


def all_commands(command=None, path=()):
    """Every command by name, such as "models list", whatever there is."""
    command = command or typer.main.get_command(cli.app)
    if not hasattr(command, "commands"):
        return {" ".join(path): command}
    return {
        name: found
        for word, inner in command.commands.items()
        for name, found in all_commands(inner, (*path, word)).items()
    }


COMMANDS = all_commands()


def least_arguments(name):
    """A command with a value for everything that it insists on."""
    wanted = [parameter.opts[0] for parameter in COMMANDS[name].params if parameter.required]
    return [*name.split(), *(word for one in wanted for word in ([one, "1"] if one.startswith("-") else ["1"]))]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An installation of the base dependencies alone."""
    return Installation(tmp_path_factory.mktemp("plain") / "installation")


@pytest.fixture(scope="module")
def run_each(plain):
    """Runs `photochrom` there with each of several lists of arguments; gives codes, outputs and errors."""

    def run(lists, **environment):
        asked = json.dumps(list(lists))
        done = plain.run(str(ROOT / "tests/each_command.py"), asked, environment=NOWHERE | environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def ended(run_each):
    """How each command ended there, by name."""
    names = [name for name in COMMANDS if name not in ENDLESS]
    return dict(zip(names, run_each(map(least_arguments, names)), strict=True))


def test_a_plain_installation_has_neither_torch_nor_codecs(plain):
    assert not HEAVY & plain.packages
    assert needed(["training"]) > HEAVY
    assert "No module named 'numpy'" in plain.run("-c", "import numpy").stderr
    assert plain.run("-c", "import boto3, celery, redis").returncode == 0


def test_the_walk_finds_commands_and_those_of_groups():
    assert {"colorize", "control", "models rollback", "quarantine list"} <= COMMANDS.keys()
    assert EXTRAS.keys() <= COMMANDS.keys()
    assert least_arguments("submit") == ["submit", "1", "--to", "1"]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ENDLESS])
def test_a_command_ends_with_one_line_that_says_what_it_lacks(ended, name):
    done = ended[name]
    assert (done["code"], done["out"]) == (2, ""), done["errors"]
    [line] = done["errors"].splitlines()
    assert line.startswith("photochrom: ")
    lacks = line.startswith(f"photochrom: {name} needs more packages (")
    assert lacks == (name in EXTRAS.keys() - BY_OPTION)
    assert lacks == line.endswith(f" is not here): pip install 'photochrom[{EXTRAS.get(name)}]'")


def test_what_only_asks_s3_comes_as_far_as_s3(ended):
    asked = ("models list", "models history", "models rollback", "models clean", "quarantine list", "report", "status",
             "evaluation list", "evaluation show", "runs list", "runs stop")  # fmt: skip
    for name in asked:
        assert "S3 failed for s3://photochrom-state/" in ended[name]["errors"]


def test_every_command_explains_itself(run_each):
    done = run_each([*name.split(), "--help"] for name in COMMANDS)
    for name, one in zip(COMMANDS, done, strict=True):
        assert (one["code"], one["errors"]) == (0, "")
        assert f"Usage: photochrom {name} " in " ".join(one["out"].split())


@pytest.mark.parametrize("extra", sorted(set(EXTRAS.values())))
def test_the_extra_that_is_named_is_enough(extra, tmp_path):
    names = [name for name, its in EXTRAS.items() if its == extra]
    modules = {module for name in names for module in PROCESSES.get(name, ())}
    installation = Installation(tmp_path / "installation", [extra])
    done = installation.run(str(ROOT / "tests/first_imports.py"), *names, *sorted(modules))
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_an_extra_that_is_not_enough_is_noticed(tmp_path):
    installation = Installation(tmp_path / "installation", ["worker"])
    done = installation.run(str(ROOT / "tests/first_imports.py"), "evaluation create")
    assert done.stdout in ("evaluation create: imagehash\n", "evaluation create: skimage\n")
