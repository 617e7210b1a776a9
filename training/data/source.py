"""Where photographs come from: a folder of this machine, or a prefix in S3. What is listed, and the bytes of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from photochrom.worker.errors import AccessDeniedFault, ImageFault, RefusedError, UsageError, WorkerFault
from photochrom.worker.s3.store import Listed, Location, NotFoundError, Store
from photochrom.worker.settings import settings

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")

MOST_BYTES = 128 * 2**20
"""Several files are held at once, and no photograph to learn from needs more."""


class Identity(NamedTuple):
    """What tells one state of a photograph from every other: where it lies, its ETag or time of change, its size."""

    place: str
    etag: str
    size: int


def list_source(source: str, store: Store | None = None) -> list[Listed]:
    """Every photograph under a folder or an `s3://bucket/prefix`, by its suffix, folder by folder in order of names.

    A key is the whole key in S3, or the path below the folder; a file's "ETag" is its time of change in nanoseconds.
    Raises UsageError for no folder; RetryableError and WorkerFault as S3 does.
    """
    found = _list_prefix(Location.parse(source), store) if is_s3(source) else _list_folder(Path(source))
    return sorted(found, key=lambda listed: listed.key.split("/"))


def identity(source: str, listed: Listed) -> Identity:
    """By what a cache knows a listed photograph."""
    return next(identities(source, [listed]))


def identities(source: str, listing: Iterable[Listed]) -> Iterator[Identity]:
    """By what a cache knows each listed photograph."""
    place = f"s3://{Location.parse(source).bucket}" if is_s3(source) else str(Path(source).resolve()).rstrip("/")
    for listed in listing:
        yield Identity(f"{place}/{listed.key}", listed.etag, -1 if listed.size is None else listed.size)


def fetch(source: str, listed: Listed, store: Store | None) -> bytes:
    """The bytes of a listed photograph.

    Raises ImageFault for what this one photograph lacks: "too large", "gone", "changed", "denied", "archived",
    "refused" (encrypted with a key that is disabled, or that only its owner has), "unreadable (...)"; RetryableError
    and WorkerFault as S3 does.
    """
    if (listed.size or 0) > MOST_BYTES:
        raise ImageFault("too large", f"{listed.key} has {listed.size:,} bytes")
    return _fetch_object(source, listed, store) if is_s3(source) else _read_file(Path(source) / listed.key)


def is_s3(source: str) -> bool:
    return source.startswith("s3://")


def store_of(source: str) -> Store | None:
    """The connection that a source needs, as the settings say; none for a folder."""
    return Store(settings()) if is_s3(source) else None


def _list_folder(folder: Path) -> list[Listed]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    files = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    return [
        Listed(path.relative_to(folder).as_posix(), str(stat.st_mtime_ns), stat.st_size)
        for path, stat in ((path, path.stat()) for path in files)
    ]


def _list_prefix(location: Location, store: Store | None) -> list[Listed]:
    assert store, "a prefix in S3 needs a connection"
    return [listed for listed in store.list(location.folder()) if listed.key.lower().endswith(SUFFIXES)]


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageFault("gone", f"{path} is not there any more") from error
    except OSError as error:
        raise ImageFault(f"unreadable ({type(error).__name__})", f"{path}: {error.strerror}") from error


def _fetch_object(source: str, listed: Listed, store: Store | None) -> bytes:
    assert store, "a prefix in S3 needs a connection"
    bucket = Location.parse(source).bucket
    try:
        stored = store.get(bucket, listed.key, MOST_BYTES)
    except NotFoundError as error:
        raise ImageFault("gone", str(error)) from error
    except (WorkerFault, RefusedError) as error:
        next(store.list(Location(bucket, listed.key)), None)  # where this fails as well, it is not the object's doing
        raise ImageFault("denied" if isinstance(error, AccessDeniedFault) else "refused", str(error)) from error
    if stored.size > MOST_BYTES:
        raise ImageFault("too large", f"{listed.key} has {stored.size:,} bytes")
    if listed.etag and stored.etag != listed.etag:
        raise ImageFault("changed", f"{listed.key} is not the one that was listed")
    return stored.data
