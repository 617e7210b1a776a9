"""Outages: what a system of ours needs is away for a while, in every way that it can be, and then comes back.

Each is a context manager: within the block the thing is away, after the block it answers again.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import redis

from photochrom.deploy.stack.servers import HOST, SeaweedFS, Valkey
from tests.chaos.proxy import ABORTING, CODES, CUT, DRIPPING, UNKNOWN_CODE, Proxy

PROFILE = "archivist"

RENEWED_SECONDS = 15 * 60 + 5
"""Validity of the profile's credentials: botocore asks for others when 15 minutes are left, so every 5 seconds."""

GIVE = """\
import json, pathlib, datetime
seconds = -3600 if pathlib.Path({stale!r}).exists() else {seconds}
until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
print(json.dumps({{"Version": 1, "Expiration": until.isoformat(), **{keys!r}}}))
"""


class Profile:
    """An AWS profile whose credentials come from a program, and are renewed all the time."""

    def __init__(self, folder: Path, s3: SeaweedFS) -> None:
        self.config, self.stale = folder / "aws-config", folder / "aws-stale"
        program = folder / "aws-credentials.py"
        keys = {"AccessKeyId": s3.access_key, "SecretAccessKey": s3.secret_key}
        program.touch(mode=0o600)
        program.write_text(GIVE.format(stale=str(self.stale), seconds=RENEWED_SECONDS, keys=keys))
        self._text = f"[profile {PROFILE}]\ncredential_process = {sys.executable} {program}\n"
        self.write()

    @property
    def environment(self) -> dict[str, str]:
        """For a process that has no other credentials."""
        nothing = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
        nowhere = {"AWS_SHARED_CREDENTIALS_FILE": str(self.config.with_name("aws-none"))}
        return nothing | nowhere | {"AWS_CONFIG_FILE": str(self.config), "AWS_PROFILE": PROFILE}

    def write(self, text: str | None = None) -> None:
        """The file of profiles: ours, or another text."""
        new = self.config.with_suffix(".new")
        new.write_text(self._text if text is None else text)
        new.replace(self.config)


@dataclass(frozen=True)
class Servers:
    """What can be taken away: both servers, the ways to S3 of all processes and of one worker, and its credentials."""

    redis: Valkey
    s3: SeaweedFS
    proxy: Proxy
    proxy_of_one: Proxy
    profile: Profile
    restart_one: Callable[[], None]
    """Kill that worker; its supervisor starts another."""
    chance: random.Random


@contextmanager
def redis_stopped(redis: Valkey) -> Iterator[None]:
    """Its process ends, its port is closed; the data stay."""
    redis.stop()
    yield
    redis.start()


@contextmanager
def redis_refused(redis: Valkey) -> Iterator[None]:
    """Something else accepts connections on its port and resets them, as a load balancer without a server does."""

    class Resetting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTING)

    class Listener(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    redis.kill()
    with Listener((HOST, redis.ports[0]), Resetting) as listener, _serving(listener):
        yield
    redis.start()


@contextmanager
def _serving(listener: socketserver.BaseServer) -> Iterator[None]:
    threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown()


@contextmanager
def redis_silent(redis: Valkey) -> Iterator[None]:
    """It holds its connections, takes new ones, and answers nothing."""
    pid = redis.process.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def redis_full(redis: Valkey) -> Iterator[None]:
    """It has as many clients as it may have, and all of ours have lost their connections."""
    with _client(redis) as client:
        client.config_set("maxclients", 1)
        client.client_kill_filter(skipme=True, _type="normal")
        yield
        client.config_set("maxclients", 10_000)


@contextmanager
def redis_with_another_password(redis: Valkey) -> Iterator[None]:
    """Its password is changed, and then changed back."""
    with _client(redis) as client:
        before = client.config_get("requirepass")["requirepass"]
        client.config_set("requirepass", "another")
        client.client_kill_filter(skipme=True, _type="normal")
        yield
        client.config_set("requirepass", before)


@contextmanager
def redis_without_memory(redis: Valkey) -> Iterator[None]:
    """It answers, and refuses to write."""
    with _client(redis) as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


def _client(server: Valkey) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=30)


@contextmanager
def s3_away(s3: SeaweedFS) -> Iterator[None]:
    """Its process is killed; the data stay."""
    s3.kill()
    yield
    s3.start()


@contextmanager
def s3_failing(servers: Servers, *faults: str) -> Iterator[None]:
    """Every request of every process gets one of these answers."""
    with servers.proxy.failing_with(*faults), servers.proxy_of_one.failing_with(*faults):
        yield


@contextmanager
def credentials_expired(profile: Profile) -> Iterator[None]:
    """The profile's program gives credentials that expired an hour ago."""
    profile.stale.touch()
    yield
    profile.stale.unlink()


@contextmanager
def profile_missing(profile: Profile, restart: Callable[[], None]) -> Iterator[None]:
    """A worker is started and does not find its profile."""
    profile.write("[default]\n")
    restart()
    yield
    profile.write()


class Kind(NamedTuple):
    """A kind of outage: its group, of which a short run has one, how long it lasts, and what to do."""

    group: str
    seconds: tuple[int, ...]
    away: Callable[[Servers], AbstractContextManager[None]]
    of_one: bool = False
    """Whether it is that of one worker alone, beside healthy ones."""


KINDS = {
    "Redis stopped": Kind("Redis away", (5, 35, 90), lambda to: redis_stopped(to.redis)),
    "Redis refusing": Kind("Redis away", (5, 35, 90), lambda to: redis_refused(to.redis)),
    "Redis silent": Kind("Redis away", (5, 35, 90), lambda to: redis_silent(to.redis)),
    "Redis with too many clients": Kind("Redis locked", (20,), lambda to: redis_full(to.redis)),
    "Redis with another password": Kind("Redis locked", (20,), lambda to: redis_with_another_password(to.redis)),
    "Redis without memory": Kind("Redis locked", (20,), lambda to: redis_without_memory(to.redis)),
    "expired credentials": Kind("one worker", (20, 60), lambda to: credentials_expired(to.profile), True),
    "missing profile": Kind("one worker", (20, 60), lambda to: profile_missing(to.profile, to.restart_one), True),
    "a worker without S3": Kind("one worker", (20, 60), lambda to: to.proxy_of_one.failing_with(CUT), True),
    "S3 away": Kind("S3", (20, 60), lambda to: s3_away(to.s3)),
    "S3 throttling": Kind("S3", (20,), lambda to: s3_failing(to, *CODES)),
    "S3 refusing by an unknown code": Kind("S3", (20,), lambda to: s3_failing(to, UNKNOWN_CODE)),
    "S3 with slow bodies": Kind("S3", (20,), lambda to: s3_failing(to, DRIPPING)),
}
SHORT_SECONDS = 35
"""No outage of a short run is longer."""


class Outage(NamedTuple):
    """One outage of a run."""

    name: str
    seconds: int

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    def __str__(self) -> str:
        return f"{self.name} for {self.seconds} s"

    @classmethod
    def parse(cls, text: str) -> Outage:
        """NAME, or NAME:SECONDS. Raises ValueError for a name that is not in KINDS."""
        name, _, seconds = text.partition(":")
        if name not in KINDS:
            raise ValueError(f"no outage {name!r}; there are: {', '.join(KINDS)}")
        return cls(name, int(seconds) if seconds else KINDS[name].seconds[0])


def every_outage() -> list[Outage]:
    """Each kind, for each of its durations."""
    return [Outage(name, seconds) for name, kind in KINDS.items() for seconds in kind.seconds]


def one_of_each_group(chance: random.Random) -> list[Outage]:
    """For a short run: by chance one outage of each group."""
    groups: dict[str, list[Outage]] = {}
    for outage in every_outage():
        if outage.seconds <= SHORT_SECONDS:
            groups.setdefault(outage.kind.group, []).append(outage)
    return [chance.choice(outages) for outages in groups.values()]
