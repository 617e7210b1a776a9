"""The services of deploy/compose.yaml as processes of this machine, without containers.

Commands, environment, health checks and secrets come from compose.yaml, the Dockerfile and make_secrets.py; what
differs is where things are: folders of a test instead of /run and /var, ports of this machine instead of names.
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3

from deploy.process import Process
from deploy.servers import HOST, SeaweedFS, free_ports
from tests.deploy.compose import ENVIRONMENT, FILE
from tests.deploy.dockerfiles import DOCKERFILE, parse
from tests.deploy.findings import ROOT, run
from tests.secured_redis import ADDRESS, MOUNTED, SecuredRedis, make_secrets, secured_redis

ARCHIVE, OUTPUT, STATE = "archive", "coloured", "photochrom-state"
DEADLINE = 180.0
"""Seconds for a process to be ready or to have ended; only a broken test waits that long."""


class Topology:
    """What runs, by name. `changes` are settings that the test needs otherwise, of all processes."""

    def __init__(self, folder: Path, changes: Mapping[str, str]) -> None:
        self.folder, self.changes = folder, dict(changes)
        self.secrets = folder / "secrets"
        self.redis: SecuredRedis
        self.s3: SeaweedFSWithRoles
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
        folder = self._place("photochrom", "photochrom")
        command = [sys.executable, "-m", "deploy.cli", *arguments]
        environment = self._environment("photochrom", "photochrom")
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
        return [sys.executable, "-m", "deploy.cli", *self.services[service]["command"]]

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
        found = self._of_image(self.services[service]["build"]["target"]) | composed
        for before, now in here.items():
            found = {key: value.replace(before, now) for key, value in found.items()}
        return found | {
            "PATH": os.defpath,
            "HOME": str(place),
            "TMPDIR": str(place / "tmp"),
            "PYTHONPATH": str(ROOT),
            "CREDENTIALS_DIRECTORY": str(place / "secrets"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": HOST,
            "PHOTOCHROM_S3_ENDPOINT": self.s3.url,
            "PHOTOCHROM_METRICS_PORT": str(self.metrics_port(name)),
            **self.changes,
        }

    def _of_image(self, target: str) -> dict[str, str]:
        found: dict[str, str] = {}
        while target in self.stages:
            stage = self.stages[target]
            words = [word for keyword, rest in stage.instructions if keyword == "ENV" for word in shlex.split(rest)]
            found = dict(word.split("=", 1) for word in words) | found
            target = stage.parent
        return found


class SeaweedFSWithRoles(SeaweedFS):
    """The embedded S3 with an identity for each role, as make_secrets.py writes them."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        super().__init__(folder)
        self._identities = (secrets / "seaweedfs_s3").read_text()
        admin = configparser.ConfigParser()
        admin.read(secrets / "aws_credentials_admin")
        self.access_key = admin["default"]["aws_access_key_id"]
        self.secret_key = admin["default"]["aws_secret_access_key"]

    def _configure(self) -> dict[str, str]:
        configured = super()._configure()
        (self.folder / "s3.json").write_text(self._identities)
        return configured

    def client(self) -> Any:
        """Of the administrator: the archive's own people."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )


@contextmanager
def topology(folder: Path, changes: Mapping[str, str]) -> Iterator[Topology]:
    """Redis and S3 with their users and buckets; the processes are the test's to start, and ended at the end."""
    made = Topology(folder, changes)
    make_secrets().write_all(made.secrets, ADDRESS, ARCHIVE, OUTPUT, STATE)
    with ExitStack() as ends:
        made.redis = ends.enter_context(secured_redis(folder / "redis", made.secrets))
        made.s3 = SeaweedFSWithRoles(folder / "s3", made.secrets)
        made.s3.start()
        ends.callback(made.s3.stop)
        for bucket in (ARCHIVE, OUTPUT, STATE):
            made.s3.client().create_bucket(Bucket=bucket)
        ends.callback(made.stop_all)
        yield made
