"""What the documents name is there: commands and their options, make's targets, files, headings, fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from urllib.parse import unquote

import pytest
import typer
from typer.core import TyperGroup

from photochrom.deploy import cli
from photochrom.producer.client.report import FIELDS
from photochrom.producer.records.filters import Filters
from photochrom.producer.records.progress import Progress
from photochrom.producer.records.submission import Request
from photochrom.worker.jobs.provenance import Provenance
from photochrom.worker.jobs.quarantine import POISON, Quarantined
from tests.documentation import HOUSE, PROGRAMS, RUN, SHOWN, Document, arguments, commands, documents

ALL = {document.name: document for document in documents()}
GUIDES = ("archives", "services", "operators", "models")
"""Of the documents, those whose blocks are run; see tests/acceptance/test_documents.py."""

COMMAND = typer.main.get_command(cli.app)
REFUSALS = typer.BadParameter.__bases__
"""What a command raises for arguments it does not take; typer has its own copy of click, whose name is private."""

FOLDERS = ("deploy", "docs", "producer", "tests", "training", "worker")
TARGETS = set(re.findall(r"^([a-z-]+):", (HOUSE / "Makefile").read_text(), re.MULTILINE))


def guides() -> list[Document]:
    return [ALL[name] for name in (f"docs/{guide}.md" for guide in GUIDES) if name in ALL]


def calls(document: Document, program: str, known: set[str]) -> Iterator[tuple[str, list[str], bool]]:
    """Where a document calls a program, with which arguments, and whether that is a whole command."""
    for code in document.code():
        words = commands(code.text) if code.is_whole else [code.text.split()]
        for found in words:
            given = arguments(program, found, known)
            if given is not None:
                yield f"{document.name}:{code.line}: {' '.join(found)}", given, code.is_whole


def refusal(words: list[str]) -> str:
    """Why `photochrom WORDS` is no command; empty where it is one."""
    command, names = COMMAND, ["photochrom"]
    while isinstance(command, TyperGroup) and "--help" not in words:
        if not words or words[0] not in command.commands:
            return f"no such command: {' '.join([*names, *words[:1]])}"
        names, command, words = [*names, words[0]], command.commands[words[0]], words[1:]
    if "--help" in words:
        return ""
    try:
        command.make_context(" ".join(names), list(words))
    except REFUSALS as error:
        return error.format_message()
    return ""


def unknown(words: list[str]) -> str:
    """Which command or option is not there in a part of a command, as sentences name them; `a|b` is both."""
    command = COMMAND
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        several = words[0].split("|")
        if missing := [name for name in several if name not in command.commands]:
            return f"no such command: {missing[0]}"
        command, words = command.commands[several[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return next((f"no such option: {word}" for word in words if word.startswith("--") and word not in options), "")


@pytest.mark.parametrize("name", ALL)
def test_every_command_in_a_document_is_one(name: str) -> None:
    known = set(COMMAND.commands)
    wrong = [
        f"{place}: {said}"
        for place, words, is_whole in calls(ALL[name], "photochrom", known)
        if (said := (refusal if is_whole else unknown)(words))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ALL)
def test_every_target_in_a_document_is_in_the_makefile(name: str) -> None:
    wrong = []
    for place, words, _ in calls(ALL[name], "make", TARGETS):
        target = next((word for word in words if not word.startswith("-") and "=" not in word), "help")
        wrong += [f"{place}: no target {target}"] if target not in TARGETS else []
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ALL)
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(name: str) -> None:
    here = ALL[name]
    wrong = []
    for line, target in here.links():
        if re.match("[a-z]+:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        path = (here.path.parent / file).resolve() if file else here.path
        if not path.exists():
            wrong.append(f"{name}:{line}: {target} is not there")
        elif anchor and anchor not in Document(path).anchors():
            wrong.append(f"{name}:{line}: {file or name} has no heading #{anchor}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", [document.name for document in guides()])
def test_every_block_of_a_guide_is_run_or_says_why_not(name: str) -> None:
    for block in ALL[name].blocks():
        place = f"{name}:{block.line}"
        assert block.language in RUN + SHOWN, f"{place}: a block in {block.language}"
        hidden = [line for line in block.code.splitlines() if not block.language and line.startswith(PROGRAMS)]
        assert not hidden, f"{place}: a command in a block without a language"
        assert block.not_run != "", f"{place}: it does not say why it is not run"
        wrong = [note for note in block.notes if note.startswith(("not", "run")) and not note.startswith("not run:")]
        assert all(note.startswith("run first:") for note in wrong), f"{place}: {wrong}"


@pytest.mark.parametrize("name", [document.name for document in guides()])
def test_what_is_not_run_names_files_that_are_there(name: str) -> None:
    wrong = []
    for block in ALL[name].blocks():
        if block.language == "sh" and block.not_run is not None:
            words = {word for command in commands(block.code) for word in command}
            paths = {word.partition("$")[0].removeprefix("./") for word in words if word.partition("/")[0] in FOLDERS}
            wrong += [f"{name}:{block.line}: {path} is not there" for path in sorted(paths) if not is_there(path)]
    assert not wrong, "\n".join(wrong)


def is_there(path: str) -> bool:
    return any(HOUSE.glob(path.rstrip("/"))) or (path.endswith(("/", "-", ".")) and (HOUSE / path).parent.exists())


def test_the_table_of_reasons_is_what_the_code_quarantines_for() -> None:
    sources = [file.read_text() for folder in ("worker", "producer") for file in (HOUSE / folder).rglob("*.py")]
    raised = {reason for text in sources for reason in re.findall(r'ImageFault\(\s*"([a-z-]+)"', text)}
    told = [row[0].strip("`") for row in ALL["docs/archives.md"].table("reasons")]
    assert len(told) == len(set(told))
    assert set(told) == raised - {"not-restorable"} | {POISON}


FIELDS_TOLD = {
    "request": tuple(Request.model_fields),
    "filters": tuple(Filters.model_fields),
    "progress": (*(field.name for field in fields(Progress)), "state"),
    "quarantine record": tuple(Quarantined.model_fields),
    "report": FIELDS,
    "metadata": (*(field.name.replace("_", "-") for field in fields(Provenance)), "luma", "notes"),
}


@pytest.mark.parametrize("table", FIELDS_TOLD)
def test_the_tables_of_fields_for_services_are_those_of_the_code(table: str) -> None:
    told = [row[0].strip("`") for row in ALL["docs/services.md"].table(table)]
    assert told == list(FIELDS_TOLD[table])


# ---- the test's own judgement


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("submit s3://a/b --to s3://c/d --stale", ""),
        ("models rollback --why 'too green'", ""),
        ("--help", ""),
        ("submit s3://a/b", "Missing option"),
        ("submit s3://a/b --to s3://c/d --quickly", "No such option"),
        ("quarantine show NAME first", "invalid value"),
        ("sumbit s3://a/b", "no such command: photochrom sumbit"),
        ("models lst", "no such command: photochrom models lst"),
    ],
)
def test_a_command_that_the_program_would_refuse_is_refused(line: str, said: str) -> None:
    found = refusal(commands(line)[0])
    assert said.lower() in found.lower()
    assert bool(said) == bool(found)


def test_commands_are_found_wherever_a_line_has_them() -> None:
    code = (
        "A=1 photochrom one --why 'a; b'  # photochrom none\n"
        'name="$(photochrom two)" && echo photochrom\n'
        "docker compose run worker photochrom status x | grep y\n"
        "kubectl -n photochrom get pods > photochrom\n"
        "photochrom three \\\n    more 'of\nit'\n"
    )
    found = [arguments("photochrom", words, {"status"}) for words in commands(code)]
    assert [words for words in found if words] == [
        ["one", "--why", "a; b"],
        ["two"],
        ["status", "x"],
        ["three", "more", "of\nit"],
    ]


def test_parts_of_commands_in_sentences_are_known_or_not() -> None:
    assert unknown(["models", "list|show|history"]) == ""
    assert unknown(["submit", "--stale"]) == ""
    assert unknown(["models", "list|burn"]) == "no such command: burn"
    assert unknown(["submit", "--stael"]) == "no such option: --stael"
