"""The shape of a worker follows from its machine, unless it is set by hand."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import photochrom.worker.queue.app
from photochrom.deploy.cli import app
from photochrom.worker.cli import explain
from photochrom.worker.cli.tuning import BY_HAND, PICTURE_BYTES, PROCESS_BYTES, tune
from photochrom.worker.errors import UsageError
from photochrom.worker.machine import Machine
from photochrom.worker.settings import Settings

GIB = 2**30

pytestmark = pytest.mark.usefixtures("no_settings")


def chosen(device="cpu", cores=8, quota=None, memory=256 * GIB, **by_hand):
    return tune(Settings(**by_hand), Machine(cores, quota, memory), device)


def why(tuning, name):
    return next(choice.why for choice in tuning.choices if choice.name == name)


def test_a_cpu_has_a_process_of_one_thread_for_each_core():
    settings = chosen().settings
    assert (settings.pool, settings.concurrency, settings.torch_threads) == ("prefork", 8, 1)


def test_a_quota_counts_like_cores():
    assert chosen(quota=2.5).settings.concurrency == 2


def test_there_are_no_more_processes_than_memory_has_room_for_and_the_cores_are_used_all_the_same():
    tuning = chosen(memory=4 * GIB)
    assert (tuning.settings.concurrency, tuning.settings.torch_threads) == (2, 4)
    assert "memory" in why(tuning, "concurrency")


def test_memory_that_is_not_known_limits_nothing():
    assert chosen(memory=None).settings.concurrency == 8


def test_a_device_is_fed_by_threads_with_two_batches_in_hand():
    settings = chosen("cuda", batch_images=12).settings
    assert (settings.pool, settings.concurrency, settings.torch_threads) == ("threads", 24, 1)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_the_shape_was_chosen_for_is_what_the_engine_uses(device):
    assert chosen(device).settings.device == device


def test_threads_beside_a_device_have_room_in_memory_too():
    assert chosen("cuda", memory=PROCESS_BYTES + 5 * PICTURE_BYTES).settings.concurrency == 5


@pytest.mark.parametrize(("device", "pool"), [("cpu", "prefork"), ("cpu", "threads"), ("cuda", "threads")])
def test_each_process_keeps_a_connection_to_fetch_and_one_to_store_by(device, pool):
    settings = chosen(device, pool=pool).settings
    in_hand = 1 if pool == "prefork" else settings.concurrency
    assert settings.s3_connections > 2 * in_hand


def test_a_gpu_is_not_used_by_processes_that_were_forked():
    with pytest.raises(UsageError, match="prefork"):
        chosen("cuda", pool="prefork")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_set_by_hand_stays_and_is_called_so(device):
    by_hand = {"pool": "threads", "concurrency": 3, "torch_threads": 5, "s3_connections": 77}
    tuning = chosen(device, memory=GIB, **by_hand)
    assert {name: getattr(tuning.settings, name) for name in by_hand} == by_hand
    assert {why(tuning, name) for name in by_hand} == {BY_HAND}


@given(
    cores=st.integers(1, 512),
    quota=st.none() | st.floats(0.01, 512),
    memory=st.none() | st.integers(1, 2**42),
    device=st.sampled_from(["cpu", "cuda"]),
    batch=st.integers(1, 256),
)
def test_whatever_the_machine_a_worker_works_within_it(cores, quota, memory, device, batch):
    tuning = chosen(device, cores, quota, memory, batch_images=batch)
    settings = tuning.settings
    processes = settings.concurrency if settings.pool == "prefork" else 1
    assert settings.concurrency >= 1
    assert processes * settings.torch_threads <= max(1, round(quota or cores), 1)
    assert processes <= cores
    if memory is not None and settings.concurrency > 1:
        assert processes * PROCESS_BYTES + settings.concurrency * PICTURE_BYTES <= memory


# ---- the command


@pytest.mark.parametrize(("pool", "driver"), [("prefork", True), (None, False)])
def test_torch_is_not_asked_for_a_gpu_that_cannot_be_used(monkeypatch, pool, driver):
    monkeypatch.setattr("photochrom.worker.inference.device.choose", lambda _: pytest.fail("torch was asked"))
    monkeypatch.setattr(explain, "_has_driver", lambda: driver)
    assert explain.tuned(None, pool).settings.device == "cpu"


def test_where_there_may_be_a_gpu_torch_knows(monkeypatch):
    found = SimpleNamespace(place=SimpleNamespace(type="cuda"))
    monkeypatch.setattr("photochrom.worker.inference.device.choose", lambda _: found)
    monkeypatch.setattr(explain, "_has_driver", lambda: True)
    settings = explain.tuned(None, None).settings
    assert (settings.device, settings.pool) == ("cuda", "threads")


@pytest.fixture
def on_a_cpu(monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_DEVICE", "cpu")
    monkeypatch.setattr(explain, "machine", lambda: Machine(4, None, 64 * GIB))


def explained(*options):
    done = CliRunner().invoke(app, ["worker", "--explain", *options])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("on_a_cpu")
def test_the_worker_explains_its_choices_and_takes_no_job(monkeypatch):
    monkeypatch.setattr(photochrom.worker.queue.app, "run", lambda *_: pytest.fail("it was started"))
    text = explained()
    assert "a process per core" in text
    assert "prefork" in text


@pytest.mark.usefixtures("on_a_cpu")
def test_machines_are_told_the_same_line_by_line():
    told = [json.loads(line) for line in explained("--json", "--concurrency", "3").splitlines()]
    assert {"name": "concurrency", "value": 3, "why": BY_HAND} in told
    assert {line["name"] for line in told} >= {"device", "precision", "cores", "memory", "pool", "prefetch", "batch"}


@pytest.mark.usefixtures("on_a_cpu")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_nothing_secret_is_told(monkeypatch, options):
    monkeypatch.setenv("PHOTOCHROM_REDIS_URL", "redis://user:hunter2@host:6379/0")
    assert "hunter2" not in explained(*options)


@pytest.mark.usefixtures("on_a_cpu")
@pytest.mark.parametrize(
    ("options", "pool", "concurrency"),
    [((), "prefork", 4), (("--pool", "threads", "--concurrency", "2"), "threads", 2)],
)
def test_the_worker_is_started_in_the_shape_that_was_chosen(monkeypatch, options, pool, concurrency):
    started = []
    monkeypatch.setattr(photochrom.worker.queue.app, "run", lambda *arguments: started.append(arguments))
    assert CliRunner().invoke(app, ["worker", *options]).exit_code == 0
    [(role, settings, _, celery_options, _)] = started
    assert role == "colorize"
    assert (settings.pool, settings.concurrency) == (pool, concurrency)
    assert celery_options == ["--pool", pool, "--concurrency", str(concurrency)]
