"""`photochrom colorize`: from what is asked for to what is printed of it."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, get_args

from photochrom.worker.cli.explain import tuned
from photochrom.worker.cli.local.attempt import Outcome, Request, State
from photochrom.worker.cli.local.processes import Interruption, Pools, outcomes, pools
from photochrom.worker.cli.local.results import remove_parts
from photochrom.worker.cli.local.sources import Found, find, read_list
from photochrom.worker.cli.local.targets import Pair, pair
from photochrom.worker.cli.terminal import ProgressDisplay, printable
from photochrom.worker.errors import UsageError
from photochrom.worker.formats import SUFFIXES, Format, JpegProfile
from photochrom.worker.models.card import read_card
from photochrom.worker.models.named import weights_of
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.jpeg import jpegtran
from photochrom.worker.settings import Settings, settings

STATES: dict[State, str] = {
    "new": "new",
    "there": "were there",
    "replaced": "replaced",
    "passed-over": "passed over, which are results of Photochrom",
    "failed": "failed",
}


@dataclass(frozen=True)
class Wish:
    """What is asked for. `format` and `jpeg` are words, None the default; so is `jobs`, the number of processes.

    `files_from` names a file of further paths, "-" standard input.
    """

    files: list[Path]
    folder: Path
    model: str
    format: str | None = None
    jpeg: str | None = None
    files_from: str | None = None
    overwrite: bool = False
    jobs: int | None = None


def colorize_files(wish: Wish, *, as_json: bool, pools: Pools = pools) -> int:
    """Colorize files and folders of files into a folder; gives back the command's exit code.

    That is 0, or 1 where a file could not be colorized or a folder not be read, or 128 and the signal's number.
    Raises UsageError before anything is written: for an unknown format, a missing file or program, or a result that
    would land on a source or among sources; WorkerFault where no further file can be done.
    """
    options = _options(wish)
    listed = read_list(wish.files_from) if wish.files_from else []
    found = find(wish.files, listed)
    pairs = pair(found.sources, [*wish.files, *listed], wish.folder, options.format)
    if not pairs and not found.unread:
        raise UsageError(f"no photographs there ({', '.join(SUFFIXES)})")
    weights = weights_of(wish.model, settings())
    card = read_card(weights)
    chosen = _tuned(wish.jobs, len(pairs))
    new_pool = pools(Request(card.sha256, options, wish.overwrite), chosen, weights)
    _prepare(wish.folder, pairs)
    report = Report(len(pairs), as_json=as_json)
    try:
        with Interruption() as interruption, report:
            report.tell_found(found)
            for outcome in outcomes(pairs, new_pool, chosen.concurrency, interruption):
                report.tell(outcome)
    finally:
        if not as_json:
            print(printable(f"{card.name} into {wish.folder}: {report.summary()}"))
    if interruption.signal:
        return 128 + interruption.signal
    return 1 if report.failed else 0


def _options(wish: Wish) -> Options:
    if wish.format not in (None, *get_args(Format)):
        raise UsageError(f"unknown format {wish.format!r}: there are {', '.join(get_args(Format))}")
    if wish.jpeg not in (None, *get_args(JpegProfile)):
        raise UsageError(f"unknown JPEG profile {wish.jpeg!r}: there are {', '.join(get_args(JpegProfile))}")
    options = Options.of(settings(), wish.format, wish.jpeg)  # type: ignore[arg-type]
    if options.jpeg == "compatible":
        jpegtran.require()
    return options


def _tuned(jobs: int | None, files: int) -> Settings:
    """As a worker on this machine, with no more processes than files. Each computes with one thread: that way they are
    fastest together, and their number changes no result."""
    chosen = tuned(jobs, None).settings
    return chosen.model_copy(
        update={
            "concurrency": max(1, min(chosen.concurrency, files)),
            "torch_threads": settings().torch_threads or 1,
        }
    )


def _prepare(folder: Path, pairs: list[Pair]) -> None:
    """Raises UsageError where nothing can be written: before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    for place in {one.target.parent for one in pairs}:
        remove_parts(place)


class Report:
    """What people, or machines, are told while files are colorized, and how many ended in which way."""

    def __init__(self, files: int, *, as_json: bool) -> None:
        self._files, self._as_json = files, as_json
        self._states: Counter[State] = Counter()
        self._unread = 0
        self._display = ProgressDisplay("colorizing")

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._display.__exit__(None, None, None)

    @property
    def failed(self) -> bool:
        return bool(self._states["failed"] or self._unread)

    def tell_found(self, found: Found) -> None:
        """What the search for files came upon beside files."""
        self._unread = len(found.unread)
        for unread in found.unread:
            self._print(Outcome(str(unread.path), None, "unreadable", unread.message))
        for link in found.links:
            self._display.print(f"{link}: a link to a folder is not followed: name it to have it colorized")
        self._display.update(0, self._files)

    def tell(self, outcome: Outcome) -> None:
        self._states[outcome.state] += 1
        self._print(outcome)
        self._display.update(self._states.total(), self._files)

    def summary(self) -> str:
        """All counts, in one line."""
        parts = [
            f"{self._states[state]:,} {words}"
            for state, words in STATES.items()
            if self._states[state] or state in ("new", "there")
        ]
        if self._unread:
            parts.append(f"{self._unread:,} folders not read")
        if left := self._files - self._states.total():
            parts.append(f"{left:,} left for the same command again")
        return ", ".join(parts)

    def _print(self, outcome: Outcome) -> None:
        if self._as_json:
            print(json.dumps(asdict(outcome)), flush=True)
        elif outcome.message and outcome.state != "passed-over":
            words = (outcome.file, outcome.reason, outcome.message)
            self._display.print(": ".join(word for word in words if word))
