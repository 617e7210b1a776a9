"""What lies where a result belongs, and how a result gets there: whole or not at all, and over nothing unforeseen."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from photochrom.worker.errors import DiskFullFault, ImageFault, RetryableError, WorkerFault
from photochrom.worker.jobs.provenance import Standing
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.metadata.xmp import Statement
from photochrom.worker.photo.stated import statement_in
from photochrom.worker.process.exhaustion import NO_ROOM

PREFIX, SUFFIX = ".photochrom-", ".part"
"""Of the names of files that are being written; no photograph is called so."""

HARDLINKS_MISSING = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
"""What a file system answers that knows no hard links, as FAT and some network drives do."""

BROKEN = (errno.EROFS, errno.EIO, errno.ENODEV, errno.ESTALE)
"""With these no other file can be written either."""


class Work(NamedTuple):
    """What decides a result: source and model by their SHA-256, and the options as `Options.identity` gives them."""

    source_sha256: str
    model_sha256: str
    options: str

    def standing(self, stated: Statement | None) -> Standing:
        """How a file that says this of itself stands to the result of this work.

        What it does not say, as version 0.1 did not say options, does not count. There is no NEWER here: what is asked
        for now replaces what was made before.
        """
        if stated is None or stated.source_sha256 != self.source_sha256:
            return Standing.FOREIGN
        same_model = stated.model_sha256 in ("", self.model_sha256)
        return Standing.CURRENT if same_model and stated.options in (None, self.options) else Standing.OLDER


class Existing(NamedTuple):
    """A file at a result's place: what the file system says of it, and what it says of itself."""

    status: os.stat_result
    stated: Statement | None


def existing(target: Path, limits: Limits) -> Existing | None:
    """What lies at a result's place, links not followed; None for nothing. Raises ImageFault ("destination-taken")."""
    try:
        status = target.lstat()
        if not stat.S_ISREG(status.st_mode):
            return Existing(status, None)
        with target.open("rb") as file:
            return Existing(os.fstat(file.fileno()), statement_in(file, limits))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ImageFault("destination-taken", f"{target} cannot be looked at: {error.strerror}") from error


def write_whole(body: BinaryIO, target: Path, replaced: Existing | None) -> None:
    """Put a file to its place in one step, on the disk before it has its name.

    It takes the place of `replaced`, or of nothing. Raises RetryableError where something else lies there by now;
    ImageFault ("destination-taken", "name-too-long", "unwritable"); DiskFullFault and WorkerFault where no other file
    could be written either.
    """
    with _disk_translated(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _part(target.parent) as (file, part):
            shutil.copyfileobj(body, file)
            file.flush()
            os.fsync(file.fileno())
            if replaced is None:
                _give_new_name(part, target)
            else:
                _check_same(target, replaced)
                part.replace(target)


def remove_parts(folder: Path) -> None:
    """Remove what was being written there by processes that were killed; what still is being written stays."""
    for part in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@contextmanager
def _part(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file, locked while its process lives, and gone afterwards unless it was given another name."""
    while True:
        path = folder / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
        with path.open("xb") as file:
            with suppress(OSError):  # a network drive without locks: nobody tidies up there
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                continue  # taken for left over before it was locked
            try:
                yield file, path
            finally:
                path.unlink(missing_ok=True)
            return


def _give_new_name(part: Path, target: Path) -> None:
    """A hard link fails where something is; where there are none, a look and a rename have to do."""
    try:
        target.hardlink_to(part)
    except FileExistsError as error:
        raise RetryableError(f"{target} was written meanwhile") from error
    except OSError as error:
        if error.errno not in HARDLINKS_MISSING:
            raise
        if os.path.lexists(target):
            raise RetryableError(f"{target} was written meanwhile") from error
        part.rename(target)


def _check_same(target: Path, seen: Existing) -> None:
    now = target.lstat()
    if (now.st_ino, now.st_mtime_ns, now.st_size) != (seen.status.st_ino, seen.status.st_mtime_ns, seen.status.st_size):
        raise RetryableError(f"{target} was changed meanwhile")


@contextmanager
def _disk_translated(target: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ImageFault("destination-taken", f"{error.filename or target} is in the way") from error
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror}"
        if error.errno in NO_ROOM:
            raise DiskFullFault(message) from error
        if error.errno in BROKEN:
            raise WorkerFault(message) from error
        if error.errno == errno.ENAMETOOLONG:
            raise ImageFault("name-too-long", message) from error
        raise ImageFault("unwritable", message) from error
