"""The project's documents, read as Markdown: their blocks of code, the commands in these, their links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

HOUSE = Path(__file__).parents[1]

RUN, SHOWN = ("sh", "python"), ("text", "json", "yaml", "ini", "")
"""Languages of blocks: those that are run, and those that are only looked at."""

NOT_RUN, RUN_FIRST = "not run:", "run first:"
"""What a comment directly before a block begins with: why it is not run, or what is to be prepared for it."""

PROGRAMS = ("photochrom ", "make ", "python ")
"""What a line begins with that is a command although its block does not say so."""

SEPARATORS = "();<>|&"
"""Between two commands of a shell's line, as far as these documents need it."""

BEFORE_COMMANDS = ("if", "then", "else", "while", "until", "do", "!", "time", "exec", "env", "nohup", "sudo")


@dataclass(frozen=True)
class Block:
    """A block of code. `line` is that of its first line in the document; `notes` are the comments directly before."""

    language: str
    line: int
    code: str
    notes: tuple[str, ...] = ()

    @property
    def not_run(self) -> str | None:
        """Why it cannot be run; None where it can."""
        return next(iter(self._noted(NOT_RUN)), None)

    @property
    def preparations(self) -> list[str]:
        """Names of what is to be done before it is run."""
        return self._noted(RUN_FIRST)

    def _noted(self, kind: str) -> list[str]:
        return [note.removeprefix(kind).strip() for note in self.notes if note.startswith(kind)]


class Code(NamedTuple):
    """Commands as they stand somewhere; what stands within a sentence may be a part of one."""

    line: int
    text: str
    is_whole: bool


class Link(NamedTuple):
    line: int
    target: str


class Document:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(HOUSE))

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.path.read_text())

    def blocks(self) -> list[Block]:
        """Its blocks of code, in order. One that is indented has no language."""
        found: list[Block] = []
        notes: list[str] = []
        for token in self._tokens:
            if token.type == "html_block":
                notes += re.findall(r"<!--\s*(.*?)\s*-->", token.content, re.DOTALL)
                continue
            if token.type in ("fence", "code_block"):
                first = _line(token) + (token.type == "fence")
                found.append(Block(token.info.strip(), first, token.content, tuple(notes)))
            notes = []
        return found

    def code(self) -> Iterator[Code]:
        """What may be commands: blocks for the shell or without a language, and code within sentences."""
        for block in self.blocks():
            if block.language == "sh":
                yield Code(block.line, block.code, True)
            elif not block.language:  # commands and drawings alike
                lines = block.code.replace("\\\n", " ").splitlines()
                yield from (Code(block.line, line, True) for line in lines if line.startswith(PROGRAMS))
        for token in self._inline():
            for child in token.children or ():
                if child.type == "code_inline":
                    yield Code(_line(token), child.content, False)

    def links(self) -> Iterator[Link]:
        """Where its links and pictures lead."""
        for token in self._inline():
            for child in token.children or ():
                if child.type in ("link_open", "image"):
                    yield Link(_line(token), str(child.attrs.get("href") or child.attrs.get("src")))

    def anchors(self) -> set[str]:
        """The names that links may give its headings, as GitHub makes them."""
        found: set[str] = set()
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            if before.type == "heading_open":
                words = "".join(child.content for child in token.children or ())
                found.add(re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-"))
        return found

    def table(self, name: str) -> list[list[str]]:
        """The rows, without the head, of the table behind the comment `<!-- NAME -->`; each a list of its cells."""
        lines = self.path.read_text().partition(f"<!-- {name} -->\n")[2].splitlines()
        rows = [line.strip("| ").split(" | ") for line in lines[: next(_ends(lines))]]
        return [[cell.strip() for cell in row] for row in rows[2:]]

    def _inline(self) -> Iterator[Token]:
        line = 1
        for token in self._tokens:
            line = _line(token) if token.map else line
            if token.type == "inline":
                token.map = token.map or [line - 1, line]  # cells of a table have none
                yield token


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1


def _ends(lines: list[str]) -> Iterator[int]:
    yield from (number for number, line in enumerate(lines) if not line.startswith("|"))
    yield len(lines)


def documents() -> list[Document]:
    """All of the repository."""
    folders = (HOUSE.glob("*.md"), (HOUSE / "docs").glob("*.md"), (HOUSE / "deploy").rglob("*.md"))
    return [Document(path) for folder in folders for path in sorted(folder)]


def commands(code: str) -> list[list[str]]:
    """The commands of shell code, each as its words; comments and redirections left out.

    Raises ValueError for a quotation without an end.
    """
    text = re.sub(r"(?m)(^|\s)#.*$", r"\1", code.replace("\\\n", " ").replace('"$(', "$(").replace(')"', ")"))
    found: list[list[str]] = []
    waiting = ""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        waiting += line + "\n"
        try:
            found += _split(waiting)
        except ValueError:  # a quotation goes on in the next line
            if number == len(lines):
                raise
        else:
            waiting = ""
    return found


def _split(text: str) -> list[list[str]]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=SEPARATORS)
    lexer.whitespace_split, lexer.commenters = True, ""
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(SEPARATORS):
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in found if words]


def arguments(program: str, words: list[str], known: set[str]) -> list[str] | None:
    """The arguments with which a command calls a program; None where it does not.

    A program that another one starts, as in `docker compose run worker photochrom ...`, is seen by its `known`
    subcommands.
    """
    while words and (words[0] in BEFORE_COMMANDS or re.match(r"\w+=", words[0])):
        words = words[1:]
    for place, word in enumerate(words):
        behind = words[place + 1 :]
        if word.rpartition("/")[2] == program and (place == 0 or (behind and behind[0] in known)):
            return behind
    return None
