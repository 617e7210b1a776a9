"""Photographs at working size on this machine's disk, decoded once for all runs: one SQLite file.

Every photograph is one transaction in a write-ahead log, so that a process that is killed leaves what it had finished,
and several processes work at once. The file has to lie on a disk of this machine: a log is not shared over a network.
Pixels lie under the SHA-256 of the bytes that they came from, losslessly as QOI (qoiformat.org), which decodes some
times faster than PNG; a source's identity leads to the SHA-256.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any

import imagecodecs
import numpy as np

from photochrom.training.data.source import Identity
from photochrom.training.data.working_copy import Traits, WorkingCopy
from photochrom.worker.errors import DiskFullFault, RetryableError, UsageError, WorkerFault
from photochrom.worker.process.exhaustion import shortages_translated

FILE = "photographs-1.sqlite"
"""Another number where working copies, or what is judged of them, become others: an old file is then left alone."""

PAGE_BYTES = 16384
"""Pixels take tens of these; SQLite's own 4096 would make it hundreds."""

BUSY_SECONDS = 60.0
"""For how long another process's transaction is waited for; each takes milliseconds."""

ASKED_AT_ONCE = 2000
"""Photographs in one query: asked for one by one they cost several times as much."""

DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")

SCHEMA = """
CREATE TABLE IF NOT EXISTS photographs (
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, reason TEXT,
    height INTEGER, width INTEGER, fingerprint TEXT, colourfulness REAL, u REAL, v REAL
);
CREATE TABLE IF NOT EXISTS pixels (id INTEGER PRIMARY KEY REFERENCES photographs, qoi BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sources (
    place TEXT, etag TEXT, size INTEGER, sha256 TEXT, reason TEXT, PRIMARY KEY (place, etag, size)
) WITHOUT ROWID;
"""

ADD_PHOTOGRAPH = """
INSERT OR IGNORE INTO photographs (sha256, height, width, fingerprint, colourfulness, u, v)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

FOUND = "SELECT coalesce(s.reason, p.reason), s.sha256, p.height, p.width, p.fingerprint, p.colourfulness, p.u, p.v"

KNOWN = "WITH wanted (place, etag, size) AS ({}) SELECT w.* FROM wanted w JOIN sources USING (place, etag, size)"
FIT = "WITH wanted (sha256) AS ({}) SELECT w.* FROM wanted w JOIN photographs USING (sha256) WHERE reason IS NULL"
ALL_FOUND = f"""
WITH wanted (place, etag, size) AS ({{}}) SELECT w.*, {FOUND.removeprefix("SELECT ")}
FROM wanted w JOIN sources s USING (place, etag, size) LEFT JOIN photographs p USING (sha256)
"""


@dataclass(frozen=True)
class Record:
    """What is known of a listed photograph: its traits, or the reason why it is of no use.

    `sha256` is that of its bytes; empty where they were not to be had.
    """

    sha256: str
    reason: str | None = None
    traits: Traits | None = None


class Cache:
    """The photographs under a folder, which is made if it is not there. Safe to share between threads.

    Raises WorkerFault for a file that is damaged or cannot be opened, DiskFullFault, and RetryableError where other
    processes keep it busy.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder.expanduser() / FILE
        self._lock = threading.RLock()
        with self._translated(), shortages_translated():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may take the last ones, no more
            self._connection.executescript(SCHEMA)

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def record(self, identity: Identity) -> Record | None:
        """What is known of a listed photograph; None where it was not looked at yet."""
        query = f"{FOUND} FROM sources s LEFT JOIN photographs p USING (sha256) WHERE (place, etag, size) = (?, ?, ?)"
        row = self._row(query, identity)
        return row and _record(*row)

    def records(self, identities: Iterable[Identity]) -> Iterator[Record | None]:
        """`record` of each, in the order given."""
        return (row and _record(*row) for row in self._each(ALL_FOUND, identities))

    def knows(self, identities: Iterable[Identity]) -> Iterator[bool]:
        """Of each listed photograph, in the order given, whether it was looked at."""
        return (row is not None for row in self._each(KNOWN, identities))

    def holds(self, sha256s: Iterable[str]) -> Iterator[bool]:
        """Of each SHA-256, in the order given, whether a photograph of these bytes is there and fit to learn from."""
        return (row is not None for row in self._each(FIT, ((sha256,) for sha256 in sha256s)))

    def photograph(self, sha256: str) -> Record | None:
        """What is known of the photograph whose bytes have this SHA-256."""
        query = f"{FOUND} FROM photographs p JOIN (SELECT ? AS sha256, NULL AS reason) s USING (sha256)"
        row = self._row(query, (sha256,))
        return row and _record(*row)

    def pixels(self, sha256: str) -> np.ndarray:
        """Pixels (h, w, 3), RGB uint8, at working size. Raises UsageError where the cache does not have them."""
        row = self._row("SELECT qoi FROM pixels JOIN photographs USING (id) WHERE sha256 = ?", (sha256,))
        if row is None:
            raise UsageError(f"{self._path} does not hold the photograph {sha256[:12]}: prepare the photographs again")
        pixels: np.ndarray = imagecodecs.qoi_decode(row[0])
        return pixels

    def add(self, identity: Identity, sha256: str, found: WorkingCopy | str | None) -> None:
        """Keep what was found behind an identity: a working copy, or the reason why it is of no use.

        None says that the photograph of this SHA-256 is known; an empty SHA-256, that the bytes were not to be had.
        What is there already stays as it is.
        """
        qoi = imagecodecs.qoi_encode(found.pixels) if isinstance(found, WorkingCopy) else None
        with self._lock, self._transaction() as connection:
            if isinstance(found, WorkingCopy):
                traits = found.traits
                values = (sha256, *astuple(traits)[:-1], *traits.mean_chroma)
                added = connection.execute(ADD_PHOTOGRAPH, values)
                if added.rowcount:
                    connection.execute("INSERT INTO pixels (id, qoi) VALUES (?, ?)", (added.lastrowid, qoi))
            elif found and sha256:
                connection.execute("INSERT OR IGNORE INTO photographs (sha256, reason) VALUES (?, ?)", (sha256, found))
            reason = None if sha256 else found
            connection.execute("INSERT OR IGNORE INTO sources VALUES (?, ?, ?, ?, ?)", (*identity, sha256, reason))

    def forget_unfetched(self) -> None:
        """Let a new run look again at what was not to be had: it may have been put back, or allowed."""
        with self._lock, self._transaction() as connection:
            connection.execute("DELETE FROM sources WHERE sha256 = ''")

    def _row(self, query: str, values: tuple[object, ...]) -> Any:
        with self._lock, self._translated():
            return self._connection.execute(query, values).fetchone()

    def _each(self, query: str, keys: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """What the query gives for each key, in the order given: the columns behind the key's own; None for none."""
        left = iter(keys)
        while block := list(islice(left, ASKED_AT_ONCE)):
            width = len(block[0])
            values = ", ".join([f"({', '.join('?' * width)})"] * len(block))
            with self._lock, self._translated():
                rows = self._connection.execute(query.format(f"VALUES {values}"), [*chain(*block)]).fetchall()
            yield from map({row[:width]: row[width:] for row in rows}.get, block)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:  # commits, or rolls back
                yield self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise RetryableError(f"{self._path} is kept busy by other processes") from error
            if name.startswith("SQLITE_FULL"):
                raise DiskFullFault(f"no room on the disk for {self._path}") from error
            hint = "; it may be deleted: it fills again" if name.startswith(DAMAGED) else ""
            raise WorkerFault(f"{self._path}: {error}{hint}") from error
        except OSError as error:
            raise WorkerFault(f"{self._path} cannot be opened: {error.strerror}") from error


def _record(reason: str | None, sha256: str, height: int, width: int, *rest: Any) -> Record:
    if reason is not None:
        return Record(sha256, reason)
    fingerprint, colourfulness, u, v = rest
    return Record(sha256, None, Traits(height, width, fingerprint, colourfulness, (u, v)))
