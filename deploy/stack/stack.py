"""A whole Photochrom on this machine: the servers it needs, one control process, workers; for the demo and the tests.

What the settings already name (PHOTOCHROM_REDIS_URL, PHOTOCHROM_S3_ENDPOINT) is used; the rest is started here, and
nothing of it is left when the `with` block ends, however it ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.servers import HOST, SeaweedFS, Valkey
from photochrom.worker.errors import UsageError
from photochrom.worker.queue.app import READY_FILE
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import PREFIX, Settings

READY_DEADLINE = 180.0  # seconds; a worker imports torch and loads its model, on a machine that may be busy
STOP_PATIENCE = 60.0  # seconds before SIGKILL; a worker finishes the image in its hands

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # Ctrl-C raises by itself
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
OTHER_CREDENTIALS = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
HOUSE = Path(__file__).parents[3]  # where the children import the same code from


class Stack:
    """Use it as `with Stack(...) as stack`; in the main thread it also ends in order on SIGTERM and SIGHUP.

    `read` and `write` are the s3:// locations that workers may read and write; their buckets are created.
    `workers` is the number of worker processes, by default PHOTOCHROM_CONCURRENCY: one per core.
    `environment` is added to that of control and workers: settings for a test, say.
    `folder` holds data and logs and is kept; without one they lie in a temporary folder that is removed.
    """

    def __init__(
        self,
        *,
        read: Sequence[str] = ("s3://photochrom-in/",),
        write: Sequence[str] = ("s3://photochrom-out/",),
        workers: int | None = None,
        control: bool = True,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._given = Settings()
        self._locations = [Location.parse(url) for url in (*read, *write)]
        self._counts = (int(control), self._given.concurrency if workers is None else workers)
        self._folder = folder
        self._ends = ExitStack()
        self._handlers: dict[int, Any] = {}
        self.environment: dict[str, str] = {
            "PHOTOCHROM_REDIS_URL": self._given.redis_url.get_secret_value(),
            "PHOTOCHROM_S3_ENDPOINT": self._given.s3_endpoint or "",
            "PHOTOCHROM_STATE_BUCKET": self._given.state_bucket,
            "PHOTOCHROM_READ_FROM": ",".join(read),
            "PHOTOCHROM_WRITE_TO": ",".join(write),
            "AWS_EC2_METADATA_DISABLED": "true",
            **ONE_THREAD,
            "PHOTOCHROM_TORCH_THREADS": "1",
            **(environment or {}),
        }
        self.redis: Valkey | None = None
        self.s3: SeaweedFS | None = None
        self.control: Process | None = None
        self.training: Process | None = None
        self.workers: dict[str, Process] = {}

    def __enter__(self) -> Stack:
        usable = (number for number in ENDING_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN)
        self._handlers = _handle(dict.fromkeys(usable, _end_this_process))
        try:
            self._start_all()
        except BaseException:
            self._end_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end_all()

    @property
    def folder(self) -> Path:
        """Of the data and logs, for the user alone."""
        if self._folder is None:
            raise UsageError("the stack has not been started")
        return self._folder

    @property
    def settings(self) -> Settings:
        """The settings of this stack's processes, made without touching this process's environment."""
        named = {name.removeprefix(PREFIX).lower(): value for name, value in self.environment.items()}
        return Settings.model_validate({name: named[name] for name in Settings.model_fields if name in named})

    @contextmanager
    def exported(self) -> Iterator[Settings]:
        """Within the block this process has the stack's environment as its own: boto3 finds the S3 credentials there.

        Not for several threads with a stack each.
        """
        before, wanted = dict(os.environ), self._whole_environment()
        try:
            os.environ.clear()
            os.environ.update(wanted)
            yield self.settings
        finally:
            os.environ.clear()
            os.environ.update(before)

    def start_control(self) -> Process:
        """Start the control process, or start it again after its end. Raises WorkerFault with the end of its log."""
        self.control = self._launch("control", ["control"])
        self._await_ready(self.control)
        return self.control

    def start_training(self) -> Process:
        """Start the training process, or start it again after its end. Raises WorkerFault with the end of its log."""
        self.training = self._launch("training", ["training"])
        self._await_ready(self.training)
        return self.training

    def start_worker(self, name: str) -> Process:
        """Start a worker process, or start it again after its end. Raises WorkerFault with the end of its log."""
        self.workers[name] = self._launch_worker(name)
        self._await_ready(self.workers[name])
        return self.workers[name]

    def stop(self, process: Process, with_signal: int = signal.SIGTERM) -> None:
        """End one process and wait for its end; with SIGKILL its children die with it."""
        process.stop(with_signal, STOP_PATIENCE)

    def check(self) -> None:
        """Raises WorkerFault, with the end of its log, if a process has ended that nobody stopped."""
        for process in self.everything():
            process.check()

    def everything(self) -> list[Process]:
        """The processes of the embedded servers and of all roles."""
        servers = [server.process for server in (self.redis, self.s3) if server]
        return [*servers, *self._processes()]

    def _start_all(self) -> None:
        """Servers, buckets, processes; each thing's end is noted before its start, so that none is left behind."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="photochrom-"))
            self._ends.callback(shutil.rmtree, self._folder, ignore_errors=True)
        (self._folder / "log").mkdir(mode=0o700, parents=True, exist_ok=True)
        self._start_servers(self._folder)
        self._create_buckets()
        self._ends.callback(self._stop_processes)
        controls, workers = self._counts
        if controls:
            self.control = self._launch("control", ["control"])
        for number in range(1, workers + 1):
            self.workers[f"worker{number}"] = self._launch_worker(f"worker{number}")
        for process in self._processes():
            self._await_ready(process)

    def _end_all(self) -> None:
        """Processes first, then the servers they need, then the folder. Takes no signal: it takes bounded time."""
        ignored = _handle(dict.fromkeys((signal.SIGINT, *ENDING_SIGNALS), signal.SIG_IGN))
        try:
            self._ends.close()
        finally:
            _handle(ignored | self._handlers)

    def _start_servers(self, folder: Path) -> None:
        if "redis_url" not in self._given.model_fields_set:
            self.redis = Valkey(folder / "redis")
            self._ends.callback(self.redis.stop)
            self.redis.start()
            self.environment["PHOTOCHROM_REDIS_URL"] = self.redis.url
        if not self._given.s3_endpoint:
            self.s3 = SeaweedFS(folder / "s3")
            self._ends.callback(self.s3.stop)
            self.s3.start()
            self.environment |= {
                "PHOTOCHROM_S3_ENDPOINT": self.s3.url,
                "AWS_ACCESS_KEY_ID": self.s3.access_key,
                "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
                **dict.fromkeys(("NO_PROXY", "no_proxy"), HOST),
            }

    def _create_buckets(self) -> None:
        with self.exported() as settings:
            store = Store(settings)
            for bucket in dict.fromkeys((settings.state_bucket, *(place.bucket for place in self._locations))):
                store.create_bucket(bucket)

    def _whole_environment(self) -> dict[str, str]:
        """Of the children: ours, less what would stand against the embedded server's credentials, and the stack's."""
        dropped = OTHER_CREDENTIALS if self.s3 else ()
        ours = {name: value for name, value in os.environ.items() if name not in dropped}
        return ours | self.environment

    def _launch_worker(self, name: str) -> Process:
        return self._launch(name, ["worker", "--concurrency", "1", "--name", name])

    def _launch(self, name: str, arguments: list[str]) -> Process:
        """Start `photochrom ARGUMENTS` in the stack's folder, where whatever it drops is swept up."""
        for earlier in self._processes():
            if earlier.name == name:
                if earlier.running:
                    raise UsageError(f"{name} is running already")
                earlier.stop()
        command = [sys.executable, "-m", "photochrom.deploy.cli", *arguments]
        process = Process(name, command, self.folder, self.folder / "log" / f"{name}.log")
        self._ready_file(name).unlink(missing_ok=True)
        environment = self._whole_environment()
        path = os.pathsep.join(filter(None, (str(HOUSE), environment.get("PYTHONPATH"))))
        process.start(environment | {"PYTHONPATH": path, READY_FILE: str(self._ready_file(name))})
        return process

    def _await_ready(self, process: Process) -> None:
        process.wait_until(self._ready_file(process.name).exists, READY_DEADLINE)

    def _ready_file(self, name: str) -> Path:
        return self.folder / f"{name}.ready"

    def _processes(self) -> list[Process]:
        return [*filter(None, (self.control, self.training)), *self.workers.values()]

    def _stop_processes(self) -> None:
        """All at once, each with time to finish what it has in hand."""
        if processes := self._processes():
            with ThreadPoolExecutor(len(processes)) as pool:
                list(pool.map(self.stop, processes))


def _handle(handlers: Mapping[int, Any]) -> dict[int, Any]:
    """Set signal handlers and give back those they replace; outside the main thread there is nothing to set."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) or signal.SIG_DFL for number, handler in handlers.items()}


def _end_this_process(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
