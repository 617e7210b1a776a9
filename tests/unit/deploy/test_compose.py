"""The compose file and what else has to fit it: the secrets that are made, and the settings that are read."""

import json

import pytest

from photochrom.worker.settings import Settings
from tests.deploy.compose import ENVIRONMENT, FILE, seconds
from tests.deploy.findings import ROOT, run
from tests.secured_redis import make_secrets


@pytest.fixture(scope="module")
def composed():
    everything = ("--profile", "*", "config", "--format", "json")
    return json.loads(run("docker-compose", "-f", FILE, *everything, root=ROOT, environment=ENVIRONMENT)[1])


def test_every_secret_that_is_mounted_is_made(composed, tmp_path):
    make_secrets().write_all(tmp_path / "secrets", "redis:6379", "archive", "coloured", "photochrom-state")
    made = {path.name for path in (tmp_path / "secrets").iterdir()}
    assert made - {"redis_url_scaler"} == set(composed["secrets"])
    assert {secret["file"].rpartition("/")[2] for secret in composed["secrets"].values()} == set(composed["secrets"])


def test_a_role_gets_its_own_secrets_and_no_other(composed):
    for role, user in {
        "worker": "worker",
        "control": "control",
        "training": "training",
        "photochrom": "submit",
    }.items():
        sources = {secret["source"] for secret in composed["services"][role]["secrets"]}
        assert sources == {f"redis_url_{user}", f"aws_credentials_{user}", "redis_tls_cert"}


def test_a_secret_is_called_as_the_setting_that_is_read_from_it(composed, no_settings, tmp_path):
    [target] = {s["target"] for s in composed["services"]["worker"]["secrets"] if s["source"].startswith("redis_url")}
    (tmp_path / target).write_text("redis://worker:secret@redis:6379/0")
    read = Settings(_secrets_dir=tmp_path).redis_url
    assert read.get_secret_value() == "redis://worker:secret@redis:6379/0"


def test_without_a_profile_there_are_redis_workers_and_control():
    done = run("docker-compose", "-f", FILE, "config", "--services", root=ROOT, environment=ENVIRONMENT)
    assert set(done[1].split()) == {"redis", "worker", "control"}


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_what_has_no_default_is_asked_for(name):
    given = {key: value for key, value in ENVIRONMENT.items() if key != name}
    code, _, errors = run("docker-compose", "-f", FILE, "config", "-q", root=ROOT, environment=given)
    assert code
    assert name in errors


@pytest.mark.parametrize(("text", "expected"), [("2m0s", 120), ("1h1m1.5s", 3661.5), ("10s", 10)])
def test_durations_are_read(text, expected):
    assert seconds(text) == expected
