"""What a figure was measured on, in one line; and what processes have taken of it, from /proc."""

from __future__ import annotations

import os
import platform
from pathlib import Path

FEATURES = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")

PROC = Path("/proc")

SESSION, USER_TICKS, END_OF_TICKS = 3, 11, 15
"""Places in /proc/PID/stat, counted from behind the name: proc(5)'s fields 6, and 14 to 17."""


def describe() -> str:
    """Processor, cores that may be used, memory, what the processor multiplies fast, and Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    told = _cpuinfo()
    flags = told.get("flags", told.get("Features", "")).split()
    features = [name for name in FEATURES if name in flags]
    processor = told.get("model name") or platform.processor() or "unknown processor"
    return (
        f"{processor}, {platform.machine()}, {cores} cores, {memory:.0f} GiB, "
        f"{' '.join(features) or 'no vector features known'}, {platform.system()}, Python {platform.python_version()}"
    )


def _cpuinfo() -> dict[str, str]:
    """What /proc/cpuinfo says of the first core; nothing where there is none."""
    try:
        first = (PROC / "cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_seconds(leader: int | None) -> float:
    """User and system time, in seconds, of a process that leads a session, with all that lives and ended in it.

    0.0 without a process, and where there is no /proc.
    """
    ticks = sum(sum(map(int, stat[USER_TICKS:END_OF_TICKS])) for stat in session(leader).values())
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes() -> int:
    """Memory that this process holds now."""
    return int((PROC / "self" / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def session(leader: int | None) -> dict[int, list[str]]:
    """The processes of the session that a process leads: of each the fields of its stat behind its name, which may hold
    blanks and brackets.
    """
    found = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            stat = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if stat[SESSION] == str(leader):
            found[int(path.parent.name)] = stat
    return found
