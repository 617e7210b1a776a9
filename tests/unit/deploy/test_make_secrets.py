"""deploy/docker/make_secrets.py as the documents have it run: a program of its own, before there is any image."""

import configparser
import json
import ssl
import stat
import subprocess
import sys
import tomllib

from tests.deploy.findings import ROOT
from tests.secured_redis import MOUNTED


def make(*arguments):
    """The files that it says it wrote."""
    command = [sys.executable, "-I", "deploy/docker/make_secrets.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def keys(file):
    found = configparser.ConfigParser()
    found.read(file)
    return found["default"]["aws_access_key_id"], found["default"]["aws_secret_access_key"]


def test_it_writes_what_compose_mounts_into_a_closed_folder(tmp_path):
    folder = tmp_path / "photochrom-secrets"
    written = make(folder)
    assert sorted(written) == sorted(map(str, folder.iterdir()))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in folder.iterdir())
    assert make(folder) == []


def test_the_options_of_the_documents_are_taken(tmp_path):
    buckets = ("--archive", "scans", "--output", "colours", "--state", "state")
    make(tmp_path, "--redis", "redis.example.org:6379", "--redis-ca", "system", *buckets)
    assert (tmp_path / "redis_url_worker").read_text().endswith("@redis.example.org:6379/0")
    identities = {who["name"]: who for who in json.loads((tmp_path / "seaweedfs_s3").read_text())["identities"]}
    assert {"Read:scans", "Write:colours", "Write:state"} <= set(identities["worker"]["actions"])
    [given] = identities["worker"]["credentials"]
    assert keys(tmp_path / "aws_credentials_worker") == (given["accessKey"], given["secretKey"])


def test_seaweedfs_asks_for_tokens_and_for_a_certificate_that_no_client_has(tmp_path):
    make(tmp_path)
    security = tomllib.loads((tmp_path / "seaweedfs_security").read_text())
    tokens = [security["jwt"][part] for part in ("signing", "filer_signing")]
    assert all(len(found["key"]) >= 32 and len(found["read"]["key"]) >= 32 for found in tokens)
    certificate, key = (tmp_path / security["grpc"]["s3"][part].removeprefix(f"{MOUNTED}/") for part in ("cert", "key"))
    assert security["grpc"]["ca"] == security["grpc"]["s3"]["cert"]
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    said = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-purpose"], capture_output=True, text=True, check=True
    ).stdout
    assert "SSL server : Yes" in said
    assert "SSL client : No" in said
