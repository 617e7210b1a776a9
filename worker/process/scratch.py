"""Room for a file that is worked on: in memory while it is small, then on the disk."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

IN_MEMORY = 64 * 2**20
"""Bytes beyond which a file goes to the folder for temporary files (TMPDIR), so that memory stays flat."""


def scratch() -> BinaryIO:
    """An empty file, gone once it is closed."""
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY))
