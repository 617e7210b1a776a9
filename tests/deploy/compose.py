"""The compose file, as docker-compose itself understands it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.deploy.dockerfiles import DOCKERFILE, images, parse
from tests.deploy.findings import Finding, run
from tests.deploy.images import (
    CACHE,
    HEARTBEAT,
    SHELLS,
    commands,
    faults_of_check,
    is_pinned,
    program_of,
    unknown_settings,
)

FILE = "deploy/compose.yaml"
OURS = "photochrom/"
ENVIRONMENT = {
    "PHOTOCHROM_SECRETS": "/nowhere",
    "PHOTOCHROM_READ_FROM": "s3://archive",
    "PHOTOCHROM_WRITE_TO": "s3://coloured",
}
SECRET = re.compile("PASSWORD|SECRET|TOKEN|CREDENTIAL|_KEY|REDIS_URL")
REDIS_OPTIONS = {
    "--port": "0",
    "--tls-port": "6379",
    "--appendonly": "yes",
    "--maxmemory-policy": "noeviction",
    "--aclfile": "/run/secrets/redis_users",
}
S3_OPTIONS = {
    "-config_dir": "/run/secrets",  # where security.toml is
    "-ip": "127.0.0.1",
    "-ip.bind": "127.0.0.1",
    "-s3.ip.bind": "0.0.0.0",
    "-master.telemetry": "false",
    "-s3.config": "/run/secrets/seaweedfs_s3",
    "-s3.iam": "false",
    "-s3.autoCreateBucket": "false",
    "-s3.port.iceberg": "0",
    "-s3.port.lance": "0",
}
S3_PARTS = {"server", "-logtostderr", "-filer", "-s3"}
"""All that `weed` is told without a value: another part would be another way in."""

S3_SECRETS = {"seaweedfs_s3", "security.toml", "seaweedfs_cert", "seaweedfs_key"}
S3_USER = "1000:1000"
"""Whose the image's folder for data is; without capabilities nobody else writes there."""


def check(root: Path) -> list[Finding]:
    """All that is wrong with the compose file of a repository."""
    code, output, errors = run(
        "docker-compose", "-f", FILE, "--profile", "*", "config", "--format", "json", root=root, environment=ENVIRONMENT
    )
    if code:
        return [Finding(FILE, errors.strip())]
    services = json.loads(output)["services"]
    targets = images(parse((root / DOCKERFILE).read_text()))
    found = []
    for name, service in services.items():
        problems = [*_of_any(service), *(_of_ours(service, targets) if service["image"].startswith(OURS) else ())]
        found += [Finding(f"{FILE} {name}", problem) for problem in problems]
    found += [Finding(f"{FILE} redis", problem) for problem in _of_redis(services["redis"])]
    return found + [Finding(f"{FILE} s3", problem) for problem in _of_s3(services["s3"])]


def seconds(duration: str) -> float:
    """Of "1m30s"."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", duration))


def _of_any(service: dict[str, Any]) -> Iterator[str]:
    if not is_pinned(service["image"]):
        yield f"{service['image']} names no version"
    if service.get("privileged") or service.get("user") in ("root", "0", "0:0"):
        yield "it runs as root"
    if "no-new-privileges:true" not in service.get("security_opt", ()):
        yield "its processes may become more than they are: no-new-privileges"
    if program_of(service.get("entrypoint") or service.get("command") or []) in SHELLS:
        yield "process 1 is a shell"
    for name, value in (service.get("environment") or {}).items():
        if SECRET.search(name) and value and not str(value).startswith("/run/secrets/"):
            yield f"{name} is a secret, or should be a file"
    check = (service.get("healthcheck") or {}).get("test") or []
    if check and check[0] == "CMD-SHELL":
        yield "its health check is not in exec form"
    yield from (f"health check: {problem}" for problem in faults_of_check(list(check[1:])))
    yield from ("a port is open to everybody" for port in service.get("ports", ()) if "host_ip" not in port)


def _of_ours(service: dict[str, Any], targets: list[str]) -> Iterator[str]:
    """A service that has an image of ours."""
    if not service.get("read_only") or "ALL" not in service.get("cap_drop", ()):
        yield "it has more rights than it needs: read_only, cap_drop"
    if service["image"].removeprefix(OURS).partition(":")[0] != service["build"]["target"]:
        yield "image and target have different names"
    if service["build"]["target"] not in targets:
        yield f"the Dockerfile has no {service['build']['target']}"
    if service["build"]["target"] == "cuda" and "nvidia" not in _devices(service):
        yield "it gets no GPU"
    yield from (f"there is no setting {name}" for name in unknown_settings(service["environment"]))
    if "aws_credentials" not in _mounted(service):
        yield "it has no secret aws_credentials"
    if not service.get("entrypoint"):
        yield from _of_process(service)


def _of_process(service: dict[str, Any]) -> Iterator[str]:
    """A service that runs `photochrom`."""
    drain = float(service["environment"].get("PHOTOCHROM_DRAIN_SECONDS", "inf"))
    if seconds(service.get("stop_grace_period", "10s")) < drain + 10:
        yield f"stop_grace_period is not above the {drain:.0f} s to drain"
    if service.get("restart") != "unless-stopped" and "people" not in service.get("profiles", ()):
        yield "it is not started again: restart"
    if (command := (service.get("command") or ["--help"])[0]) not in commands():
        yield f"there is no command {command}"
    if "photochrom_redis_url" not in _mounted(service):
        yield "it has no secret photochrom_redis_url"
    if command in ("worker", "training") and CACHE not in {v["target"] for v in service.get("volumes", ())}:
        yield f"it cannot write to {CACHE}"
    check = service.get("healthcheck") or {}
    if check.get("test") and HEARTBEAT not in check["test"]:
        yield "its health check asks for something other than the heartbeat"


def _mounted(service: dict[str, Any]) -> set[str]:
    """The names of its files in /run/secrets."""
    return {(secret.get("target") or secret["source"]).rpartition("/")[2] for secret in service.get("secrets", ())}


def _devices(service: dict[str, Any]) -> set[str]:
    resources = service.get("deploy", {}).get("resources", {})
    return {device.get("driver") for device in resources.get("reservations", {}).get("devices", ())}


def _of_s3(service: dict[str, Any]) -> Iterator[str]:
    """SeaweedFS: nothing but S3 may be reached past the container's own loopback device."""
    named = dict(word.split("=", 1) for word in service["command"] if "=" in word)
    yield from (f"{name} is not {value}" for name, value in S3_OPTIONS.items() if named.get(name) != value)
    parts = {word.partition("=")[0] for word in service["command"] if word.partition("=")[2] in ("", "true")}
    yield from (f"it has another way in: {name}" for name in sorted(parts - S3_PARTS))
    yield from (f"it has no secret {name}" for name in sorted(S3_SECRETS - _mounted(service)))
    if service.get("user") != S3_USER:
        yield f"it cannot write its data: user is not {S3_USER}"
    if not service.get("read_only") or "ALL" not in service.get("cap_drop", ()):
        yield "it has more rights than it needs: read_only, cap_drop"


def _of_redis(service: dict[str, Any]) -> Iterator[str]:
    given = dict(zip(service["command"], service["command"][1:], strict=False))
    yield from (f"{name} is not {value}" for name, value in REDIS_OPTIONS.items() if given.get(name) != value)
