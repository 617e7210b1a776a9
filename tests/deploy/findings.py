"""What a check found, and how the programs are run that check with us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds for one program; each takes well under one."""


class Finding(NamedTuple):
    """Something that is not as it should be, and where: a file, or a thing in it."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


def run(
    program: str, *arguments: str, root: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run a program that was installed beside this Python; its exit code, output and errors."""
    path = Path(sys.executable).parent / program
    done = subprocess.run(
        [path, *arguments],
        cwd=root,
        env={"PATH": os.defpath, "HOME": str(root), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout, done.stderr
