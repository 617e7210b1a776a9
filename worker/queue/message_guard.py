"""What is believed of a message: a task of this process and its arguments, as JSON. Nothing else reaches Celery.

Celery does what a message asks for beside its task: it sends other tasks behind it (callbacks, chains, chords), with
this process's rights; it kills a child after a time that the message names, or keeps it in hand for years. What it
cannot read ends its process. Whoever may write to a queue is to have none of that: each message is made anew of what
is believed of it, and what cannot be read is thrown away, with a line in the log.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from typing import Any

from kombu import compression
from kombu.exceptions import KombuError
from kombu.message import Message
from kombu.utils import json
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.exceptions import DataError

from photochrom.worker.errors import UsageError
from photochrom.worker.queue.consumer import PatientConsumer

log = logging.getLogger("photochrom.queue")

MOST_BYTES = 2**20
"""Of a message's body. A job of 32 images whose keys are as long as S3 allows has a quarter of that."""

MOST_WAIT = timedelta(minutes=15)
"""That a message may ask for before it is done; we ask for ten minutes at most. It would be kept in memory, and given
out again and again behind the visibility time-out."""

MOST_RETRIES = 100
"""Counted of a message: the wait before the next try is a power of that."""

MOST_SHOWN = 200
"""Characters of what a message says that go into the log."""

JSON, OURS = "application/json", "photochrom."

MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, DataError)
"""What kombu and Celery raise at a message that is not as theirs are."""


class Envelope(BaseModel):
    """What is read of a message beside its arguments."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    task: str
    id: str = Field(pattern=r"^[!-~]{1,255}$")
    eta: datetime | None = None
    expires: datetime | None = None
    retries: int = Field(0, ge=0)

    def headers(self) -> dict[str, Any]:
        """As Celery has them. What it writes into its log in place of the arguments is ours."""
        return {
            "lang": "py",
            "task": self.task,
            "id": self.id,
            "root_id": self.id,
            "parent_id": None,
            "group": None,
            "eta": self.eta and _aware(self.eta).isoformat(),
            "expires": self.expires and _aware(self.expires).isoformat(),
            "retries": min(self.retries, MOST_RETRIES),
            "argsrepr": "(...)",
            "kwargsrepr": "{...}",
        }


class GuardedConsumer(PatientConsumer):
    """Celery's consumer behind the gate."""

    def create_task_handler(self) -> Callable[[Message], None]:
        """What is called with each message that comes."""
        channel = self.task_consumer.channel
        channel.handlers["BRPOP"] = enduring(channel.handlers["BRPOP"])
        queues = {queue.name for queue in self.task_consumer.queues}
        hand_on = super().create_task_handler()

        def on_message(message: Message) -> None:
            try:
                hand_on(believed(message, self.app.tasks, queues))
            except UsageError as error:
                self.refuse(message, error)
            except MALFORMED as error:
                log.exception("a message that was not foreseen", extra={"action": "message_refused"})
                self.refuse(message, error)

        return on_message

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Called by kombu for what it could not unpack."""
        self.refuse(message, exc)

    def refuse(self, message: Message, why: Exception) -> None:
        """Throw a message away."""
        log.error("message refused: %s", str(why)[:MOST_SHOWN], extra={"action": "message_refused"})
        message.reject_log_error(log, self.connection_errors)


def believed(message: Message, tasks: Container[str], queues: Container[str]) -> Message:
    """The message anew, of what is believed of it. Raises UsageError, in one line, where that is nothing."""
    queue = _queue(message, queues)
    said, args, kwargs = _parts(message)
    try:
        envelope = Envelope.model_validate({name: said[name] for name in Envelope.model_fields if name in said})
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        raise UsageError(f"{problem['loc'][0]}: {problem['msg']}") from error
    if not envelope.task.startswith(OURS) or envelope.task not in tasks:
        raise UsageError(f"this process has no task {envelope.task!r}")
    if envelope.eta and _aware(envelope.eta) - datetime.now(UTC) > MOST_WAIT:
        raise UsageError(f"it is to wait until {envelope.eta}: longer than {MOST_WAIT}")
    priority = message.properties.get("priority")
    return Message(
        body=json.dumps([args, kwargs, {}]),
        delivery_tag=message.delivery_tag,
        content_type=JSON,
        content_encoding="utf-8",
        delivery_info={"exchange": "", "routing_key": queue},
        properties={"correlation_id": envelope.id, "priority": priority if isinstance(priority, int) else 0},
        headers=envelope.headers(),
        accept=message.accept,
        channel=message.channel,
    )


def _queue(message: Message, queues: Container[str]) -> str:
    """Where a message says that it belongs: thither it goes back when it is not done, by this process's rights."""
    info = message.delivery_info
    queue = info.get("routing_key") if isinstance(info, dict) else None
    if not isinstance(queue, str) or queue not in queues or info.get("exchange") not in ("", queue):
        raise UsageError(f"it belongs to another queue: {reprlib.repr(info)}")
    return queue


def _parts(message: Message) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    """What says which task it is, and the arguments: of Celery's protocol 2 or, as some clients have it, 1."""
    if message.content_type != JSON:
        raise UsageError(f"its content type is {message.content_type!r}, not {JSON}")
    if not isinstance(message.body, (str, bytes)):
        raise UsageError("it has no body")
    if len(message.body) > MOST_BYTES:
        raise UsageError(f"{len(message.body):,} bytes are more than {MOST_BYTES:,}")
    try:
        body = json.loads(message.body)
    except (*MALFORMED, KombuError) as error:
        raise UsageError(f"it is not JSON ({type(error).__name__})") from error
    if isinstance(body, dict):
        said, args, kwargs = body, body.get("args", []), body.get("kwargs", {})
    elif isinstance(body, list) and len(body) == 3:
        said, args, kwargs = message.headers, body[0], body[1]
    else:
        raise UsageError("its body is not [arguments, keywords, options]")
    if not isinstance(said, dict) or not isinstance(args, list) or not isinstance(kwargs, dict):
        raise UsageError("its arguments are no list, or its keywords no object")
    return said, args, kwargs


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def enduring(read: Callable[[], Any]) -> Callable[[], Any]:
    """Kombu's reading of the next message, which does not end at one that it cannot read: that one is gone."""

    def read_on() -> Any:
        try:
            return read()
        except MALFORMED as error:
            words = "message refused: it cannot be read (%s)"
            log.error(words, type(error).__name__, extra={"action": "message_refused"})
            return None

    return read_on


def _refuse_compressed(data: Any) -> Any:
    raise UsageError("it is compressed")


for kind in compression.encoders():  # kombu unpacks before anything can be asked: a few kilobytes may be gigabytes
    compression.register(_refuse_compressed, _refuse_compressed, kind)
