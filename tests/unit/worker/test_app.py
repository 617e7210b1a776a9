"""How a role's process is started: what is told to Celery, and by what it is seen."""

import json
import logging
from types import SimpleNamespace

import pytest
from celery import bootsteps, signals
from kombu import transport

from photochrom.worker import settings
from photochrom.worker.process import shutdown
from photochrom.worker.queue import app, heartbeat
from photochrom.worker.queue.consumer import PatientConsumer
from photochrom.worker.queue.heartbeat import Heartbeat
from photochrom.worker.queue.message_guard import GuardedConsumer
from photochrom.worker.settings import Settings
from photochrom.worker.telemetry import exporter


@pytest.fixture
def started(no_settings, monkeypatch, tmp_path):
    """Starts a role with some settings, and gives back what was done for it."""
    done = SimpleNamespace(arguments=[], served=[], prepared=[], file=tmp_path / "heartbeat")
    monkeypatch.setattr(transport, "TRANSPORT_ALIASES", dict(transport.TRANSPORT_ALIASES))
    monkeypatch.setattr(app.app, "worker_main", done.arguments.extend)
    monkeypatch.setattr(app.app, "steps", {"worker": set(), "consumer": set()})
    monkeypatch.setattr(exporter, "serve", lambda port, role: done.served.append((port, role)))
    monkeypatch.setattr(exporter, "prepare", lambda several: done.prepared.append(several))

    def start(role="control", **options):
        chosen = Settings(heartbeat_file=done.file, **options)
        monkeypatch.setattr(heartbeat, "settings", lambda: chosen)
        app.run(role, chosen, "name", ["--pool", "threads"], [])
        return done

    yield start
    monkeypatch.undo()
    settings._adopted.clear()
    settings.settings.cache_clear()


def test_a_process_is_not_ready_because_one_before_it_was(started, monkeypatch, tmp_path):
    monkeypatch.setenv(app.READY_FILE, str(tmp_path / "ready"))
    app.mark_ready()
    started()
    assert not (tmp_path / "ready").exists()


def test_a_process_is_alive_before_celery_has_begun_and_beats_from_its_loop(started):
    assert started().file.exists()
    assert Heartbeat in app.app.steps["worker"]
    assert issubclass(Heartbeat, bootsteps.StartStopStep)
    assert app.app.conf.worker_consumer == f"{GuardedConsumer.__module__}:{GuardedConsumer.__name__}"
    assert issubclass(GuardedConsumer, PatientConsumer)


def test_metrics_are_served_where_a_port_is_set(started):
    assert started().served == []
    assert started(metrics_port=9464).served == [(9464, "control")]


@pytest.mark.parametrize(
    ("role", "pool", "several"),
    [("colorize", "prefork", True), ("colorize", "threads", False), ("control", "auto", False)],
)
def test_children_count_in_files(started, role, pool, several):
    assert started(role, pool=pool, metrics_port=9464).prepared == [several]


def test_a_log_for_machines_has_no_banner(started):
    assert "--quiet" not in started().arguments
    assert "--quiet" in started(log_format="json").arguments


def test_no_worker_takes_orders_beside_the_queue():
    assert app.app.conf.worker_enable_remote_control is False


def test_celerys_lines_are_dressed_too(monkeypatch):
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(handler.format(record))
    logger = logging.Logger("celery.test")
    logger.addHandler(handler)
    monkeypatch.setattr(app, "settings", lambda: Settings(log_format="json"))
    for signal in (signals.after_setup_logger, signals.after_setup_task_logger):
        signal.send(sender=None, logger=logger, loglevel=0, logfile=None, format="", colorize=False)
        logger.warning("redis://me:hunter2@host")
    assert [json.loads(line)["message"] for line in lines] == ["redis://me:***@host"] * 2


def test_a_process_that_drains_has_said_that_it_lives_for_so_long(monkeypatch):
    told = []
    monkeypatch.setattr(heartbeat, "beat", lambda ahead=0: told.append(ahead))
    monkeypatch.setattr(shutdown, "start_draining", lambda: None)
    monkeypatch.setattr(shutdown, "end_within", lambda seconds: None)
    monkeypatch.setattr(app, "settings", lambda: Settings(drain_seconds=77))
    signals.worker_shutting_down.send(sender=None, sig="SIGTERM", how="Warm", exitcode=0)
    assert told == [77]
