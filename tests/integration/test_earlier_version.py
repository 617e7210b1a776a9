"""Work that version 0.1 began is finished by this one, whatever of it was in flight when the processes were ended."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.stack import HOUSE, Stack
from photochrom.producer.records.submission import ended
from photochrom.worker.ledger import keys
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings
from tests.chaos.check import FINDINGS, check, collect
from tests.chaos.run import HURRIED
from tests.integration import recorded_state
from tests.integration.recorded_state import State

pytestmark = pytest.mark.integration

DEADLINE = 180.0
"""Seconds; only what is broken takes so long."""

STATE_BUCKET = "photochrom-state"

LOOKS = {"PHOTOCHROM_RECONCILE_INTERVAL": "1", "PHOTOCHROM_STATE_BUCKET": STATE_BUCKET}


@pytest.fixture(scope="module")
def state() -> State:
    return recorded_state.load()


@pytest.fixture(scope="module")
def finished(state: State) -> Iterator[tuple[Stack, Settings]]:
    """The recorded state, after this version's control and one worker have finished all of it."""
    environment = HURRIED | LOOKS
    stack = Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, control=False, environment=environment)
    with stack, stack.exported() as settings:
        assert stack.s3
        client, store = redis_of(settings), Store(settings)
        recorded_state.put_into_redis(state, client)
        recorded_state.put_into_s3(state, stack.s3.client())
        with process(stack, "control") as control, process(stack, "worker", "--concurrency", "1") as worker:
            for name in state.pictures:
                wait_until(partial(ended, name, store, settings), f"the end of {name}", control, worker)
            wait_until(lambda: is_idle(client), "the last acknowledgement", control, worker)
        yield stack, settings


@contextmanager
def process(stack: Stack, role: str, *options: str) -> Iterator[Process]:
    """A process with a stand-in for the model, in the environment of the stack."""
    command = [sys.executable, "-m", "tests.chaos.worker", role, *options]
    started = Process(role, command, stack.folder, stack.folder / "log" / f"{role}.log")
    try:
        started.start(os.environ | {"PYTHONPATH": str(HOUSE)})
        yield started
    finally:
        started.stop(patience=30)


def wait_until(condition: Callable[[], bool], what: str, *processes: Process) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        for each in processes:
            each.check()
        tails = "\n".join(each.tail() for each in processes)
        assert time.monotonic() < until, f"{what}: not within {DEADLINE:.0f} s\n{tails}"
        time.sleep(0.05)


def is_idle(client: redis.Redis) -> bool:
    queued = sum(int(client.llen(keys.queue(priority))) for priority in keys.PRIORITIES.values())
    return not queued and not client.hlen(keys.UNACKED.format(role="colorize"))


def redis_of(settings: Settings) -> redis.Redis:
    return redis.Redis.from_url(settings.redis_url.get_secret_value())


def etag_of(entry: dict[str, Any]) -> str:
    """As S3 makes it of a small object."""
    return f'"{hashlib.md5(recorded_state.body(entry)).hexdigest()}"'


def objects(state: State, bucket: str) -> dict[str, Any]:
    return {entry["key"]: entry for entry in state.objects if entry["bucket"] == bucket}


def test_the_recorded_state_holds_work_at_every_stage(state: State) -> None:
    recorded, folder = objects(state, STATE_BUCKET), "submissions/begun/"
    assert sum(key.startswith(folder + "pages/") for key in recorded) == 5
    assert sum(key.startswith(folder + "outcomes/") for key in recorded) == 1
    assert sum(key.startswith(folder + "quarantine/") for key in recorded) == 2
    assert sum(key.startswith("begun/") for key in objects(state, "coloured")) == 20
    assert state_keys.ended("ended") in recorded
    assert not any("unlisted/pages" in key for key in recorded)
    lengths = {recorded_state.decode(name): len(entry["value"]) for name, entry in state.redis.items()}
    queues = [keys.queue(priority).encode() for priority in keys.PRIORITIES.values()]
    assert [lengths.get(queue, 0) for queue in queues] == [5, 0, 17, 3]
    assert lengths[keys.UNACKED.format(role="colorize").encode()] == 1
    assert lengths[keys.of("begun", "starts").encode()] == 1


def test_every_image_of_every_submission_ends_once_and_right(state: State, finished: tuple[Stack, Settings]) -> None:
    _, settings = finished
    sources = objects(state, "archive")
    for name, pictures in state.pictures.items():
        source, destination = state.source(name), state.destination(name)
        found = collect(name, source, destination, settings.state_bucket, Store(settings), redis_of(settings))
        etags = {picture.name: etag_of(sources[source.prefix + picture.name]) for picture in pictures}
        verdict = check(pictures, etags, found)
        assert verdict.counts == dict.fromkeys(FINDINGS, 0), (name, verdict.examples)
        assert found.ended


def test_results_that_were_there_are_not_written_again(state: State, finished: tuple[Stack, Settings]) -> None:
    _, settings = finished
    store = Store(settings)
    written_again = [
        key
        for key, entry in objects(state, "coloured").items()
        if store.head("coloured", key).metadata != entry["metadata"] | recorded_state.MARK
    ]
    assert written_again == []


def test_what_s3_held_of_the_submissions_is_as_it_was(state: State, finished: tuple[Stack, Settings]) -> None:
    _, settings = finished
    store = Store(settings)
    held = objects(state, STATE_BUCKET)
    changed = [key for key, entry in held.items() if store.get(STATE_BUCKET, key).data != recorded_state.body(entry)]
    assert changed == []


def test_nothing_was_rebuilt_and_nothing_refused(finished: tuple[Stack, Settings]) -> None:
    stack, _ = finished
    logs = "".join(log.read_text(errors="replace") for log in Path(stack.folder, "log").glob("*.log"))
    assert "rebuilt" not in logs
    assert "refused" not in logs
    assert "not foreseen" not in logs
