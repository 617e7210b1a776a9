"""Running out of memory or of disk: the one seam where the machine's errors become ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from photochrom.worker.errors import DiskFullFault, OutOfMemoryFault

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def shortages_translated() -> Iterator[None]:
    """Raises OutOfMemoryFault for a MemoryError, DiskFullFault for a disk or a quota that is full; the rest passes."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryFault("out of memory") from error
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DiskFullFault(f"no room on the disk: {error}") from error
