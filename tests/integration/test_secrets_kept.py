"""Where the passwords and keys of a running Photochrom stand: in the environment of its processes, and nowhere else."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import boto3
import pytest

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.stack import HOUSE, Stack
from photochrom.producer.client.report import write_report
from photochrom.worker.jobs.context import Resources
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3.store import Store
from tests.chaos import pictures
from tests.integration.conftest import DEADLINE, House

pytestmark = pytest.mark.integration

WORD = "geheim"
PASSWORD = quote(f"{WORD}/1@{WORD}:2#{WORD}?3%{WORD}", safe="")
TROUBLE = ("a password that is refused", "no Redis", "an S3 that refuses")


def secrets_of(stack: Stack) -> list[str]:
    """The password is looked for in its middle, too: a URL may be cut."""
    password = stack.environment["PHOTOCHROM_REDIS_URL"].partition(":")[2].partition("@")[0].rpartition(":")[2]
    secret = stack.environment["AWS_SECRET_ACCESS_KEY"]
    assert min(len(password), len(secret)) > 30
    return [password[:20], password[-20:], secret[:20], secret[-20:], quote(secret, safe="")[:20]]


def children(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in file.read_text().split():
            yield from children(int(child))


def everything_in_redis(house: House) -> str:
    with house.redis as client:
        read = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"none": lambda key: None,  # gone meanwhile
        }
        return repr({key: read[client.type(key)](key) for key in client.scan_iter("*")})


def everything_in_s3(house: House) -> bytes:
    client = boto3.session.Session().client("s3", endpoint_url=house.settings.s3_endpoint, region_name="us-east-1")
    found = b""
    for bucket in client.list_buckets()["Buckets"]:
        for item in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            there = client.get_object(Bucket=bucket["Name"], Key=item["Key"])
            found += item["Key"].encode() + repr(there["Metadata"]).encode() + there["Body"].read()
    return found


def test_no_secret_of_a_running_house_stands_anywhere_else(house: House) -> None:
    broken = pictures.Picture(1, pictures.Kind.TEXT)
    Store(house.settings).put("archive", "broken/1.jpg", broken.data())
    house.colour_one("good")
    house.colour_one("another")
    held = Resources(house.settings, Store(house.settings), Ledger(house.settings))
    write_report("good", held)
    secrets = secrets_of(house.stack)

    with urllib.request.urlopen(f"http://127.0.0.1:{house.metrics_port}/metrics", timeout=DEADLINE) as page:
        metrics = page.read().decode()
    lines = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(os.getpid())).decode()
    logs = "".join(role.log for role in house.roles.values())
    places = {
        "metrics": metrics,
        "command lines": lines,
        "logs": logs,
        "Redis": everything_in_redis(house),
        "S3": everything_in_s3(house).decode(errors="replace"),
    }
    assert "photochrom_queue_jobs" in metrics
    assert "photochrom.deploy.cli" in lines
    assert "valkey-server" in lines
    assert "DEBUG" in logs
    assert "photochrom:" in places["Redis"]
    assert "report.csv" in places["S3"]
    for name, text in places.items():
        for secret in secrets:
            assert secret not in text, name


@pytest.mark.parametrize("log_format", ["people", "json"])
@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_process_in_trouble_tells_none(
    house: House, tmp_path: Path, closed_port: int, trouble: str, log_format: str
) -> None:
    port = closed_port if trouble == "no Redis" else urlsplit(house.stack.environment["PHOTOCHROM_REDIS_URL"]).port
    changed = {
        "PYTHONPATH": str(HOUSE),
        "PHOTOCHROM_LOG_LEVEL": "DEBUG",
        "PHOTOCHROM_LOG_FORMAT": log_format,
        "PHOTOCHROM_S3_ATTEMPTS": "1",
    }
    if trouble == "an S3 that refuses":
        changed |= {"AWS_SECRET_ACCESS_KEY": f"{WORD}/{WORD}+", "AWS_SESSION_TOKEN": f"{WORD}=="}
        mark = "S3 denies access"
    else:
        changed |= {"PHOTOCHROM_REDIS_URL": f"redis://user:{PASSWORD}@127.0.0.1:{port}/0"}
        mark = "Redis cannot be reached"
    process = Process("control", [sys.executable, "-m", "photochrom.deploy.cli", "control"], tmp_path, tmp_path / "log")
    process.start(os.environ | changed)
    try:
        process.wait_until(lambda: mark in process.log.read_text(), DEADLINE)
    finally:
        process.stop()
    assert WORD not in process.log.read_text()
