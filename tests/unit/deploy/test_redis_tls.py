"""Redis over TLS: who has the certificate reaches it, and nobody is taken in by another one."""

import json
import os
import shutil
import socket
import ssl
import subprocess

import pytest
import redis
from kombu.exceptions import OperationalError

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.servers import HOST, free_ports
from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger.connection import connection
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.queue.app import connect
from photochrom.worker.settings import Settings
from tests.deploy.compose import ENVIRONMENT, FILE
from tests.deploy.findings import ROOT, run
from tests.secured_redis import ADDRESS, BUCKETS, MOUNTED, make_secrets


@pytest.fixture
def url(server):
    return server.url_of("control")


@pytest.fixture
def broker(no_settings):
    """Connects the application's broker to a URL; afterwards it is as it was."""

    def broker(url):
        app = connect(Settings(redis_url=url))
        with app.connection_for_write(connect_timeout=5) as held:
            held.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            return held.default_channel.client.ping()

    yield broker
    connect(Settings())


def other_certificate(folder):
    path = folder / "other"
    path.write_text(make_secrets().certificate("redis")["redis_tls_cert"])
    return path


def test_ledger_and_broker_reach_it_with_its_certificate(url, broker):
    assert connection(Settings(redis_url=url)).ping()
    assert broker(url)


@pytest.mark.parametrize("trust", ["the system", "another certificate"])
def test_neither_ledger_nor_broker_talks_to_a_certificate_it_does_not_trust(trust, url, broker, tmp_path):
    bare, _, _ = url.partition("?")
    wrong = bare if trust == "the system" else f"{bare}?ssl_ca_certs={other_certificate(tmp_path)}"
    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        redis.Redis.from_url(wrong).ping()
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        broker(wrong)


def test_without_tls_nothing_is_said(server):
    with pytest.raises(redis.RedisError):
        redis.Redis(host=HOST, port=server.tls_port, socket_timeout=5).ping()


@pytest.mark.parametrize(("name", "is_its_own"), [("redis", True), ("localhost", True), ("elsewhere", False)])
def test_the_certificate_is_for_its_host_alone(name, is_its_own, server, secrets):
    context = ssl.create_default_context(cafile=secrets / "redis_tls_cert")
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python does by itself from 3.13 on
    with socket.create_connection((HOST, server.tls_port), timeout=10) as plain:
        if is_its_own:
            assert context.wrap_socket(plain, server_hostname=name).version() >= "TLSv1.2"
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
                context.wrap_socket(plain, server_hostname=name)


def test_a_managed_redis_needs_no_certificate_of_ours(tmp_path):
    made = make_secrets().write_all(tmp_path / "folder", "cache.example.org:6380", *BUCKETS, public=True)
    assert not [name for name in made if "tls" in name]
    assert (tmp_path / "folder" / "redis_url_worker").read_text().endswith("@cache.example.org:6380/0")


def test_without_openssl_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="openssl is not installed"):
        make_secrets().write_all(tmp_path / "folder", ADDRESS, *BUCKETS)
    assert not (tmp_path / "folder").exists()


@pytest.mark.skipif(not shutil.which("redis-server"), reason="there is no redis-server with TLS here")
def test_a_redis_started_as_in_the_compose_file_serves_the_roles(secrets, tmp_path, no_settings):
    done = run("docker-compose", "-f", FILE, "config", "--format", "json", root=ROOT, environment=ENVIRONMENT)
    service = json.loads(done[1])["services"]["redis"]
    [port] = free_ports(1)
    here = {MOUNTED: str(secrets), "6379": str(port)}
    process = Process("redis", [_moved(word, here) for word in service["command"]], tmp_path, tmp_path / "log")
    process.start(os.environ)
    try:
        *check, ping = [_moved(word, here) for word in service["healthcheck"]["test"][1:]]
        check += ["-p", str(port), ping]
        process.wait_until(lambda: subprocess.run(check, capture_output=True, text=True).stdout == "PONG\n", 120)
        url = _moved((secrets / "redis_url_worker").read_text(), here | {"@redis:": f"@{HOST}:"})
        ledger = Ledger(Settings(redis_url=url))
        ledger.record_done("s", 1)
        assert ledger.counts("s").done == 1
        with pytest.raises(RetryableError, match="NoPermission"):
            ledger.set_epoch("e")
    finally:
        process.stop()


def _moved(text, here):
    for place, instead in here.items():
        text = text.replace(place, instead)
    return text
