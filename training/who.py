"""Who asks: for records that people read."""

from __future__ import annotations

import getpass
import os


def who() -> str:
    """The name of this process's user, or the number where a container knows no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
