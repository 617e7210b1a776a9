"""Passwords and keys stand in nothing that is printed, whatever goes wrong."""

import io
import logging
import subprocess
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import boto3
import moto
import pytest

from photochrom.deploy import cli
from photochrom.worker.errors import UsageError
from photochrom.worker.ledger.connection import connection
from photochrom.worker.queue import app
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings, settings
from photochrom.worker.telemetry import logs

ROOT = Path(__file__).parents[3]

WORD, KEY = "geheim", "KENNWORT"
"""Each part of each secret has one of them."""

PASSWORD = quote(f"{WORD}/1@{WORD}:2#{WORD}?3%{WORD}[4]&{WORD} 5", safe="")

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": f"AKIA{KEY}",
    "AWS_SECRET_ACCESS_KEY": f"{WORD}/{WORD}+{WORD}",
    "AWS_SESSION_TOKEN": f"{WORD}//{WORD}==",
}

WRONG_URLS = [
    f"redis://user:{WORD}/{WORD}@host:6379/0",
    f"redis://user:1/{WORD}@host:6379/0",
    f"redis://user:{WORD}?{WORD}@host:6379/0",
    f"redis://user:{WORD}#{WORD}@host:6379/0",
    f"redis://user:{WORD}[{WORD}@host:6379/0",
    f"redis://user:{WORD}:host:6379/0",
    f"redis://user:{WORD}@host:63x79/0",
    f"redis://user:{WORD}@host:637900/0",
    f"redis://user:{WORD}@host:6379/{WORD}",
    f"redis://user:{WORD}@[::1:6379/0",
    f"redis:/user:{WORD}@host:6379/0",
    f"amqp://user:{WORD}@host:6379/0",
    f"user:{WORD}@host",
    WORD,
]


def check(*texts):
    for text in texts:
        assert WORD not in text
        assert KEY not in text


@pytest.fixture
def secrets(no_settings, monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PHOTOCHROM_REDIS_URL", f"redis://user:{PASSWORD}@127.0.0.1:1/0")
    monkeypatch.setenv("PHOTOCHROM_S3_ATTEMPTS", "1")
    monkeypatch.setenv("PHOTOCHROM_LOG_LEVEL", "DEBUG")


@pytest.fixture
def main(secrets, monkeypatch, capsys):
    """Runs the command in this process; gives its exit code and what it printed."""

    def run(*arguments):
        settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["photochrom", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


# ---- settings


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_redis_url_that_is_wrong_is_told_in_one_line_without_it(main, monkeypatch, url):
    monkeypatch.setenv("PHOTOCHROM_REDIS_URL", url)
    code, out, error = main("status", "a")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith("photochrom: setting PHOTOCHROM_REDIS_URL: ")
    check(error)


@pytest.mark.parametrize("url", WRONG_URLS)
def test_neither_does_a_traceback_show_it(secrets, monkeypatch, url):
    monkeypatch.setenv("PHOTOCHROM_REDIS_URL", url)
    settings.cache_clear()
    with pytest.raises(UsageError) as told:
        settings()
    check("".join(traceback.format_exception(told.value)))
    with pytest.raises(ValueError, match="redis_url") as wrong:
        Settings()
    check(str(wrong.value), repr(wrong.value), "".join(traceback.format_exception(wrong.value)))


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{PASSWORD}@host:6379/0",
        f"rediss://user:{PASSWORD}@host:6379/0?ssl_ca_certs=/run/secrets/redis_tls_cert",
        f"rediss://:{PASSWORD}@[::1]/",
        f"redis://{WORD}@host",
        "redis://host",
    ],
)
def test_a_redis_url_that_is_right_is_taken_and_not_shown(url, no_settings):
    chosen = Settings(redis_url=url)
    assert chosen.redis_url.get_secret_value() == url
    check(repr(chosen), str(chosen), chosen.model_dump_json())


@pytest.mark.parametrize("url", [f"https://user:{WORD}@s3.example.org", f"user:{WORD}@host", f"https://{WORD}@host:1/"])
def test_credentials_in_the_url_of_s3_are_neither_taken_nor_told(main, monkeypatch, url):
    monkeypatch.setenv("PHOTOCHROM_S3_ENDPOINT", url)
    code, out, error = main("status", "a")
    assert code == 2
    check(out, error)


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_secrets_file_that_is_wrong_is_not_told(main, monkeypatch, tmp_path, url):
    monkeypatch.delenv("PHOTOCHROM_REDIS_URL")
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    (tmp_path / "photochrom_redis_url").write_text(url + "\n")
    code, out, error = main("status", "a")
    assert (code, error.count("\n")) == (2, 1)
    check(out, error)


def test_a_secrets_file_that_cannot_be_read_is_one_line(main, monkeypatch, tmp_path):
    monkeypatch.delenv("PHOTOCHROM_REDIS_URL")
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    (tmp_path / "photochrom_redis_url").write_bytes(b"\xff" + WORD.encode())
    code, out, error = main("status", "a")
    assert (code, error.count("\n")) == (2, 1)
    assert "redis_url" in error
    check(out, error)


# ---- commands


@pytest.mark.parametrize(
    "arguments", [["--help"], ["worker", "--help"], ["worker", "--explain"], ["worker", "--explain", "--json"]]
)
def test_what_a_command_explains_holds_none(main, arguments):
    code, out, error = main(*arguments) if "--help" in arguments else (0, *explained(arguments))
    assert code == 0
    assert out
    check(out, error)


def explained(arguments):
    """In a process of its own: it ends by itself, and loads torch."""
    command = [sys.executable, "-m", "photochrom.deploy.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


COMMANDS = [
    ["status", "a"],
    ["submit", "s3://archive/in", "--to", "s3://coloured/out"],
    ["models", "list"],
    ["quarantine", "list", "a"],
    ["runs", "list"],
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_an_s3_that_is_not_there_is_told_without_them(main, monkeypatch, closed_port, arguments):
    monkeypatch.setenv("PHOTOCHROM_S3_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    code, out, error = main(*arguments)
    assert code == 2
    assert "S3" in error
    check(out, error)


@pytest.mark.parametrize("where", ["refuses the password", "not there", "no certificate"])
def test_a_redis_that_does_not_let_one_in_is_told_without_them(main, monkeypatch, aws, valkey, closed_port, where):
    url = {
        "refuses the password": f"redis://user:{PASSWORD}@127.0.0.1:{valkey.ports[0]}/0",
        "not there": f"redis://user:{PASSWORD}@127.0.0.1:{closed_port}/0",
        "no certificate": f"rediss://user:{PASSWORD}@127.0.0.1:{valkey.ports[0]}/0?ssl_ca_certs=/nowhere",
    }[where]
    monkeypatch.setenv("PHOTOCHROM_REDIS_URL", url)
    code, out, error = main("submit", "s3://archive/in", "--to", "s3://coloured/out")
    assert (code, error.count("\n")) == (2, 1)
    assert "Redis" in error
    check(out, error)


def test_neither_do_the_errors_behind_it_show_them(secrets, valkey):
    chosen = Settings(redis_url=f"redis://user:{PASSWORD}@127.0.0.1:{valkey.ports[0]}/0")
    client = connection(chosen)
    with pytest.raises(Exception, match="invalid username-password") as told:
        client.ping()
    check("".join(traceback.format_exception(told.value)), repr(client), repr(client.connection_pool))


# ---- logs


@pytest.fixture
def at_debug(monkeypatch):
    """What is logged at DEBUG, by whomever; a role's process has set up its log."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    before = {name: logging.getLogger(name).level for name in ("", "botocore", "boto3", "urllib3")}
    root.addHandler(handler)
    for name in before:  # an earlier test's process may have set up its own
        logging.getLogger(name).setLevel(logging.DEBUG if name == "" else logging.NOTSET)
    yield stream
    root.removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def ask_s3():
    keys = dict(
        zip(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), CREDENTIALS.values(), strict=True)
    )
    with moto.mock_aws():
        boto3.session.Session(**keys).client("s3", region_name="us-east-1").list_buckets()


def test_what_is_asked_of_s3_is_not_logged_with_its_keys(at_debug, no_settings, monkeypatch):
    ask_s3()
    assert WORD in at_debug.getvalue(), "there was nothing to keep"
    at_debug.seek(0)
    at_debug.truncate()
    monkeypatch.setattr(app.app, "worker_main", lambda arguments: ask_s3())
    monkeypatch.setattr(app, "adopt", lambda chosen: None)
    monkeypatch.setattr(app, "_be_seen", lambda role, chosen: None)
    app.run("control", Settings(log_level="DEBUG"), "name", [], [])
    check(at_debug.getvalue())


@pytest.mark.parametrize(
    "url",
    [f"redis://user:{PASSWORD}@host:1/0", f"rediss://:{PASSWORD}@host", f"redis://user:{WORD}@{WORD}@host/0"],
)
def test_a_url_with_a_password_is_masked_wherever_it_comes_from(url):
    check(logs.masked(f"cannot reach {url}: refused"))


def test_the_store_shows_none(secrets, closed_port):
    store = Store(Settings(s3_endpoint=f"http://127.0.0.1:{closed_port}", s3_attempts=1))
    with pytest.raises(Exception, match="Could not connect") as told:
        store.head("b", "k")
    check(repr(store), "".join(traceback.format_exception(told.value)))
