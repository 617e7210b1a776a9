"""What the tests share: S3 in memory, a real Redis, and an engine that needs no network."""

import io
import os
import socket
from types import SimpleNamespace

import boto3
import moto
import numpy as np
import pytest
from botocore.config import Config
from PIL import Image

# Imported before pytest puts tests/unit on the path, where folders of the same names would be found first.
import photochrom.deploy.cli
import photochrom.producer.records.submission
import photochrom.training.cli.train  # noqa: F401
from photochrom.deploy.stack.servers import Valkey
from photochrom.worker.jobs.context import resources as resources_of_control
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import PREFIX, Settings
from photochrom.worker.settings import settings as settings_of_process
from tests.examples import load_profile
from tests.stand_in import StandInEngine

load_profile()


@pytest.fixture
def no_settings(monkeypatch):
    """An environment without settings of ours and with credentials that open nothing."""
    for name in [name for name in os.environ if name.startswith((PREFIX, "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(
        "photochrom.worker.ledger.connection.RETRIES", 0
    )  # a Redis that is away is waited for 10 s otherwise
    settings_of_process.cache_clear()
    yield
    settings_of_process.cache_clear()


@pytest.fixture(scope="session")
def s3_client():
    """One for all: to make one takes longer than most tests."""
    keys = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
    once = Config(retries={"total_max_attempts": 1})
    return boto3.session.Session(**keys, region_name="us-east-1").client("s3", config=once)


@pytest.fixture
def aws(no_settings, s3_client, monkeypatch):
    """S3 in memory, with the buckets "archive", "coloured" and the state bucket."""
    shared = SimpleNamespace(client=lambda *_, **__: s3_client)
    monkeypatch.setattr(boto3.session, "Session", lambda **_: shared)
    with moto.mock_aws():
        for bucket in ("archive", "coloured", "photochrom-state"):
            s3_client.create_bucket(Bucket=bucket)
        yield s3_client


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    server = Valkey(tmp_path_factory.mktemp("valkey") / "server")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(no_settings, valkey):
    """Settings for a Redis that is empty, and an S3 that is tried once."""
    chosen = Settings(
        redis_url=valkey.url, read_from="s3://archive/", write_to="s3://coloured/", s3_attempts=1, concurrency=1
    )
    Ledger(chosen)._redis.flushall()
    return chosen


@pytest.fixture
def store(aws, settings):
    return Store(settings)


@pytest.fixture
def ledger(settings):
    return Ledger(settings)


@pytest.fixture
def exported(aws, settings, monkeypatch):
    """The same settings, as environment of this process."""
    monkeypatch.setenv("PHOTOCHROM_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("PHOTOCHROM_READ_FROM", ",".join(settings.read_from))
    monkeypatch.setenv("PHOTOCHROM_WRITE_TO", ",".join(settings.write_to))
    monkeypatch.setenv("PHOTOCHROM_S3_ATTEMPTS", "1")
    monkeypatch.setenv("PHOTOCHROM_CONCURRENCY", "1")
    settings_of_process.cache_clear()
    resources_of_control.cache_clear()
    return settings


@pytest.fixture
def closed_port():
    """A port of this machine on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def engine():
    return StandInEngine()


def gray_pixels(seed=0, height=40, width=60):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.fixture(scope="session")
def photograph():
    """Makes the bytes of a gray photograph, every number another."""

    def make(seed=0, kind="PNG", **options):
        buffer = io.BytesIO()
        Image.fromarray(gray_pixels(seed)).save(buffer, kind, **options)
        return buffer.getvalue()

    return make
