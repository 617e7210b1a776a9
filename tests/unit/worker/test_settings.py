"""Settings come from the environment once, and a wrong one is told in one line."""

import ast
from pathlib import Path

import pytest

from photochrom.worker.errors import UsageError
from photochrom.worker.settings import SECRETS, Settings, settings

ROOT = Path(__file__).parents[3]

READ_THE_ENVIRONMENT = {
    "worker/queue/app.py",  # PHOTOCHROM_READY_FILE, from whoever starts the process: not a setting
    "worker/telemetry/exporter.py",  # PROMETHEUS_MULTIPROC_DIR, which prometheus_client reads there
    "worker/settings.py",  # CREDENTIALS_DIRECTORY, where systemd puts files that are settings
}

pytestmark = pytest.mark.usefixtures("no_settings")


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_JPEG_QUALITY", "71")
    monkeypatch.setenv("PHOTOCHROM_S3_ENDPOINT", "http://localhost:8333")
    monkeypatch.setenv("PHOTOCHROM_STATE_BUCKET", "elsewhere")
    chosen = settings()
    assert (chosen.jpeg_quality, chosen.s3_endpoint, chosen.state_bucket) == (71, "http://localhost:8333", "elsewhere")


def test_the_environment_is_read_once(monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_JPEG_QUALITY", "71")
    first = settings()
    monkeypatch.setenv("PHOTOCHROM_JPEG_QUALITY", "72")
    assert settings() is first


def test_lists_are_split_at_commas(monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_READ_FROM", "s3://one/in, s3://two/ ,")
    assert settings().read_from == ("s3://one/in", "s3://two/")


def test_by_default_a_worker_may_neither_read_nor_write():
    assert (settings().read_from, settings().write_to) == ((), ())


def test_an_empty_endpoint_is_none(monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_S3_ENDPOINT", "")
    assert settings().s3_endpoint is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JPEG_QUALITY", "best"),
        ("JPEG_QUALITY", "101"),
        ("JOB_IMAGES", "33"),
        ("JOB_IMAGES", "0"),
        ("MAX_PIXELS", "-1"),
        ("S3_TIMEOUT", "0"),
        ("WINDOW", "many"),
        ("READ_FROM", "/home"),
        ("READ_FROM", "s3://ok/, s3:///no-bucket"),
        ("WRITE_TO", "s3://"),
        ("S3_ENDPOINT", "localhost:8333"),
        ("S3_ENDPOINT", "http://"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", ""),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(monkeypatch, name, value):
    monkeypatch.setenv(f"PHOTOCHROM_{name}", value)
    with pytest.raises(UsageError) as told:
        settings()
    assert f"PHOTOCHROM_{name}" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DRAIN_SECOND", "DRAIN_SECONDS"),
        ("READS_FROM", "READ_FROM"),
        ("REDIS_URI", "REDIS_URL"),
    ],
)
def test_a_misspelt_name_is_an_error_that_gives_the_right_one(monkeypatch, name, meant):
    monkeypatch.setenv(f"PHOTOCHROM_{name}", "1")
    with pytest.raises(UsageError) as told:
        settings()
    assert str(told.value) == f"there is no setting PHOTOCHROM_{name}: did you mean PHOTOCHROM_{meant}?"


def test_another_name_of_ours_is_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("PHOTOCHROM_FAVOURITE_ANIMAL", "heron")
    assert settings().window == 50_000
    assert caplog.messages == ["there is no setting PHOTOCHROM_FAVOURITE_ANIMAL"]


def test_names_that_kubernetes_makes_for_services_and_those_of_the_start_are_no_news(monkeypatch, caplog):
    for name in ("REDIS_SERVICE_HOST", "REDIS_PORT", "REDIS_PORT_6379_TCP_ADDR", "S3_SERVICE_PORT_HTTP", "READY_FILE"):
        monkeypatch.setenv(f"PHOTOCHROM_{name}", "tcp://10.0.0.1:6379")
    assert settings().window == 50_000
    assert caplog.messages == []


def test_a_misspelt_secret_is_an_error(secrets):
    (secrets / "photochrom_redis_ur").write_text("redis://worker:hunter2@redis:6379/0")
    with pytest.raises(UsageError, match="did you mean PHOTOCHROM_REDIS_URL"):
        settings()


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    """Secrets as files, where containers have them."""
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    return tmp_path


def test_a_secret_may_be_a_file(secrets):
    (secrets / "photochrom_redis_url").write_text("redis://worker:hunter2@redis:6379/0\n")
    (secrets / "aws_credentials").write_text("[default]")
    assert settings().redis_url.get_secret_value() == "redis://worker:hunter2@redis:6379/0"


def test_the_environment_goes_before_the_file(secrets, monkeypatch):
    (secrets / "photochrom_redis_url").write_text("redis://file:6379/0")
    monkeypatch.setenv("PHOTOCHROM_REDIS_URL", "redis://environment:6379/0")
    assert settings().redis_url.get_secret_value() == "redis://environment:6379/0"


def test_a_secret_that_is_wrong_is_not_told(secrets):
    (secrets / "photochrom_redis_url").write_text("hunter2@redis")
    with pytest.raises(UsageError) as told:
        settings()
    assert "PHOTOCHROM_REDIS_URL" in str(told.value)
    assert "hunter2" not in str(told.value)


def test_where_there_is_no_folder_of_secrets_none_is_looked_for():
    assert Settings.model_config["secrets_dir"] in (None, SECRETS)
    assert (Settings.model_config["secrets_dir"] is None) == (not SECRETS.is_dir())


@pytest.mark.parametrize("url", ["redis://user:hunter2@host:6379/0", "rediss://:hunter2@host/1"])
def test_the_redis_password_never_shows(url):
    chosen = Settings(redis_url=url)
    assert chosen.redis_url.get_secret_value() == url
    for shown in (repr(chosen), str(chosen), str(chosen.model_dump()), chosen.model_dump_json()):
        assert "hunter2" not in shown


def test_a_wrong_redis_url_does_not_show_its_password(monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_REDIS_URL", "amqp://user:hunter2@host")
    with pytest.raises(UsageError) as told:
        settings()
    assert "hunter2" not in str(told.value)


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        settings().jpeg_quality = 1


def test_nothing_else_reads_the_environment():
    readers = set()
    for folder in ("worker", "producer", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                named = node.attr if isinstance(node, ast.Attribute) else getattr(node, "name", None)
                if named in ("environ", "environb", "getenv"):
                    readers.add(str(path.relative_to(ROOT)))
    assert readers == READ_THE_ENVIRONMENT
