"""The story without queue and S3: files of this machine, one after another."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, get_args

from rich.console import Console
from rich.progress import track

from worker.colorize import colorize_file
from worker.engine import Engine, prepare_process
from worker.errors import ImageFault, UsageError, WorkerFault
from worker.job import READ_ONLY, SUFFIXES, Format, output_name
from worker.models.registry import CHAMPION, Registry, starter, starters
from worker.photo.jpeg import jpegtran
from worker.photo.options import Options
from worker.settings import JpegProfile, settings
from worker.store import Store


class Wish(NamedTuple):
    """What is asked for by word: the results' format, and how JPEG is coloured. None is the default."""

    format: str | None
    jpeg: str | None


@dataclass(frozen=True)
class Outcome:
    """What became of one file: written to `output`, or not, for a `reason`.

    `luma` says how the gray came there: exact, spliced, transcoded or reencoded; `notes` what else is to be known.
    """

    file: str
    output: str | None
    reason: str | None = None
    message: str | None = None
    luma: str | None = None
    notes: tuple[str, ...] = ()


def colorize_files(files: list[Path], folder: Path, wish: Wish, model: str, *, as_json: bool) -> int:
    """Colour files and folders of files into `folder`; gives back how many could not be coloured.

    Raises UsageError before anything is written: for an unknown format, a missing file or program, two results of one
    name, or a result that would replace its source.
    """
    options = _options(wish)
    pairs = _plan(files, folder, options.format)
    prepare_process(threads=settings().concurrency)
    engine = load_engine(model)
    console = Console(stderr=True)
    failed = 0
    for source, target in track(pairs, "colouring", console=console, disable=not console.is_terminal):
        outcome = _colorize_file(source, target, options, engine)
        failed += outcome.output is None
        if as_json:
            print(json.dumps(asdict(outcome)), flush=True)
        elif outcome.output is None:
            print(f"{source}: {outcome.reason}: {outcome.message}", file=sys.stderr)
    if not as_json:
        print(f"{len(pairs) - failed} of {len(pairs)} photographs coloured by {engine.card.name} into {folder}")
    return failed


def load_engine(model: str) -> Engine:
    """The engine of a model: a starter's name, a checkpoint's path, or `champion` or a version of the state bucket.

    Only the last two ask S3. Raises CheckpointError, UsageError, RetryableError.
    """
    if model.endswith(".safetensors"):
        return Engine.load(Path(model))
    if model in starters():
        return Engine.load(starter(model))
    registry = Registry(Store(settings()), settings())
    found = registry.pointer().promotion.sha256 if model == CHAMPION else registry.resolve(model)
    return Engine.load(registry.weights(found))


def _options(wish: Wish) -> Options:
    if wish.format not in (None, *get_args(Format)):
        raise UsageError(f"unknown format {wish.format!r}: there are {', '.join(get_args(Format))}")
    if wish.jpeg not in (None, *get_args(JpegProfile)):
        raise UsageError(f"unknown JPEG profile {wish.jpeg!r}: there are {', '.join(get_args(JpegProfile))}")
    options = Options.of(settings(), wish.format, wish.jpeg)  # type: ignore[arg-type]
    if options.jpeg == "compatible":
        jpegtran.require()
    return options


def _plan(files: list[Path], folder: Path, format: Format | None) -> list[tuple[Path, Path]]:
    pairs = [(source, folder / output_name(name, format)) for source, name in _found(files)]
    sources = {source.resolve() for source, _ in pairs}
    targets: dict[Path, Path] = {}
    for source, target in pairs:
        if target.resolve() in sources:
            raise UsageError(f"{target} is a source itself: choose another folder for --to")
        if target in targets:
            raise UsageError(f"{source} and {targets[target]} would both become {target}")
        targets[target] = source
    if not pairs:
        raise UsageError(f"no photographs there ({', '.join(SUFFIXES)})")
    return pairs


def _found(files: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each file with its name in the results: a folder's files keep their place below it."""
    for path in files:
        if path.is_dir():
            inside = (file for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES)
            yield from ((file, str(file.relative_to(path))) for file in inside)
        elif path.is_file():
            yield path, path.name
        else:
            raise UsageError(f"{path} is not there")


def _colorize_file(source: Path, target: Path, options: Options, engine: Engine) -> Outcome:
    try:
        with source.open("rb") as file:
            options = options.with_format(READ_ONLY.get(source.suffix.lower()))
            written = colorize_file(file, engine, settings(), options)
    except ImageFault as fault:
        return Outcome(str(source), None, fault.reason, str(fault))
    except OSError as error:
        return Outcome(str(source), None, "unreadable", str(error))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written.body, target.open("wb") as file:
            shutil.copyfileobj(written.body, file)
    except OSError as error:
        raise WorkerFault(f"{target} cannot be written: {error.strerror}") from error
    return Outcome(str(source), str(target), luma=written.how, notes=written.notes)
