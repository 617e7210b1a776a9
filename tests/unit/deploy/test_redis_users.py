"""The Redis users that compose.yaml's secrets hold, over TLS: each may do its role's work, and not the others'."""

import json
import re

import pytest
import redis
from celery import Celery

from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.settings import Settings
from tests.secured_redis import ADDRESS, BUCKETS, make_secrets

KEDA = """
    local kind = redis.call('type', KEYS[1]).ok
    return redis.call(({zset='zcard', set='scard', list='llen', hash='hlen', none='llen'})[kind], KEYS[1])
"""
"""What KEDA's Redis lists scaler asks."""


@pytest.fixture
def settings_of(no_settings, server):
    return lambda user: Settings(redis_url=server.url_of(user))


@pytest.fixture
def client_of(settings_of):
    return lambda user: redis.Redis.from_url(settings_of(user).redis_url.get_secret_value(), decode_responses=True)


@pytest.mark.parametrize("user", ["worker", "control", "submit"])
def test_who_works_on_submissions_reaches_the_ledger(user, settings_of):
    ledger = Ledger(settings_of(user))
    ledger.activate("s")
    start = ledger.start("s", 1)
    ledger.give_back("s", 1, start)
    ledger.record_done("s", 2)
    ledger.note_sent("s", [3])
    assert ledger.counts("s").done == 1
    ledger.retire("s")


@pytest.mark.parametrize(
    ("user", "queue"),
    [
        ("worker", keys.QUEUE),
        ("control", keys.QUEUE),
        ("submit", keys.QUEUE),
        ("submit", "photochrom.control"),
        ("control", keys.TRAINING_QUEUE),
        ("training", keys.TRAINING_QUEUE),
    ],
)
def test_who_sends_messages_to_a_queue_may(user, queue, settings_of, client_of):
    before = client_of("control").llen(queue)
    with Celery(broker=settings_of(user).redis_url.get_secret_value(), set_as_current=False) as app:
        app.send_task("a-task", queue=queue, priority=0)
    assert client_of("control").llen(queue) == before + 1


@pytest.mark.parametrize(
    ("user", "queue"),
    [("worker", "photochrom.control"), ("worker", keys.TRAINING_QUEUE), ("training", keys.QUEUE)],
)
def test_nobody_reaches_the_queue_of_another_role(user, queue, client_of):
    with pytest.raises(redis.exceptions.NoPermissionError):
        client_of(user).lpush(queue, "x")


def test_training_may_not_touch_submissions(settings_of):
    with pytest.raises(RetryableError, match="NoPermission"):
        Ledger(settings_of("training")).record_done("s", 1)


def test_only_control_says_which_redis_this_is(settings_of):
    Ledger(settings_of("control")).set_epoch("e")
    for user in ("worker", "training", "submit"):
        with pytest.raises(RetryableError, match="NoPermission"):
            Ledger(settings_of(user)).set_epoch("another")


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("KEYS", "*"), ("SHUTDOWN",)]
)
@pytest.mark.parametrize("user", ["worker", "control", "training", "submit", "scaler"])
def test_nobody_may_look_into_the_server_or_empty_it(user, command, client_of):
    with pytest.raises(redis.exceptions.NoPermissionError):
        client_of(user).execute_command(*command)


@pytest.mark.parametrize("command", [("PUBLISH", "/0.celery.pidbox", "x"), ("SUBSCRIBE", "/0.celery.pidbox")])
@pytest.mark.parametrize("user", ["worker", "control", "training", "submit", "scaler"])
def test_nobody_may_speak_to_workers_beside_the_queue(user, command, client_of):
    with pytest.raises(redis.exceptions.NoPermissionError):
        client_of(user).execute_command(*command)


def test_the_scaler_sees_how_much_waits_and_is_in_hand_and_changes_nothing(client_of):
    scaler = client_of("scaler")
    for name in (*map(keys.queue, (0, 3, 6, 9)), keys.UNACKED.format(role="colorize")):
        assert scaler.eval(KEDA, 1, name) >= 0
    with pytest.raises(redis.exceptions.NoPermissionError):
        scaler.rpush(keys.QUEUE, "x")
    with pytest.raises(redis.exceptions.NoPermissionError):
        scaler.llen("photochrom.control")


def test_who_does_not_say_who_he_is_may_ask_whether_redis_is_there(server):
    nobody = redis.Redis(port=server.ports[0])
    assert nobody.ping()
    with pytest.raises(redis.exceptions.NoPermissionError):
        nobody.get(keys.EPOCH)


def test_a_second_run_changes_nothing_and_adds_what_is_missing(secrets):
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    (secrets / "grafana_password").unlink()
    written = make_secrets().write_all(secrets, ADDRESS, *BUCKETS)
    assert written == ["grafana_password"]
    after = {path.name: path.read_text() for path in secrets.iterdir()}
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in before if name != "grafana_password")


def test_redis_gets_no_password_and_the_folder_is_closed(secrets):
    users = (secrets / "redis_users").read_text()
    for path in secrets.glob("redis_url_*"):
        assert re.search(r":([\w-]{20,})@", path.read_text())[1] not in users
    assert secrets.stat().st_mode & 0o077 == 0


def test_only_the_worker_writes_results(secrets):
    identities = {
        who["name"]: who["actions"] for who in json.loads((secrets / "seaweedfs_s3").read_text())["identities"]
    }
    assert {name for name, actions in identities.items() if "Write:coloured" in actions} == {"worker"}
    assert not any(
        action.endswith(":archive") and action.startswith("Write") for found in identities.values() for action in found
    )
