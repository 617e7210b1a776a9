"""Kombu's Redis transport, with three changes: no slot is lost to a broker that is away, one that refuses
is as good as away, and taking can be paused.

Kombu counts a message as in hand until its acknowledgement has gone through. When the broker is away at that moment,
Celery logs the failure and goes on, and the message is counted for ever: as soon as every slot is, nothing is asked of
the broker any more, so that not even its loss is seen. Here the slot is free at once, and what could not be said is
said when the broker is back. To say it late, or twice, does no harm: Redis is asked for one message, by its tag.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import Empty
from typing import Any

from kombu import transport
from kombu.transport import redis
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import RedisError, ResponseError

from photochrom.worker.queue.intake import Intake

AWAY = (RedisError, OSError)
"""What is raised when Redis cannot be reached, or does not do what it is asked to."""


def use_for_redis() -> None:
    """From now on, kombu's connections of this process are made with the classes below."""
    name = f"{__name__}:{Transport.__name__}"
    transport.TRANSPORT_ALIASES.update(redis=name, rediss=name)


class QoS(redis.QoS):
    """The slots of a channel."""

    def can_consume(self) -> bool:
        """Whether another message may come. The answer to a question that was sent already is always read: it may hold
        a message, which would be in nobody's hands.
        """
        asked = bool(self.channel._in_poll)
        return (asked or self._intake.may_take()) and super().can_consume()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Called with each message that comes."""
        self._intake.note_taken()
        super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """The message has ended. Raises nothing."""
        self._do_or_owe(delivery_tag, partial(super().ack, delivery_tag), requeue=False)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """The message goes back into the queue, or has ended. Raises nothing."""
        self._do_or_owe(delivery_tag, partial(super().reject, delivery_tag, requeue), requeue)

    def restore_visible(self, *args: Any, **options: Any) -> None:
        """Called every second while there is a connection. Raises Lost, on which kombu waits for the next time."""
        try:
            self._intake.owed.settle(self._end, partial(self.restore_by_tag, leftmost=True))
            super().restore_visible(*args, **options)
        except ResponseError as error:  # no room, a replica: kombu would not foresee it
            raise Lost(str(error)) from error

    @property
    def _intake(self) -> Intake:
        return self.channel.intake

    def _do_or_owe(self, tag: str, act: Callable[[], None], requeue: bool) -> None:
        if self.channel.closed:
            if tag in self._delivered:  # else it went back into the queue when the channel was closed
                self._intake.owed.add(tag, requeue)
            return
        try:
            act()
        except AWAY:
            self._intake.owed.add(tag, requeue)
            self._quick_ack(tag)

    def _end(self, tag: str) -> None:
        self._remove_from_indices(tag).execute()


class Channel(redis.Channel):
    """A channel that knows the `intake` of its connection's `transport_options`; without one, taking is not paused."""

    QoS = QoS
    from_transport_options = (*redis.Channel.from_transport_options, "intake")  # type: ignore[assignment]

    def __init__(self, *args: Any, **options: Any) -> None:
        self.intake = Intake(lambda: True)  # of other connections of this process than its consumer's
        super().__init__(*args, **options)

    def _brpop_read(self, **options: Any) -> Any:
        """Called when there is something to read. What Redis refuses now is no reason for the process to end.

        Where nothing was asked, the server closed the connection, or another one has the same file descriptor by now:
        to wait for an answer would hold the whole process. The next question is asked over a new connection.
        """
        if not self._in_poll:
            self.client.connection.disconnect()
            raise Empty
        try:
            return super()._brpop_read(**options)
        except ResponseError as error:
            raise Lost(str(error)) from error


class Transport(redis.Transport):
    """By the name of which kombu finds all of this."""

    Channel = Channel
