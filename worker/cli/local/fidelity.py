"""A result beside its original, as files of this machine: given back from it, or compared with it."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from photochrom.worker.cli.local.results import write_whole
from photochrom.worker.cli.terminal import printable
from photochrom.worker.errors import ImageFault, RetryableError, UsageError
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg import kept
from photochrom.worker.settings import settings
from photochrom.worker.verify import verify


def restore_file(coloured: Path, to: Path) -> None:
    """Write the original that a coloured JPEG keeps, whole or not at all.

    Raises UsageError where that cannot be, DiskFullFault, WorkerFault.
    """
    try:
        original = kept.restore(coloured.read_bytes(), Limits.of(settings()))
        write_whole(io.BytesIO(original), to, replaced=None)
    except ImageFault as fault:
        raise UsageError(f"{coloured}: {fault}") from fault
    except RetryableError as error:
        raise UsageError(f"{to} is there already") from error
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error


def verify_file(coloured: Path, original: Path, *, as_json: bool) -> bool:
    """Print how a result compares with its original; whether all is there. Raises UsageError."""
    findings = verify(coloured, original, settings().max_pixels)
    table = Table("", "", "")
    for finding in findings:
        table.add_row(*(Text(printable(cell)) for cell in (finding.what, finding.verdict, finding.detail)))
        if as_json:
            print(json.dumps(asdict(finding)))
    if not as_json:
        Console().print(table)
    return all(finding.ok is not False for finding in findings)
