"""Where keys come from: a prefix, a manifest of one's own, an S3 Inventory.

Each source gives keys in a fixed order, each with a cursor from which any control process can go on.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

from photochrom.producer.records.submission import Request, Submission, plan
from photochrom.worker.errors import UsageError
from photochrom.worker.jobs.messages import MOST_ETAG_LETTERS, MOST_KEY_BYTES, MOST_SIZE
from photochrom.worker.s3.store import Listed, Location, NotFoundError, Store
from photochrom.worker.settings import Settings

MOST_RECORD_LETTERS = 65_536
"""Of a line of a manifest, or of lines that quotation marks make one record. A key has 1,024 bytes."""

MOST_INVENTORY_BYTES = 16 * 2**20
"""Of an inventory's manifest.json, which names the files that it consists of."""


class Entry(NamedTuple):
    """A wanted key, and the cursor behind it."""

    listed: Listed
    cursor: str


class Look(NamedTuple):
    """One look at a source: a key that is wanted, or None for anything else, and the cursor behind it."""

    wanted: Listed | None
    cursor: str


def entries(submission: Submission, store: Store, after: str = "") -> Iterator[Entry]:
    """The wanted keys of a submission's source behind the cursor `after` (empty: from the beginning).

    Raises UsageError for a manifest that is not there, or that cannot be read at some line.
    """
    return (Entry(look.wanted, look.cursor) for look in looks(submission, store, after) if look.wanted)


def looks(submission: Submission, store: Store, after: str = "") -> Iterator[Look]:
    """The same source key by key, wanted or not: whoever has little time can stop before the next wanted one.

    Raises what `entries` does.
    """
    source = Location.parse(submission.task.source).folder()
    if submission.manifest is None:
        found = _of_prefix(source, store, after)
    else:
        found = _of_manifest(Location.parse(submission.manifest), source.prefix, store, after)
    want = submission.filters.want
    return (look if look.wanted and want(look.wanted) else Look(None, look.cursor) for look in found)


def wanted(request: Request, settings: Settings) -> Iterator[Entry]:
    """The keys that a submission of this request would have, without making one.

    Raises UsageError for a request that cannot be carried out, and later for what `entries` does.
    """
    submission = Submission(
        name="not-submitted", task=plan(request, settings), manifest=request.manifest, filters=request.filters
    )
    return entries(submission, Store(settings))


def _of_prefix(source: Location, store: Store, after: str) -> Iterator[Look]:
    """Objects in a folder and below; the cursor is the key."""
    for answer in store.list_by_answer(source, after):
        for listed in answer:
            after = listed.key
            yield Look(listed, after)
        if not answer:
            yield Look(None, after)


def _of_manifest(place: Location, below: str, store: Store, after: str) -> Iterator[Look]:
    """Keys of a manifest file; of an inventory, which is of a whole bucket, those that begin with `below`.

    The cursor is the number of the file (an inventory has several) and of the line. What is before it has to be read
    to be passed over; meanwhile the cursor stays.
    """
    suffix = place.prefix.rpartition(".")[2].lower()
    start_file, start_line = (int(part) for part in (after or "0:0").split(":"))
    if suffix == "json":
        files, parse = _inventory(place, below, store)
    elif suffix in PARSERS:
        files, parse = [place], PARSERS[suffix]
    else:
        raise UsageError(f"{place}: a manifest ends in .txt, .csv, .jsonl, or is an inventory's manifest.json")
    for number, file in enumerate(files[start_file:], start_file):
        first = start_line if number == start_file else 0
        for line, listed in enumerate(_parsed(file, store, parse)):
            yield Look(listed, f"{number}:{line + 1}") if line >= first else Look(None, after)


def _parsed(file: Location, store: Store, parse: Parser) -> Iterator[Listed | None]:
    try:
        stream: Any = store.open(file.bucket, file.prefix)
    except NotFoundError as error:
        raise UsageError(f"there is no manifest {file}") from error
    if file.prefix.endswith(".gz"):
        stream = gzip.GzipFile(fileobj=stream)
    with io.TextIOWrapper(stream, encoding="utf-8", newline="") as lines:
        counted = _Counted(lines)
        try:
            for listed in parse(counted):
                counted.letters = 0
                yield listed
        except (ValueError, csv.Error, EOFError, gzip.BadGzipFile, zlib.error, RecursionError) as error:
            raise UsageError(f"{file}: line {max(counted.number, 1)} cannot be read: {error}") from error


class _Counted:
    """Lines, how many of them were read, and how many letters since somebody began to count them anew."""

    def __init__(self, lines: io.TextIOBase) -> None:
        self._lines = lines
        self.number = self.letters = 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> str:
        line = self._lines.readline(MOST_RECORD_LETTERS + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.letters += len(line)
        if self.letters > MOST_RECORD_LETTERS:
            raise ValueError(f"it is longer than {MOST_RECORD_LETTERS:,} letters")
        return line


Parser = Callable[[Iterable[str]], Iterator[Listed | None]]
"""From lines to keys, one for each line or record; None for one that says nothing."""


def _text(lines: Iterable[str]) -> Iterator[Listed | None]:
    """One key a line."""
    for line in lines:
        key = line.rstrip("\r\n")
        yield _listed({"key": key}) if key else None


def _csv(lines: Iterable[str]) -> Iterator[Listed | None]:
    """A header with `key`, and if known `etag` and `size`."""
    for row in csv.DictReader(lines):
        yield _listed(row)


def _json_lines(lines: Iterable[str]) -> Iterator[Listed | None]:
    """One object a line with `key`, and if known `etag` and `size`."""
    for line in lines:
        yield _listed(json.loads(line)) if line.strip() else None


PARSERS: dict[str, Parser] = {"txt": _text, "csv": _csv, "jsonl": _json_lines, "ndjson": _json_lines}


def _listed(row: Any) -> Listed:
    """Raises ValueError for what is no key."""
    if not isinstance(row, dict) or not isinstance(row.get("key"), str):
        raise ValueError("it has no key")
    key, size = row["key"], row.get("size")
    etag = str(row.get("etag") or "").strip('"')
    if not 0 < len(key.encode()) <= MOST_KEY_BYTES:
        raise ValueError(f"a key has 1 to {MOST_KEY_BYTES} bytes")
    if len(etag) > MOST_ETAG_LETTERS - 2:
        raise ValueError(f"an ETag has at most {MOST_ETAG_LETTERS - 2} letters")
    if size is not None and not isinstance(size, (str, int)):
        raise ValueError(f"{size!r} is no size")
    bytes_of = int(size) if size not in (None, "") else None
    if bytes_of is not None and not 0 <= bytes_of <= MOST_SIZE:
        raise ValueError(f"{size} is no size")
    return Listed(key, f'"{etag}"' if etag else "", bytes_of)


def _inventory(place: Location, below: str, store: Store) -> tuple[list[Location], Parser]:
    """The data files of an S3 Inventory in CSV, and how their columns are read (keys there are URL-encoded)."""
    try:
        stored = store.get(place.bucket, place.prefix, most=MOST_INVENTORY_BYTES)
        if stored.size > MOST_INVENTORY_BYTES:
            raise UsageError(f"{place}: {stored.size:,} bytes are too many for an inventory's manifest")
        manifest = json.loads(stored.data)
        columns = [column.strip() for column in manifest["fileSchema"].split(",")]
        bucket = manifest["destinationBucket"].rpartition(":")[2]
        files = [Location(bucket, file["key"]) for file in manifest["files"]]
        form, key = manifest["fileFormat"], columns.index("Key")
    except NotFoundError as error:
        raise UsageError(f"there is no manifest {place}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{place} is no manifest of an S3 Inventory: {error}") from error
    if form != "CSV":
        raise UsageError(f"{place}: an inventory in {form} cannot be read, only in CSV")

    def parse(lines: Iterable[str]) -> Iterator[Listed | None]:
        for cells in csv.reader(lines):
            row = dict(zip(columns, cells, strict=True))
            if row.get("IsLatest", "true") == "false" or row.get("IsDeleteMarker", "false") == "true":
                yield None
                continue
            found = _listed({"key": unquote(cells[key]), "etag": row.get("ETag"), "size": row.get("Size")})
            yield found if found.key.startswith(below) else None  # an inventory is of a whole bucket

    return files, parse
