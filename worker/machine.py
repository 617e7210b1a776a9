"""What this machine lets a process have: cores and memory, also where a container is given less than there is.

Linux says it in files; what is not there sets no limit. See cgroups(7), and proc(5) for /proc/self/cgroup.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


class Machine(NamedTuple):
    """`quota` is CPU seconds a second, `memory` bytes; each None where nothing limits it, or nothing says so."""

    affinity: int
    quota: float | None
    memory: int | None

    @property
    def cores(self) -> int:
        """As many processes of full load as have room; at least 1."""
        return max(1, min(self.affinity, round(self.quota) if self.quota else self.affinity))


def machine(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> Machine:
    """What this process may use, now."""
    folders = list(_folders(cgroups, own))
    return Machine(_affinity(), min(_quotas(folders), default=None), min(_memories(folders), default=None))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _folders(cgroups: Path, own: Path) -> Iterator[Path]:
    """This process's control groups and all that they lie in, of version 2 and, under their controllers' names, of 1.

    In a container the path is that on the host, which is not to be seen; then the topmost folder is the container's.
    """
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            inside = PurePosixPath(path.lstrip("/"))
            for part in (inside, *inside.parents):
                yield cgroups / controller / part


def _quotas(folders: list[Path]) -> Iterator[float]:
    for folder in folders:
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        quota = quota or _read(folder / "cpu.cfs_quota_us")
        period = period or _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)  # "max" and -1 are no limit


def _memories(folders: list[Path]) -> Iterator[int]:
    """Version 1 says "no limit" with a number beyond every memory: the machine's own is smaller."""
    if "SC_PHYS_PAGES" in os.sysconf_names:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in folders:
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _read(folder / name)
            if limit.isdigit():
                yield int(limit)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
