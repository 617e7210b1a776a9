"""Photochrom: color for archives of grayscale photographs.

This module is the public API. What is in `__all__` keeps its name, its parameters and its meaning within 0.x; a change
is announced one release ahead, with a DeprecationWarning, and stands in the CHANGELOG. Everything below it
(`photochrom.worker` and so on) may change in any release.

    import photochrom

    name = photochrom.submit("s3://archive/scans", "s3://colorized/scans")
    print(photochrom.status(name).line())

    data = photochrom.colorize(Path("scan.tif"))

Functions on submissions need the base installation alone: neither torch nor codecs. `colorize`, `restore` and `verify`
need the extra `worker`. `settings` is always optional: the default is the environment's, `PHOTOCHROM_*`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photochrom.client import (
        Filters,
        Quarantined,
        cancel,
        quarantined,
        redrive,
        report,
        resume,
        status,
        submissions,
        submit,
    )
    from photochrom.photographs import Colorizer, colorize, restore, verify
    from photochrom.producer.records.progress import Progress
    from photochrom.worker.errors import (
        ImageFault,
        PhotochromError,
        RetryableError,
        UsageError,
        WorkerFault,
    )
    from photochrom.worker.settings import Settings
    from photochrom.worker.verify.finding import Finding
    from photochrom.worker.version import VERSION as __version__  # noqa: N811

_PLACES = {
    "photochrom.photographs": ("Colorizer", "colorize", "restore", "verify"),
    "photochrom.producer.records.progress": ("Progress",),
    "photochrom.client": (
        "Filters", "Quarantined", "cancel", "quarantined", "redrive", "report", "resume", "status", "submissions",
        "submit",
    ),
    "photochrom.worker.errors": ("ImageFault", "PhotochromError", "RetryableError", "UsageError", "WorkerFault"),
    "photochrom.worker.settings": ("Settings",),
    "photochrom.worker.verify.finding": ("Finding",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Colorizer",
    "Filters",
    "Finding",
    "ImageFault",
    "PhotochromError",
    "Progress",
    "Quarantined",
    "RetryableError",
    "Settings",
    "UsageError",
    "WorkerFault",
    "__version__",
    "cancel",
    "colorize",
    "quarantined",
    "redrive",
    "report",
    "restore",
    "resume",
    "status",
    "submissions",
    "submit",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: torch is not loaded by a program that only submits."""
    if name == "__version__":
        return import_module("photochrom.worker.version").VERSION
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
