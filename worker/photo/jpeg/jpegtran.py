"""Two transformations by libjpeg's `jpegtran`: DCT coefficients stay, only how they are coded changes.

It is a program of its own (Debian: libjpeg-turbo-progs), fed and read through pipes.
"""

from __future__ import annotations

import shutil
import subprocess

from photochrom.worker.errors import ImageFault, UsageError, WorkerFault

NAME = "jpegtran"

MOST_SECONDS = 120
"""Far above what it takes (76 ms at 12 MP): a guard against a file made to keep it busy."""


def is_there() -> bool:
    """Whether `jpegtran` is installed."""
    return shutil.which(NAME) is not None


def require() -> None:
    """Raises UsageError where `jpegtran` is not installed."""
    if not is_there():
        raise UsageError(
            "the JPEG profile 'compatible' needs the program jpegtran (Debian: apt install libjpeg-turbo-progs)"
        )


def interleave(jpeg: bytes) -> bytes:
    """The same picture in one interleaved scan, for readers that cannot take one scan a component.

    Raises WorkerFault where `jpegtran` is not installed.
    """
    return _run(jpeg, "-copy", "all", "-optimize")


def luma_only(jpeg: bytes) -> bytes:
    """The luma of a YCbCr JPEG as a gray one. Raises ImageFault ("unsupported") for one of other components."""
    return _run(jpeg, "-copy", "all", "-grayscale")


def _run(jpeg: bytes, *options: str) -> bytes:
    try:
        done = subprocess.run([NAME, *options], input=jpeg, capture_output=True, check=True, timeout=MOST_SECONDS)
    except FileNotFoundError as error:
        raise WorkerFault(f"{NAME} is not installed on this worker") from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise ImageFault("unsupported", f"jpegtran cannot take it: {said[-1] if said else error}") from error
    return done.stdout
