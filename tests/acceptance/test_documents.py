"""The commands in the documents can be run as they stand, and print what the documents show."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from photochrom.deploy.stack.stack import Stack
from tests.acceptance.documents import DocumentError, Shell, compare, prepare, run
from tests.documentation import HOUSE, Block, Document

GUIDES = [
    Document(path)
    for path in (HOUSE / "docs" / f"{name}.md" for name in ("archives", "services", "operators", "models"))
    if path.exists()
]
TRAINED = "models.md"
"""Needs a training process."""

READ, WRITE = ["s3://archive/", "s3://photographs/"], ["s3://coloured/"]

QUICK = {
    "PHOTOCHROM_MODEL": "autoencoder",
    "PHOTOCHROM_CONTROL_INTERVAL": "0.2",
    "PHOTOCHROM_RECONCILE_INTERVAL": "1",
    "PHOTOCHROM_MODEL_INTERVAL": "0.5",
}


@pytest.mark.integration
@pytest.mark.parametrize("document", GUIDES, ids=lambda document: document.path.stem)
def test_what_a_document_says_can_be_done_as_it_stands(document: Document, tmp_path: Path) -> None:
    folder, scratch = tmp_path / "folder", tmp_path / "scratch"
    folder.mkdir(), scratch.mkdir()
    own = {"PHOTOCHROM_MODEL_CACHE": str(tmp_path / "models"), "PHOTOCHROM_TRAINING_FOLDER": str(tmp_path / "training")}
    with Stack(read=READ, write=WRITE, workers=1, environment=QUICK | own) as stack, stack.exported():
        if document.path.name == TRAINED:
            stack.start_training()
        count = run(document, stack, folder, scratch, environment_of_a_reader(stack))
        stack.check()
    print(f"{document.name}: {count.run} blocks run, {count.compared} outputs compared, {len(count.not_run)} left:")
    print(*count.not_run, sep="\n")
    assert count.run


def environment_of_a_reader(stack: Stack) -> dict[str, str]:
    """This process's, which is the stack's; with the command on its path, and S3 where boto3 looks for it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    aws = {"AWS_ENDPOINT_URL": stack.settings.s3_endpoint or "", "AWS_DEFAULT_REGION": stack.settings.s3_region}
    shown = {"COLUMNS": "100", "LOGNAME": "root"}  # as the documents' outputs were made
    return {**os.environ, **aws, **shown, "PATH": path, "PYTHONPATH": str(HOUSE)}


# ---- the test's own judgement


@pytest.fixture
def shell(tmp_path: Path):
    running = Shell(tmp_path, tmp_path, {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    yield running
    running.close()


def test_variables_live_on_and_programs_run_beside_them(shell: Shell, tmp_path: Path) -> None:
    assert shell.run("a.md", Block("sh", 3, "one=1\nexport two=2\n")) == ""
    assert shell.run("a.md", Block("python", 7, "import os\nprint(os.environ['two'])\n")) == "2\n"
    assert shell.run("a.md", Block("sh", 9, 'echo "$one" > here; cat here\n')) == "1\n"
    assert (tmp_path / "here").exists()


FAILING: Mapping[str, tuple[Block, str]] = {
    "a command": (Block("sh", 5, "true\nfalse\ntrue\n"), "a.md:6: exit code 1"),
    "within a pipe": (Block("sh", 5, "false | cat\n"), "a.md:5: exit code 1"),
    "a variable that is not set": (Block("sh", 5, "\necho $nothing\n"), "a.md: line 6: nothing"),
    "an exit": (Block("sh", 5, "exit 0\n"), "a.md:5: a command of this block fails"),
    "a program": (Block("python", 5, "\nraise SystemExit('no')\n"), "no"),
    "an exception": (Block("python", 5, "\n1 / 0\n"), 'a.md", line 6'),
}


@pytest.mark.parametrize("what", FAILING)
def test_what_fails_is_told_with_its_line(shell: Shell, what: str) -> None:
    block, said = FAILING[what]
    with pytest.raises(DocumentError) as error:
        shell.run("a.md", block)
    assert said in str(error.value)
    assert block.code in str(error.value)


def test_an_output_is_what_was_printed_but_for_its_numbers() -> None:
    printed = "done: 8 of 12 done, 4 quarantined\n20261123-094500-0a1b2c\n┏━━━━┓\n"
    compare("done: 10 of 14 done, 4 quarantined\n...\n20261122-025009-2f7a20\n┏━━┓\n", printed, "a.md:1")
    with pytest.raises(DocumentError, match=r"a\.md:1"):
        compare("done: 8 of 12 done\n", printed, "a.md:1")


def test_a_preparation_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no preparation 'dinner'"):
        prepare("dinner", Stack(), tmp_path, "a.md:3")
