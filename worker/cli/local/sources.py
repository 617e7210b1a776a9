"""Which files are to be colorized, and what each is called among the results."""

from __future__ import annotations

import codecs
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

from photochrom.worker.errors import UsageError
from photochrom.worker.formats import SUFFIXES

APPLE_DOUBLE = "._"
"""Begins the names of the files in which macOS keeps a file's attributes where a disk has no place for them."""


class Source(NamedTuple):
    """A photograph, and its name among the results before its format is known: a path without a beginning."""

    path: Path
    name: str


class Unread(NamedTuple):
    """A file or folder in which photographs may lie, and why it cannot be looked at."""

    path: Path
    message: str


class Found(NamedTuple):
    """What is to be colorized, in order; what could not be read; links to folders, which are not followed."""

    sources: list[Source]
    unread: list[Unread]
    links: list[Path]


def find(named: list[Path], listed: list[Path]) -> Found:
    """The photographs of a command line: files and folders that are `named`, and those of a list.

    A folder alone gives its photographs the names that they have in it. Of several things named each keeps a name of
    its own, and a folder's photographs lie below that, so that two folders with the same names inside keep apart. What
    is listed keeps its path as seen from the current folder. Raises UsageError for what is named and is not there.
    """
    for path in named:
        if not os.path.lexists(path):
            raise UsageError(f"{path} is not there")
    finder = _Finder()
    for path, label in zip(named, _labels(named), strict=True):
        finder.take(path, "" if len(named) == 1 and is_folder(path) else label)
    for path in listed:
        finder.take(path, _from_here(path))
    return Found(finder.sources, finder.unread, finder.links)


def read_list(name: str) -> list[Path]:
    """The paths in a file, or in standard input for "-": one a line, or one before each NUL. Raises UsageError."""
    try:
        with open(0, "rb", closefd=False) if name == "-" else Path(name).open("rb") as file:
            data = file.read().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UsageError(f"{name} is in UTF-16: paths are needed as the disk has them, or in UTF-8")
    parts = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [Path(os.fsdecode(part)) for part in parts if part.strip()]


class _Finder:
    """Collects files one after another; each once, under the first name that it is found by."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.unread: list[Unread] = []
        self.links: list[Path] = []
        self._taken: set[tuple[str, str]] = set()
        self._real: dict[Path, str] = {}

    def take(self, path: Path, name: str) -> None:
        if is_folder(path):
            for file in self._inside(path):
                self._add(file, Path(name) / file.relative_to(path))
        elif not path.name.startswith(APPLE_DOUBLE):
            self._add(path, Path(name))

    def _add(self, path: Path, name: Path) -> None:
        folder = path.parent
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        place = (self._real[folder], path.name)
        if place not in self._taken:
            self._taken.add(place)
            self.sources.append(Source(path, str(name)))

    def _inside(self, folder: Path) -> Iterator[Path]:
        for place, folders, files in os.walk(folder, onerror=self._note):
            folders.sort()
            self.links += [link for one in folders if is_link(link := Path(place, one))]
            yield from (Path(place, one) for one in sorted(files) if _is_photograph(one))

    def _note(self, error: OSError) -> None:
        self.unread.append(Unread(Path(os.fsdecode(error.filename)), f"the folder cannot be read: {error.strerror}"))


def _is_photograph(name: str) -> bool:
    return not name.startswith(APPLE_DOUBLE) and PurePath(name).suffix.lower() in SUFFIXES


def is_folder(path: Path) -> bool:
    """Also where nothing can be known of it: then it is a file that cannot be read."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:
        return False


def _labels(named: list[Path]) -> list[str]:
    """For each path the shortest end of it, in whole names, that no other path ends with."""
    parts = [_absolute(path).parts[1:] or ("root",) for path in named]
    labels: dict[tuple[str, ...], str] = {}
    for length in range(1, max(map(len, parts), default=0) + 1):
        ends = Counter(one[-length:] for one in set(parts))
        for one in parts:
            if ends[one[-length:]] == 1 or len(one) == length:
                labels.setdefault(one, str(PurePath(*one[-length:])))
    return [labels[one] for one in parts]


def _from_here(path: Path) -> str:
    """The path as seen from the current folder; the whole path, without its beginning, for what lies outside of it."""
    absolute, here = _absolute(path), Path.cwd()
    return str(absolute.relative_to(here if absolute.is_relative_to(here) else absolute.anchor))


def _absolute(path: Path) -> Path:
    """The whole path without dots in it; links stay what they are."""
    return Path(os.path.normpath(path.absolute()))
