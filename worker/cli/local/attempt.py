"""One file to its result: what a process does with each that it is handed."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from photochrom.worker.cli.local.results import Existing, Work, existing, write_whole
from photochrom.worker.cli.local.targets import Pair
from photochrom.worker.digest import sha256_of
from photochrom.worker.errors import ImageFault, OutOfMemoryFault, PhotochromError, RetryableError
from photochrom.worker.jobs.provenance import Standing
from photochrom.worker.jobs.quarantine import POISON
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.stated import statement_in
from photochrom.worker.settings import Settings

if TYPE_CHECKING:
    from photochrom.worker.inference.engine import Engine

CONFLICTS_BORNE = 5

State = Literal["new", "replaced", "there", "passed-over", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one file: written to `output`, there already, or not, for a `reason`.

    `luma` says how the gray came there: exact, spliced, transcoded or reencoded; `notes` what else is to be known.
    """

    file: str
    output: str | None
    reason: str | None = None
    message: str | None = None
    luma: str | None = None
    notes: tuple[str, ...] = ()
    state: State = "failed"


@dataclass(frozen=True)
class Request:
    """What is asked for all files: a model by its SHA-256, options, and whether to `overwrite` what is no result of the
    same source."""

    model_sha256: str
    options: Options
    overwrite: bool


LoadEngine = Callable[[], "Engine"]


class Attempt:
    """Colorizes files one after another, from several threads if need be. The engine is loaded for the first of them
    that needs it, so that a second run over what is there already loads none."""

    def __init__(self, request: Request, settings: Settings, load: LoadEngine) -> None:
        self._request, self._settings, self._load = request, settings, load
        self._limits = Limits.of(settings)
        self._engine: Engine | None = None
        self._loading = threading.Lock()

    def __call__(self, pair: Pair) -> Outcome:
        """Raises WorkerFault and UsageError for what no other file would be spared."""
        try:
            for _ in range(CONFLICTS_BORNE):
                try:
                    return self._try(pair)
                except RetryableError:
                    continue  # another process wrote there: it may be what is wanted
                except OSError as error:
                    raise ImageFault("unreadable", error.strerror or str(error)) from error
            raise ImageFault("destination-taken", f"{pair.target} is being written by others all the time")
        except ImageFault as fault:
            return Outcome(str(pair.source), None, fault.reason, str(fault))
        except OutOfMemoryFault as fault:
            return Outcome(str(pair.source), None, POISON, str(fault))
        except (PhotochromError, ImportError):
            raise
        except Exception as error:  # of this file, whatever it is: the others are not to suffer for it
            return Outcome(str(pair.source), None, POISON, f"an unexpected {type(error).__name__}: {error}")

    def _try(self, pair: Pair) -> Outcome:
        with self._opened(pair.source) as file:
            if statement_in(file, self._limits):
                return Outcome(str(pair.source), None, "result", "it is a result of Photochrom", state="passed-over")
            options = self._request.options.with_format(pair.format)
            work = Work(sha256_of(file), self._request.model_sha256, options.identity())
            found = existing(pair.target, self._limits)
            _check_not_source(file, found)
            if found and self._is_current(pair.target, found, work):
                assert found.stated
                return Outcome(str(pair.source), str(pair.target), luma=found.stated.how or None, state="there")
            return self._write(file, pair, options, work, found)

    def _opened(self, source: Path) -> BinaryIO:
        """Raises OSError, also for what is no file and would be waited for without end; ImageFault ("too-large")."""
        status, most = source.stat(), self._settings.max_bytes
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "it is not a file")
        if status.st_size > most:
            raise ImageFault("too-large", f"{status.st_size:,} bytes are more than the limit of {most:,}")
        return source.open("rb")

    def _is_current(self, target: Path, found: Existing, work: Work) -> bool:
        """Raises ImageFault ("destination-taken") for what may not be replaced."""
        standing = work.standing(found.stated)
        if stat.S_ISDIR(found.status.st_mode):
            raise ImageFault("destination-taken", f"{target} is a folder")
        if standing is Standing.FOREIGN and not self._request.overwrite:
            what = "is a result of another source" if found.stated else "is there already, and no result of this source"
            raise ImageFault("destination-taken", f"{target} {what}: --overwrite replaces it")
        return standing is Standing.CURRENT

    def _write(self, file: BinaryIO, pair: Pair, options: Options, work: Work, found: Existing | None) -> Outcome:
        from photochrom.worker.coloring.colorize import colorize_file

        written = colorize_file(file, self._engine_of_this_process(), self._settings, options, work.source_sha256)
        with written.body:
            if sha256_of(file) != work.source_sha256:
                raise ImageFault("changed", f"{pair.source} was changed while it was colorized")
            write_whole(written.body, pair.target, found)
        outcome = Outcome(str(pair.source), str(pair.target), luma=written.how, notes=written.notes, state="new")
        return replace(outcome, state="replaced", message=_on_replaced(found)) if found else outcome

    def _engine_of_this_process(self) -> Engine:
        with self._loading:
            self._engine = self._engine or self._load()
            return self._engine


def _check_not_source(source: BinaryIO, found: Existing | None) -> None:
    """Raises ImageFault ("destination-taken") for a target that is the source under a name in other letters' case.

    A further hard link to it is a name of its own, and may be taken.
    """
    status = os.fstat(source.fileno())
    if found and status.st_nlink == 1 and os.path.samestat(status, found.status):
        raise ImageFault("destination-taken", "its result would take its own place")


def _on_replaced(found: Existing) -> str | None:
    """In words, where what was replaced could not be compared in all that matters."""
    if found.stated is None:
        return "a file that is no result was replaced"
    return "a result that does not say its options was replaced" if found.stated.options is None else None
