"""Where each result goes: never onto a source, nor into a folder of sources, and no two to one place."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path, PurePath
from typing import NamedTuple

from photochrom.worker.cli.local.sources import Source, is_folder, is_link
from photochrom.worker.errors import UsageError
from photochrom.worker.formats import READ_ONLY, Format, output_name


class Pair(NamedTuple):
    """A source, and where its result goes; `format` is that of the result where it is not the source's own."""

    source: Path
    target: Path
    format: Format | None


def pair(sources: list[Source], named: list[Path], folder: Path, format: Format | None) -> list[Pair]:
    """A place below `folder` for each source.

    Where two results would have one name, as those of scan.tif and scan.jp2, the one whose source has that very name
    gets it, and each other one the whole name of its source with a suffix behind: scan.jp2.tif. Raises UsageError for
    a folder inside a folder that is named, and for a place that is, or by whatever way leads to, a source.
    """
    names = _Names(sources, format)
    pairs = [Pair(source.path, folder / names.of(source), format or _format_of(source)) for source in sources]
    inputs = _Inputs(named, pairs)
    inputs.check_outside(folder)
    for one in pairs:
        inputs.check(one)
    return pairs


class _Names:
    """Gives each source a name of its own among the results."""

    def __init__(self, sources: list[Source], format: Format | None) -> None:
        self._format = format
        self._wanted = Counter(output_name(source.name, format) for source in sources)
        self._given: set[str] = set()

    def of(self, source: Source) -> str:
        wanted = output_name(source.name, self._format)
        suffix = PurePath(wanted).suffix
        name = wanted if self._wanted[wanted] == 1 or source.name == wanted else source.name + suffix
        first, numbers = name.removesuffix(suffix), count(2)
        while name in self._given or (name != wanted and name in self._wanted):
            name = f"{first}-{next(numbers)}{suffix}"
        self._given.add(name)
        return name


def _format_of(source: Source) -> Format | None:
    """What a format that is only read is written as."""
    return READ_ONLY.get(source.path.suffix.lower())


Identity = tuple[int, int, str]
"""Of a place: its folder by device and inode, whatever name or mount leads to it, and the rest of the path."""


class _Inputs:
    """The folders and files that are read, by what they are and not by what they are called."""

    def __init__(self, named: Iterable[Path], pairs: list[Pair]) -> None:
        self._known: dict[Path, list[Identity]] = {}
        self._folders = {self._ways(path)[0] for path in named if is_folder(path)}
        self._files = {place for one in pairs for place in self._places(one.source)}

    def check(self, pair: Pair) -> None:
        """Raises UsageError for a target that is a source, or lies in a folder that is read."""
        self.check_outside(pair.target.parent)
        if self._place(pair.target) in self._files:
            raise UsageError(f"{pair.target} is a source itself: choose another folder for --to")

    def check_outside(self, folder: Path) -> None:
        """Raises UsageError for a folder that is one of those that are read, or lies in one."""
        if self._folders.intersection(self._ways(folder)):
            raise UsageError(f"{folder} lies inside a folder of sources: choose another folder for --to")

    def _places(self, source: Path) -> Iterator[Identity]:
        """A source's own place in its folder, and that of the file that it leads to if it is a link."""
        yield self._place(source)
        if is_link(source):
            yield self._place(Path(os.path.realpath(source)))

    def _place(self, path: Path) -> Identity:
        device, inode, rest = self._ways(path.parent)[0]
        return device, inode, f"{rest}/{path.name}"

    def _ways(self, folder: Path) -> list[Identity]:
        """A folder as seen from itself and from each folder above it; one that is not there yet from the next above."""
        if folder not in self._known:
            self._known[folder] = list(_ways(Path(os.path.realpath(folder))))
        return self._known[folder]


def _ways(folder: Path) -> Iterator[Identity]:
    rest = ""
    for place in (folder, *folder.parents):
        try:
            status = place.stat()
        except OSError:
            rest = f"/{place.name}{rest}"
            continue
        if rest:
            yield status.st_dev, status.st_ino, rest
            rest = ""
        yield status.st_dev, status.st_ino, ""
