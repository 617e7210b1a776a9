"""What a figure was measured on, in one line."""

from __future__ import annotations

import os
import platform
from pathlib import Path

FEATURES = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


def describe() -> str:
    """Processor architecture, cores that may be used, memory, what the processor multiplies fast, and Python."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    features = [name for name in FEATURES if name in flags]
    return (
        f"{platform.machine()}, {cores} cores, {memory:.0f} GiB, {' '.join(features) or 'no vector features known'}, "
        f"{platform.system()}, Python {platform.python_version()}"
    )
