"""The slots of a channel: none is lost to a broker that is away, and none is filled while taking is paused."""

import logging
import time
from contextlib import contextmanager, suppress
from queue import Empty

import pytest
import redis
from kombu import Connection, Consumer, Producer, Queue

from photochrom.deploy.stack.servers import Valkey
from photochrom.worker.queue import broker
from photochrom.worker.queue.intake import Intake

QUEUE, DEADLINE = "photochrom.test", 60.0

log = logging.getLogger(__name__)


@pytest.fixture
def server(tmp_path):
    server = Valkey(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def take(server):
    """Makes one who takes messages."""
    made = []

    def make(**options):
        made.append(Taking(server.url, **options))
        return made[-1]

    yield make
    for taking in made:
        taking.connection.close()


class Taking:
    """One who takes messages by kombu alone, one at a time."""

    def __init__(self, url, may_take=lambda: True):
        self.intake, self.messages = Intake(may_take), []
        self.connection = Connection(
            url, transport=f"{broker.__name__}:Transport", transport_options={"intake": self.intake}
        )
        self.errors = self.connection.connection_errors
        self.channel = self.connection.channel()
        self.channel.basic_qos(0, 1, False)
        Consumer(self.channel, [Queue(QUEUE)], on_message=self.messages.append).consume()

    def turn(self, seconds=0.2):
        with suppress(*self.errors):  # a timeout is one of them
            self.connection.drain_events(timeout=seconds)

    def turn_until(self, condition):
        until = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < until
            self.turn()


@contextmanager
def stopped(server):
    server.stop()
    yield
    server.start()


def send(server, *bodies):
    with Connection(server.url) as connection:
        for body in bodies:
            Producer(connection).publish(body, routing_key=QUEUE, serializer="json", declare=[Queue(QUEUE)])


def left(server):
    """Messages in the queue, and those that were taken and not acknowledged."""
    with redis.Redis.from_url(server.url) as client:
        return client.llen(QUEUE), client.hlen("unacked"), client.zcard("unacked_index")


def bodies(taking):
    return [message.decode() for message in taking.messages]


def test_a_message_that_could_not_be_given_back_comes_again_and_keeps_no_slot(server, take):
    send(server, "first")
    taking = take()
    taking.turn_until(lambda: taking.messages)
    with stopped(server):
        taking.messages[0].reject_log_error(log, taking.errors, requeue=True)
        assert taking.channel.qos.can_consume()
    taking.turn_until(lambda: len(taking.messages) == 2)
    assert bodies(taking) == ["first", "first"]
    taking.messages[1].ack()
    assert left(server) == (0, 0, 0)


def test_a_message_that_could_not_be_acknowledged_does_not_come_again(server, take):
    send(server, "first", "second")
    taking = take()
    taking.turn_until(lambda: taking.messages)
    with stopped(server):
        taking.messages[0].ack_log_error(log, taking.errors)
    taking.turn_until(lambda: len(taking.messages) == 2)
    assert bodies(taking) == ["first", "second"]
    taking.messages[1].ack()
    taking.turn_until(lambda: not len(taking.intake.owed))
    assert left(server) == (0, 0, 0)


def test_a_broker_that_answers_and_does_not_do_it_is_as_good_as_away(server, take):
    send(server, "first", "second")
    taking = take()
    taking.turn_until(lambda: taking.messages)
    with redis.Redis.from_url(server.url) as client:
        client.config_set("min-replicas-to-write", 1)
        taking.messages[0].ack_log_error(log, taking.errors)
        taking.turn()
        client.config_set("min-replicas-to-write", 0)
    taking.turn_until(lambda: len(taking.messages) == 2)
    taking.turn_until(lambda: not len(taking.intake.owed))
    assert bodies(taking) == ["first", "second"]


def test_what_was_in_hand_when_the_connection_was_lost_ends_over_the_next_one(server, take):
    send(server, "first", "second")
    before = take()
    before.turn_until(lambda: before.messages)
    with stopped(server), suppress(*before.errors):
        before.connection.close()
    after = take()
    after.intake.owed = before.intake.owed  # as with Celery, whose consumer has one intake
    before.messages[0].ack_log_error(log, before.errors)
    after.turn_until(lambda: after.messages)
    after.turn_until(lambda: not len(after.intake.owed))
    after.messages[0].ack()
    assert bodies(after) == ["second"]
    assert left(server) == (0, 0, 0)


def test_what_went_back_when_the_connection_was_closed_is_not_given_back_twice(server, take):
    send(server, "first")
    before = take()
    before.turn_until(lambda: before.messages)
    before.connection.close()
    before.messages[0].reject_log_error(log, before.errors, requeue=True)
    assert not len(before.intake.owed)
    assert left(server) == (1, 0, 0)


def test_while_taking_is_paused_messages_stay_in_the_queue(server, take):
    allowed = []
    taking = take(may_take=lambda: bool(allowed))
    send(server, "first")
    for _ in range(5):
        taking.turn()
    assert taking.messages == []
    assert left(server)[0] == 1
    allowed.append(True)
    taking.turn_until(lambda: taking.messages)


def test_a_message_that_was_asked_for_before_the_pause_is_in_somebodys_hands(server, take):
    allowed = [True]
    taking = take(may_take=lambda: bool(allowed))
    taking.turn(0.1)  # asks, and is not answered yet
    allowed.clear()
    send(server, "first")
    taking.turn_until(lambda: taking.messages)
    taking.messages[0].reject(requeue=True)
    for _ in range(5):
        taking.turn()
    assert len(taking.messages) == 1
    assert left(server)[0] == 1


def test_a_connection_without_a_consumer_of_celerys_takes_messages_as_by_kombu_alone(server):
    send(server, "first")
    with Connection(server.url, transport=f"{broker.__name__}:Transport") as connection:
        message = connection.SimpleQueue(QUEUE).get(timeout=DEADLINE)
        message.ack()
    assert message.decode() == "first"
    assert left(server) == (0, 0, 0)


def test_no_answer_is_waited_for_where_none_was_asked_for(server, take):
    taking = take()
    taking.turn()
    taking.turn_until(lambda: not taking.channel._in_poll)
    with pytest.raises(Empty):
        taking.channel.handlers["BRPOP"]()
    send(server, "one")
    taking.turn_until(lambda: taking.messages)
