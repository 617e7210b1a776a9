"""What these tests share: a copy of the repository's files, to plant faults in, and a Redis as compose has it."""

import shutil

import pytest

from tests.deploy.compose import FILE as COMPOSE
from tests.deploy.findings import ROOT
from tests.secured_redis import ADDRESS, BUCKETS, make_secrets, secured_redis


@pytest.fixture
def planted(tmp_path):
    """Replaces a text in a copy of the repository's files, and gives back what a check then finds, as one text."""
    for name in ("deploy/docker", "deploy/kubernetes", "deploy/aws", "deploy/monitoring"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", COMPOSE):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("photochrom", "worker", "producer", "training"):
        (tmp_path / name).mkdir()

    def plant(check, path, text, instead, count=1):
        file = tmp_path / path
        assert text in file.read_text(), f"{path} has no {text!r} any more"
        file.write_text(file.read_text().replace(text, instead, count))
        return "\n".join(map(str, check.check(tmp_path)))

    return plant


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """A folder of what make_secrets.py writes."""
    folder = tmp_path_factory.mktemp("secrets") / "folder"
    make_secrets().write_all(folder, ADDRESS, *BUCKETS)
    return folder


@pytest.fixture(scope="module")
def server(secrets, tmp_path_factory):
    """A Redis with its users and its certificate."""
    with secured_redis(tmp_path_factory.mktemp("valkey") / "server", secrets) as server:
        yield server
