"""The page on which Prometheus finds a process's metrics: of the parent and its children together, from the parent.

Children add up their counters in files (prometheus_client's multi-process mode). Which mode it is in is decided when
prometheus_client is imported, so that the folder is made known before anything that counts is loaded.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import signals

from photochrom.worker.errors import UsageError
from photochrom.worker.settings import settings
from photochrom.worker.version import VERSION

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector, CollectorRegistry

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder of the files; prometheus_client's own name for it."""

_FILE = re.compile(r"(?:counter|histogram|summary|gauge_[a-z]+)_(\d+)\.db")

_REST = 0
"""Stands where the number of a process stands: the files with the sums of all children that have ended."""

_server: list[Any] = []
_beside: list[Collector] = []


def prepare(several: bool) -> None:
    """Called before anything that counts is loaded: `several` processes need a folder, and one may have one.

    What an earlier process left in it is removed. A folder that nobody named is removed at the end.
    """
    if FOLDER not in os.environ and several:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="photochrom-metrics-")
        atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)
    if FOLDER in os.environ:
        folder = Path(os.environ[FOLDER])
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if _FILE.fullmatch(path.name):
                path.unlink(missing_ok=True)


def tell_also(collector: Collector) -> None:
    """From now on the page has this, too, which is found out anew each time that it is asked for."""
    _beside.append(collector)


def serve(port: int, role: str) -> None:
    """Answer Prometheus on a port from now on. Raises UsageError where it is taken."""
    from prometheus_client import start_http_server

    try:
        server, _ = start_http_server(port, registry=registry(role))
    except OSError as error:
        raise UsageError(f"PHOTOCHROM_METRICS_PORT {port} cannot be listened on: {error.strerror}") from error
    _server[:] = [server]


def registry(role: str) -> CollectorRegistry:
    """All that is told of a process of that role, and of its children."""
    from prometheus_client import REGISTRY, CollectorRegistry

    made = CollectorRegistry()
    for collector in (Counted() if FOLDER in os.environ else REGISTRY, Process(role), Beside()):
        made.register(collector)
    return made


class Beside:
    """What was added by `tell_also`, also after the page was there."""

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        for collector in _beside:
            yield from collector.collect()


class Counted:
    """What several processes counted. What is true only of the living is forgotten of those that were killed; what
    they counted is added up in one file of each kind, so that files do not become more with each child that ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # two who ask at once would add up the same file

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        from prometheus_client.multiprocess import MultiProcessCollector

        folder = Path(os.environ[FOLDER])
        with self._lock:
            for path in folder.iterdir():
                found = _FILE.fullmatch(path.name)
                if found and int(found[1]) != _REST and not _is_alive(int(found[1])):
                    _add_to_rest(path)
            collected = list(MultiProcessCollector(None, str(folder)).collect())
        yield from collected


def _add_to_rest(path: Path) -> None:
    """Add up what a process counted that has ended, and remove its file; gauges are true only of the living."""
    from prometheus_client.mmap_dict import MmapedDict

    kind = path.name.partition("_")[0]
    if kind != "gauge":
        with suppress(RuntimeError, ValueError, struct.error):  # it was killed as it began the file
            counted = list(MmapedDict.read_all_values_from_file(str(path)))
            rest = MmapedDict(str(path.with_name(f"{kind}_{_REST}.db")))
            for key, value, timestamp, _ in counted:
                rest.write_value(key, rest.read_value(key)[0] + value, timestamp)
            rest.close()
    path.unlink(missing_ok=True)


class Process:
    """Which process this is, the memory that it and its children take (where there is a /proc), and the disk's room."""

    def __init__(self, role: str) -> None:
        self._role = role

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        yield InfoMetricFamily(
            "photochrom_process",
            "Role (a worker is colorize) and version of this process",
            {"role": self._role, "version": VERSION},
        )
        resident = GaugeMetricFamily(
            "photochrom_resident_bytes", "Memory in use, with what processes share counted for each", labels=["process"]
        )
        own = os.getpid()
        for name, pids in (("main", [own]), ("children", _children(own))):
            resident.add_metric([name], sum(map(_resident_bytes, pids)))
        yield resident
        yield from _disk()


def _disk() -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    free = GaugeMetricFamily("photochrom_disk_free_bytes", "Room that is left on a folder's disk", labels=["folder"])
    whole = GaugeMetricFamily("photochrom_disk_bytes", "Size of a folder's disk", labels=["folder"])
    chosen = settings()
    folders = {
        "temporary": Path(tempfile.gettempdir()),
        "models": chosen.model_cache,
        "training": chosen.training_folder,
    }
    for name, folder in folders.items():
        with suppress(OSError):  # this role has none
            usage = shutil.disk_usage(folder.expanduser())
            free.add_metric([name], usage.free)
            whole.add_metric([name], usage.total)
    yield free
    yield whole


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


@signals.worker_process_init.connect
@signals.beat_embedded_init.connect
def _leave_to_the_parent(**_: object) -> None:
    """In a child: else it would hold the port when its parent was killed, and who comes next could not have it."""
    while _server:
        with suppress(OSError):  # beat has closed it already, with whatever else was open
            _server.pop().socket.close()
