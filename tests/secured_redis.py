"""The embedded Valkey as deploy/compose.yaml has its Redis: users of deploy/docker/make_secrets.py, and TLS alone.

The embedded build has no TLS of its own: a small server in front of it has the certificate, and hands on what it
deciphers. What clients see, and what they refuse, is the same.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import ssl
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from photochrom.deploy.stack.servers import HOST, Valkey
from tests.deploy.findings import ROOT

MOUNTED = "/run/secrets"
ADDRESS = "redis:6379"
BUCKETS = ("archive", "coloured", "photochrom-state")


def make_secrets() -> Any:
    """deploy/docker/make_secrets.py as a module."""
    spec = importlib.util.spec_from_file_location("make_secrets", ROOT / "deploy/docker/make_secrets.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


class SecuredRedis(Valkey):
    """Valkey with the users of a folder of secrets, reached through `tls_port` with its certificate."""

    tls_port = 0

    def __init__(self, folder: Path, secrets: Path) -> None:
        super().__init__(folder)
        self.secrets = secrets

    def url_of(self, user: str) -> str:
        """As in the folder's file, but for where the server and the certificate are."""
        url = (self.secrets / f"redis_url_{user}").read_text()
        return url.replace(ADDRESS, f"{HOST}:{self.tls_port}").replace(MOUNTED, str(self.secrets))

    @property
    def url(self) -> str:
        """Of a user whom the secrets do not have, past TLS: for the server's own health check, and for tests."""
        return f"redis://admin:{self._password}@{HOST}:{self.ports[0]}/0"

    def _configure(self) -> dict[str, str]:
        configured = super()._configure()
        admin = f"user admin on >{self._password} ~* &* +@all\n"
        (self.folder / "users").write_text((self.secrets / "redis_users").read_text() + admin)
        file = self.folder / "valkey.conf"
        file.write_text(re.sub("requirepass .*", f'aclfile "{self.folder}/users"', file.read_text()))
        return configured


@contextmanager
def secured_redis(folder: Path, secrets: Path) -> Iterator[SecuredRedis]:
    """Both servers, until the end of the block."""
    server = SecuredRedis(folder, secrets)
    server.start()
    try:
        with deciphered(server.ports[0], secrets / "redis_tls_cert", secrets / "redis_tls_key") as server.tls_port:
            yield server
    finally:
        server.stop()


@contextmanager
def deciphered(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """The port of a server, in a thread, that takes TLS and hands what it deciphers on to another port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    listens, ports = threading.Event(), []

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            behind, before = await asyncio.open_connection(HOST, port)
            await asyncio.gather(hand_on(reader, before), hand_on(behind, writer))

    async def run() -> None:
        server = await asyncio.start_server(serve, HOST, 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        ends.append((asyncio.get_running_loop(), stopped := asyncio.Event()))
        listens.set()
        await stopped.wait()
        server.close()

    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    thread = threading.Thread(target=lambda: asyncio.run(run()), name="tls", daemon=True)
    thread.start()
    listens.wait()
    try:
        yield ports[0]
    finally:
        loop, stopped = ends[0]
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


async def hand_on(reader: StreamReader, writer: StreamWriter) -> None:
    """All that comes, until one side has gone; then the other one is told."""
    with suppress(OSError, ssl.SSLError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, ssl.SSLError):
        writer.close()
