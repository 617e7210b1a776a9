"""Whoever can write to a queue can neither run code in a process, nor end it, nor use its rights."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
from celery import Celery

from tests.integration import hostile
from tests.integration.conftest import House

pytestmark = pytest.mark.integration

ROLES = ("colorize", "control", "training")


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.file),)


def push(house: House, role: str, entries: Sequence[bytes]) -> None:
    """Put entries into a role's queue, to be read in their order."""
    with house.redis as client:
        for entry in entries:
            client.lpush(house.roles[role].queue, entry)


def pid_of(house: House, role: str) -> int | None:
    return house.roles[role].process.pid


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("serializer", ["pickle", "yaml", "msgpack"])
def test_only_json_is_read_and_what_was_pickled_is_never_loaded(
    house: House, role: str, serializer: str, tmp_path: Path
) -> None:
    to, file = house.roles[role], tmp_path / "made"
    pickle.loads(pickle.dumps(Payload(tmp_path / "shows-that-it-works")))  # noqa: S301
    assert (tmp_path / "shows-that-it-works").exists()
    arguments = [Payload(file)] if serializer == "pickle" else to.arguments
    before, refused = pid_of(house, role), to.log.count("message refused")
    with Celery(broker=house.settings.redis_url.get_secret_value(), set_as_current=False) as sender:
        sender.send_task(to.task, args=arguments, serializer=serializer, queue=to.queue)
    house.wait_until(lambda: to.log.count("message refused") > refused, "a line in the log")
    house.wait_until(lambda: house.is_idle(role), "an empty queue")
    assert not file.exists()
    assert to.log.count("message refused") == refused + 1, "it came again"
    house.colour_one(f"after-{serializer}-{role}")
    assert pid_of(house, role) == before


@pytest.mark.parametrize("role", ROLES)
def test_what_cannot_be_believed_is_thrown_away_and_told(house: House, role: str) -> None:
    to = house.roles[role]
    messages, refused = list(hostile.refused(to.queue, to.task)), to.log.count("message refused")
    begun = len(to.log)
    push(house, role, [message.entry for message in messages])
    house.wait_until(lambda: to.log.count("message refused") >= refused + len(messages), "a line for each")
    house.wait_until(lambda: house.is_idle(role), "an empty queue")
    said = to.log[begun:]
    assert said.count("message refused") == len(messages)
    assert [message.name for message in messages if message.said not in said] == []
    house.colour_one(f"after-hostile-{role}")


@pytest.mark.parametrize("role", ROLES)
def test_no_process_sends_on_what_a_message_asks_for(house: House, role: str) -> None:
    to = house.roles[role]
    push(house, role, list(hostile.asking_for_more(to.queue, to.task, to.arguments)))
    house.colour_one(f"after-asking-{role}")
    house.wait_until(lambda: house.is_idle(role), "an empty queue")
    with house.redis as client:
        assert not client.exists(hostile.TRAP)


def test_jobs_that_are_none_are_refused_and_others_do_no_harm(house: House) -> None:
    to = house.roles["colorize"]
    wanted = list(hostile.jobs())
    begun = len(to.log)
    push(house, "colorize", [hostile.entry(to.queue, to.task, [[job], {}, {}]) for _, job in wanted])
    kinds = {words for words, _ in wanted}
    house.wait_until(lambda: sum(map(to.log[begun:].count, kinds)) >= len(wanted), "a line for each")
    house.wait_until(lambda: house.is_idle("colorize"), "an empty queue")
    said = to.log[begun:]
    for words in kinds:
        assert said.count(words) == sum(word == words for word, _ in wanted), words
    house.colour_one("after-jobs")
    assert "this worker stops" not in to.log


@pytest.mark.parametrize(
    "key", ["in/\0.jpg", "in/two\nlines.jpg", "in/\x1b[2J.jpg", "in//.jpg", "in/%2e%2e/x.jpg", "in/"]
)
def test_an_odd_key_ends_alone(house: House, key: str) -> None:
    to = house.roles["colorize"]
    begun = len(to.log)
    push(house, "colorize", [hostile.entry(to.queue, to.task, [[hostile.job(image={"key": key})], {}, {}])])
    house.wait_until(lambda: "1 images ended, 0 left" in to.log[begun:], "its end")
    assert "\x1b" not in to.log
    house.colour_one(f"after-odd-key-{len(key)}-{ord(key[3:4] or 'x')}")


def test_nothing_of_all_that_is_left(house: House) -> None:
    def lists() -> list[bytes]:
        with house.redis as client:
            found = (key for key in client.scan_iter("*") if client.type(key) == b"list")
            return [key for key in found if not key.endswith(b":samples")]  # a submission's, for its rate

    # for moments there is also a sweep, which comes five times a second
    house.wait_until(lambda: not lists() and all(map(house.is_idle, ROLES)), "nothing in a queue or in a hand")
