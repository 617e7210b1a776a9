"""The embedded stack: private, restartable, and gone without a trace."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from photochrom.deploy.stack.process import EndedError, Process
from photochrom.deploy.stack.servers import SeaweedFS, Valkey, free_ports
from photochrom.deploy.stack.stack import Stack
from photochrom.worker.errors import RetryableError, WorkerFault
from photochrom.worker.s3.store import Store

pytestmark = pytest.mark.integration

DEADLINE = 120.0  # seconds

STACK_THAT_WAITS = """
import signal
import time
from contextlib import suppress
from photochrom.deploy.stack.stack import Stack
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where they run under nohup
with Stack(workers=0, control=False) as stack:
    print(stack.folder, stack.redis.process.pid, stack.s3.process.pid, flush=True)
    while True:
        time.sleep(0.1)  # and not pause(), before which a signal may just have come
"""


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch):
    for name in ("PHOTOCHROM_REDIS_URL", "PHOTOCHROM_S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def servers_only() -> Stack:
    return Stack(workers=0, control=False)


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {DEADLINE} s"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """A zombie, which nobody in a container may ever collect, does not run."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc on macOS
        return sys.platform != "linux"


def process_ids(stack: Stack) -> list[int]:
    return [stack.redis.process.pid, stack.s3.process.pid]


def test_two_stacks_run_side_by_side_and_share_nothing():
    with servers_only() as one, servers_only() as other:
        assert not {*one.redis.ports, *one.s3.ports} & {*other.redis.ports, *other.s3.ports}
        for stack, body in ((one, b"one"), (other, b"other")):
            with stack.exported() as settings, redis.Redis.from_url(stack.redis.url) as client:
                Store(settings).put("photochrom-in", "which", body)
                client.set("which", body)
        for stack, body in ((one, b"one"), (other, b"other")):
            with stack.exported() as settings, redis.Redis.from_url(stack.redis.url) as client:
                assert Store(settings).get("photochrom-in", "which").data == body
                assert client.get("which") == body


def test_a_strangers_credentials_open_nothing():
    with servers_only() as one, servers_only() as other:
        with one.exported(), pytest.raises(WorkerFault):
            Store(other.settings).head("photochrom-in", "which")
        with redis.Redis(host="127.0.0.1", port=one.redis.ports[0]) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_objects_survive_kill_9_of_the_s3_server_which_returns_at_the_same_place():
    with servers_only() as stack, stack.exported() as settings:
        before = stack.s3.url
        Store(settings).put("photochrom-in", "kept", b"bytes" * 1000)
        stack.s3.kill()
        stack.s3.start()
        assert stack.s3.url == before
        kept = []

        def readable():  # it answers before it has found its volumes, with 500
            with suppress(RetryableError):
                kept.append(Store(settings).get("photochrom-in", "kept").data)
            return kept

        wait_for(readable, "the object")
        assert kept == [b"bytes" * 1000]


def test_keys_survive_kill_9_of_the_redis_server_which_returns_at_the_same_place():
    with servers_only() as stack, redis.Redis.from_url(stack.redis.url) as client:
        before = stack.redis.url
        client.set("kept", "value")
        wait_for(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, "written to the log")
        stack.redis.kill()
        stack.redis.start()
        assert stack.redis.url == before
        assert client.get("kept") == b"value"


def test_a_server_that_was_killed_is_noticed():
    with servers_only() as stack:
        os.kill(stack.redis.process.pid, signal.SIGKILL)
        wait_for(lambda: not stack.redis.process.running, "its end")
        with pytest.raises(EndedError, match="valkey ended with exit code -9"):
            stack.check()


def test_nothing_is_left_when_the_block_ends():
    with servers_only() as stack:
        ids, ports = process_ids(stack), (*stack.redis.ports, *stack.s3.ports)
    assert not any(map(is_running, ids))
    assert not stack.folder.exists()
    assert not [left for port in ports for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]


def test_nothing_is_left_when_the_block_raises():
    with pytest.raises(ZeroDivisionError), servers_only() as stack:
        ids = process_ids(stack)
        raise ZeroDivisionError
    assert not any(map(is_running, ids))
    assert not stack.folder.exists()


def test_nothing_is_left_when_the_start_fails_half_way(monkeypatch):
    started = []

    def fail(server: SeaweedFS) -> None:
        raise WorkerFault("no S3 today")

    monkeypatch.setattr(SeaweedFS, "start", fail)
    start = Valkey.start
    monkeypatch.setattr(Valkey, "start", lambda server: (start(server), started.append(server)))
    with pytest.raises(WorkerFault, match="no S3 today"), servers_only():
        pass
    assert not is_running(started[0].process.pid)
    assert not started[0].folder.exists()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_nothing_runs_on_when_the_owner_is_ended_by_a_signal(sent):
    command = [sys.executable, "-c", STACK_THAT_WAITS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner:
        folder, *ids = owner.stdout.readline().split()
        owner.send_signal(sent)
        owner.wait(DEADLINE)
    for pid in map(int, ids):
        wait_for(lambda pid=pid: not is_running(pid), f"the end of {pid}")
    if sent == signal.SIGKILL:
        shutil.rmtree(folder)  # nobody was left to do it
    assert not Path(folder).exists()


def test_a_redis_that_the_settings_name_is_used(monkeypatch, tmp_path):
    elsewhere = Valkey(tmp_path / "redis")
    elsewhere.start()
    try:
        monkeypatch.setenv("PHOTOCHROM_REDIS_URL", elsewhere.url)
        with servers_only() as stack:
            assert stack.redis is None
            assert stack.settings.redis_url.get_secret_value() == elsewhere.url
        wait_for(elsewhere.answers, "its answer")
    finally:
        elsewhere.stop()


def test_the_environment_is_lent_with_our_own_and_given_back_as_it_was(monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of the user")
    with servers_only() as stack:
        before = dict(os.environ)
        with stack.exported():
            assert "AWS_SESSION_TOKEN" not in os.environ
            assert os.environ["PATH"] == before["PATH"]
            assert os.environ["AWS_ACCESS_KEY_ID"] == stack.s3.access_key
        assert dict(os.environ) == before


def test_a_port_that_was_taken_meanwhile_costs_only_another_attempt(monkeypatch, tmp_path):
    first, second = Valkey(tmp_path / "first"), Valkey(tmp_path / "second")
    first.start()
    offered = iter([first.ports, free_ports(1)])
    monkeypatch.setattr("photochrom.deploy.stack.servers.free_ports", lambda count: next(offered))
    try:
        second.start()
        assert second.ports != first.ports
        wait_for(second.answers, "its answer")
    finally:
        first.stop()
        second.stop()


def test_a_process_that_ends_too_early_is_told_with_the_end_of_its_log(tmp_path):
    process = Process("talker", ["/bin/sh", "-c", "echo no model here; exit 3"], tmp_path, tmp_path / "log")
    process.start(os.environ)
    with pytest.raises(EndedError, match=r"exit code 3; its log:\nno model here"):
        process.wait_until(lambda: False, DEADLINE)
    process.stop()


def test_what_ignores_sigterm_is_killed_with_its_children(tmp_path):
    stubborn = "trap '' TERM; sleep 1000 & echo $!; wait; wait"
    process = Process("stubborn", ["/bin/sh", "-c", stubborn], tmp_path, tmp_path / "log")
    process.start(os.environ)
    process.wait_until(lambda: process.tail() != "(empty)", DEADLINE)
    process.stop(patience=0.1)
    assert process.exit_code == -signal.SIGKILL
    wait_for(lambda: not is_running(int(process.tail())), "the end of its child")
