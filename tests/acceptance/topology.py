"""The services of deploy/compose.yaml as processes of this machine, without containers.

Commands, environment, health checks and secrets come from compose.yaml, the Dockerfile and make_secrets.py; what
differs is where things are: folders of a test instead of /run and /var, ports of this machine instead of names.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.servers import HOST, SeaweedFS, free_ports
from tests.deploy.compose import ENVIRONMENT, FILE
from tests.deploy.dockerfiles import DOCKERFILE, chain, environment, parse
from tests.deploy.findings import ROOT, run
from tests.secured_redis import ADDRESS, BUCKETS, MOUNTED, SecuredRedis, make_secrets, secured_redis

ARCHIVE, OUTPUT, STATE = BUCKETS
OUTSIDE = "127.0.0.2"
"""This machine's loopback device has more addresses than one: this one stands for what other containers reach."""

ROOM = 4
"""Volumes of a gigabyte that SeaweedFS has room for, whatever disk this machine has: one for each of the buckets and
one for itself."""

DEADLINE = 180.0
"""Seconds for a process to be ready or to have ended; only a broken test waits that long."""


class Topology:
    """What runs, by name. `changes` are settings that the test needs otherwise, of all processes."""

    def __init__(self, folder: Path, changes: Mapping[str, str]) -> None:
        self.folder, self.changes = folder, dict(changes)
        self.secrets = folder / "secrets"
        self.redis: SecuredRedis
        self.s3: ComposedSeaweedFS
        self.running: dict[str, Process] = {}
        done = run("docker-compose", "-f", FILE, "--profile", "*", "config", "--format", "json",
                   root=ROOT, environment=ENVIRONMENT)  # fmt: skip
        self.services: dict[str, Any] = json.loads(done[1])["services"]
        self.stages = parse((ROOT / DOCKERFILE).read_text())

    def start(self, service: str, name: str) -> Process:
        """Start a process of a service under a name of its own and wait until it is ready."""
        process = Process(name, self._command(service), self._place(service, name), self.folder / f"{name}.log")
        process.start(self._environment(service, name))
        self.running[name] = process
        process.wait_until((self.folder / name / "run" / "ready").exists, DEADLINE)
        return process

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What `docker compose run --rm photochrom ARGUMENTS` does."""
        return self._run("photochrom", "photochrom.deploy.cli", *arguments)

    def make_buckets(self) -> subprocess.CompletedProcess[str]:
        """What `docker compose run --rm buckets` does."""
        [_, option, module] = self.services["buckets"]["entrypoint"]
        assert option == "-m"
        return self._run("buckets", module)

    def _run(self, service: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        folder = self._place(service, service)
        command = [sys.executable, "-m", *arguments]
        environment = self._environment(service, service)
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=DEADLINE)

    def is_healthy(self, name: str) -> bool:
        """What the image's health check says of a process."""
        [check] = [rest for keyword, rest in self.stages["base"].instructions if keyword == "HEALTHCHECK"]
        command = json.loads(check[check.index("[") :])
        moved = [word.replace("/run/photochrom", str(self.folder / name / "run")) for word in command]
        return subprocess.run(moved, timeout=DEADLINE, capture_output=True).returncode == 0

    def metrics_port(self, name: str) -> int:
        """Where Prometheus finds a process."""
        return int((self.folder / name / "port").read_text())

    def metrics_folder(self, name: str) -> Path:
        """Where a process and its children add up what they count."""
        return self.folder / name / "metrics"

    def stop(self, name: str) -> Process:
        """SIGTERM, and as long as its `stop_grace_period` allows at most."""
        self.running[name].stop(patience=120)
        return self.running[name]

    def stop_all(self) -> None:
        for name in self.running:
            self.stop(name)

    def _command(self, service: str) -> list[str]:
        """As the image's entry point would run it."""
        return [sys.executable, "-m", "photochrom.deploy.cli", *self.services[service]["command"]]

    def _place(self, service: str, name: str) -> Path:
        """A folder for one process, with the secrets of its service and no other."""
        place = self.folder / name
        for part in ("run", "metrics", "tmp", "secrets"):
            (place / part).mkdir(parents=True, exist_ok=True)
        for secret in self.services[service]["secrets"]:
            target = place / "secrets" / Path(secret.get("target") or secret["source"]).name
            text = (self.secrets / secret["source"]).read_text()
            target.write_text(
                text.replace(ADDRESS, f"{HOST}:{self.redis.tls_port}").replace(MOUNTED, str(target.parent))
            )
        if not (place / "port").exists():
            (place / "port").write_text(str(free_ports(1)[0]))
        return place

    def _environment(self, service: str, name: str) -> dict[str, str]:
        """That of the image and of the service, and nothing of ours."""
        place = self.folder / name
        here = {
            MOUNTED: str(place / "secrets"),
            "/run/photochrom-metrics": str(place / "metrics"),
            "/run/photochrom": str(place / "run"),
            "/var/cache/photochrom": str(self.folder / "cache"),
        }
        composed = self.services[service]["environment"]
        found = environment(chain(self.services[service]["build"]["target"], self.stages)) | composed
        for before, now in here.items():
            found = {key: value.replace(before, now) for key, value in found.items()}
        return found | {
            "PATH": os.defpath,
            "HOME": str(place),
            "TMPDIR": str(place / "tmp"),
            "PYTHONPATH": str(ROOT),
            "CREDENTIALS_DIRECTORY": str(place / "secrets"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": f"{HOST},{OUTSIDE}",
            "PHOTOCHROM_S3_ENDPOINT": self.s3.url,
            "PHOTOCHROM_METRICS_PORT": str(self.metrics_port(name)),
            **self.changes,
        }


class ComposedSeaweedFS(SeaweedFS):
    """The embedded SeaweedFS with the options and secrets of a service of compose.yaml, on ports of this machine.

    Its own loopback device is ours, so that inner ports are at HOST; what it opens to other containers is at OUTSIDE.
    """

    port_options = (
        "s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
        "filer.port", "filer.port.grpc",
    )  # fmt: skip
    ports_needed = len(port_options)

    def __init__(self, folder: Path, service: Mapping[str, Any], secrets: Path) -> None:
        self._service, self._secrets, self._mounted = service, secrets, folder / "secrets"
        super().__init__(folder)
        admin = configparser.ConfigParser()
        admin.read(secrets / "aws_credentials_admin")
        self.access_key = admin["default"]["aws_access_key_id"]
        self.secret_key = admin["default"]["aws_secret_access_key"]

    @property
    def url(self) -> str:
        return f"http://{OUTSIDE}:{self.ports[0]}"

    def port(self, option: str) -> int:
        """The port that an option names."""
        return self.ports[self.port_options.index(option)]

    def _command(self) -> list[str]:
        """The service's, with its ports in a file: they are chosen when it starts."""
        here = {MOUNTED: str(self._mounted), "/data": str(self.data), "0.0.0.0": OUTSIDE}
        command = [_replaced(word, here) for word in self._service["command"]]
        command[command.index("-volume.max=0")] = f"-volume.max={ROOM}"
        return [super()._command()[0], *command, f"-options={self.folder / 'ports'}"]

    def _configure(self) -> dict[str, str]:
        self._mounted.mkdir(exist_ok=True)
        for secret in self._service["secrets"]:
            text = (self._secrets / secret["source"]).read_text().replace(MOUNTED, str(self._mounted))
            (self._mounted / Path(secret.get("target") or secret["source"]).name).write_text(text)
        ports = zip(self.port_options, self.ports, strict=True)
        (self.folder / "ports").write_text("".join(f"{name}={port}\n" for name, port in ports))
        self._client = self._connect()
        return dict(self._service["environment"])


def _replaced(word: str, here: Mapping[str, str]) -> str:
    """An option with its value, the value's beginning replaced where it names a place of the container."""
    name, is_set, value = word.partition("=")
    for before, now in here.items():
        value = re.sub(rf"^{re.escape(before)}(?=/|$)", now, value)
    return f"{name}{is_set}{value}"


@contextmanager
def topology(folder: Path, changes: Mapping[str, str]) -> Iterator[Topology]:
    """Redis and S3 with their users and buckets; the processes are the test's to start, and ended at the end."""
    made = Topology(folder, changes)
    make_secrets().write_all(made.secrets, ADDRESS, *BUCKETS)
    with ExitStack() as ends:
        made.redis = ends.enter_context(secured_redis(folder / "redis", made.secrets))
        made.s3 = ComposedSeaweedFS(folder / "s3", made.services["s3"], made.secrets)
        made.s3.start()
        ends.callback(made.s3.stop)
        done = made.make_buckets()
        assert done.stdout.split() == [ARCHIVE, OUTPUT, STATE], done.stderr
        ends.callback(made.stop_all)
        yield made
