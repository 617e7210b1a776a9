"""Where each result goes: never onto a source, nor into a folder of sources, and no two to one place."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

from worker.errors import UsageError
from worker.job import READ_ONLY, Format, output_name
from worker.local.sources import Source


class Pair(NamedTuple):
    """A source, and where its result goes; `format` is that of the result where it is not the source's own."""

    source: Path
    target: Path
    format: Format | None


def pair(sources: list[Source], named: list[Path], folder: Path, format: Format | None) -> list[Pair]:
    """A place below `folder` for each source.

    Where two results would have one name, as those of scan.tif and scan.jp2, the one whose source has that very name
    gets it, and each other one the whole name of its source with a suffix behind: scan.jp2.tif. Raises UsageError for
    a folder inside a folder that is named, and for a place that is, or through a link leads to, a source.
    """
    _check_outside(folder, named)
    by_name: defaultdict[str, list[Source]] = defaultdict(list)
    for source in sources:
        by_name[output_name(source.name, format)].append(source)
    pairs = [
        Pair(source.path, folder / _name(source, name, len(shared) > 1), format or _format_of(source))
        for name, shared in by_name.items()
        for source in shared
    ]
    _check_no_source(pairs, named)
    order = {source.path: number for number, source in enumerate(sources)}
    return sorted(pairs, key=lambda one: order[one.source])


def _name(source: Source, name: str, is_shared: bool) -> str:
    return name if not is_shared or source.name == name else source.name + PurePath(name).suffix


def _format_of(source: Source) -> Format | None:
    """What a format that is only read is written as."""
    return READ_ONLY.get(source.path.suffix.lower())


def _check_outside(folder: Path, named: Iterable[Path]) -> None:
    place = folder.resolve()
    for path in named:
        if path.is_dir() and place.is_relative_to(path.resolve()):
            raise UsageError(f"{folder} lies inside the source {path}: choose another folder for --to")


def _check_no_source(pairs: list[Pair], named: Iterable[Path]) -> None:
    sources = {place for one in pairs for place in _places(one.source)}
    inputs = [path.resolve() for path in named if path.is_dir()]
    parents: dict[Path, Path] = {}
    for one in pairs:
        parent = one.target.parent
        if parent not in parents:
            parents[parent] = parent.resolve()
            if any(parents[parent].is_relative_to(folder) for folder in inputs):
                raise UsageError(f"{parent} leads into a source by a link: choose another folder for --to")
        if str(parents[parent] / one.target.name) in sources:
            raise UsageError(f"{one.target} is a source itself: choose another folder for --to")


def _places(source: Path) -> tuple[str, str]:
    """A source's own place in its folder, and that of the file that it leads to if it is a link."""
    return str(source.parent.resolve() / source.name), os.path.realpath(source)
