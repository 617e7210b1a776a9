"""Messages as nobody of ours would send them, as they lie in Redis."""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

TRAP = "photochrom.trap"
"""A queue of nobody: what lies there was sent by a process on a message's behalf."""

MANY_BYTES = 100_000_000


class Hostile(NamedTuple):
    """One entry of a queue, and what the log is to say of it."""

    name: str
    entry: bytes
    said: str = "message refused"


def entry(queue: str, task: object, body: object = None, **changes: Any) -> bytes:
    """A message of Celery's protocol 2 with other parts; `body` is JSON, or bytes as they are."""
    headers = {"lang": "py", "task": task, "id": str(uuid.uuid4()), "retries": 0, **changes.pop("headers", {})}
    properties = {
        "correlation_id": headers["id"],
        "delivery_info": {"exchange": "", "routing_key": queue},
        "delivery_mode": 2,
        "delivery_tag": str(uuid.uuid4()),
        "body_encoding": "base64",
        "priority": 0,
        **changes.pop("properties", {}),
    }
    data = body if isinstance(body, bytes) else json.dumps(body if body is not None else [[], {}, {}]).encode()
    message = {
        "body": base64.b64encode(data).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
        **changes,
    }
    return json.dumps(message).encode()


def signature() -> dict[str, Any]:
    """A task that a process is to send for whoever wrote the message."""
    return {
        "task": "photochrom.trapped", "args": [], "kwargs": {}, "options": {"queue": TRAP}, "subtask_type": None,
        "immutable": True,
    }  # fmt: skip


def refused(queue: str, task: str) -> Iterator[Hostile]:
    """What a process throws away unread."""
    for kind in ("x-python-serialize", "x-yaml", "x-msgpack", "data", "text"):
        yield Hostile(kind, entry(queue, task, **{"content-type": f"application/{kind}"}), kind)
    yield Hostile("another task", entry(queue, "photochrom.no_such_task"), "no_such_task")
    yield Hostile("a task of Celery's own", entry(queue, "celery.starmap", [[signature(), [[]]], {}, {}]), "starmap")
    for wrong in (["a", "list"], 5, None, {"a": "map"}):
        yield Hostile(f"the task {wrong!r}", entry(queue, wrong), "task: ")
    for wrong in (5, None, "two\nlines", "x" * 300):
        yield Hostile(f"an id of {str(wrong)[:9]!r}", entry(queue, task, headers={"id": wrong}), "id: ")
    for body in (5, "text", [], {}, [1], [5, {}, {}], [[], [], {}]):
        yield Hostile(f"the body {body!r}", entry(queue, task, body))
    yield Hostile("no JSON", entry(queue, task, b"{"), "not JSON")
    yield Hostile("no text", entry(queue, task, b"\xff\xfe"), "not JSON")
    yield Hostile("great depth", entry(queue, task, b"[" * 100_000 + b"]" * 100_000), "not JSON")
    yield Hostile("many bytes", entry(queue, task, [["x" * 2_000_000], {}, {}]), "more than")
    bomb = zlib.compress(bytes(MANY_BYTES))
    yield Hostile("a bomb", entry(queue, task, bomb, headers={"compression": "application/x-gzip"}), "compressed")
    yield Hostile("another compression", entry(queue, task, headers={"compression": "own"}))
    later = (datetime.now(UTC) + timedelta(days=365)).isoformat()
    yield Hostile("a wait of a year", entry(queue, task, headers={"eta": later}), "to wait until")
    yield Hostile("no time", entry(queue, task, headers={"eta": "soon"}), "eta: ")
    yield Hostile("an end that is no time", entry(queue, task, headers={"expires": [1]}), "expires: ")
    yield Hostile("headers that are a list", entry(queue, task) .replace(b'"headers": {', b'"headers": [{', 1)
                  .replace(b'}, "properties"', b'}], "properties"', 1), "cannot be read")  # fmt: skip
    away = {"delivery_info": {"exchange": "", "routing_key": TRAP}}
    yield Hostile("another queue", entry(queue, task, properties=away), "another queue")
    for tag in (None, {"a": 1}):
        yield Hostile(f"the tag {tag!r}", entry(queue, task, properties={"delivery_tag": tag}), "cannot be read")
    for raw in (b"nothing", b"5", b"{}", b"\xff", b"[" * 100_000):
        yield Hostile(f"the entry {raw[:9]!r}", raw, "cannot be read")


def asking_for_more(queue: str, task: str, arguments: list[Any]) -> Iterator[bytes]:
    """Good and bad arguments, each with other tasks to be sent when it is done, or fails."""
    for args in (arguments, [{}, {}, {}, {}]):
        for place in ("callbacks", "errbacks", "chain"):
            yield entry(queue, task, [args, {}, {place: [signature()]}])
            yield entry(queue, task, [args, {}, {}], headers={place: [signature()]})
        chord = {**signature(), "options": {"queue": TRAP, "task_id": "c"}}
        yield entry(queue, task, [args, {}, {"chord": chord}], headers={"group": "g"})
        yield entry(queue, task, [args, {}, {}], properties={"reply_to": TRAP})


def job(**changes: Any) -> dict[str, Any]:
    """A job whose one image is not there."""
    task = {"source": "s3://archive/in", "destination": "s3://coloured/out", "model": "champion"}
    image = {"ordinal": 0, "key": "in/0.jpg", "etag": "", "size": 0}
    return {
        "submission": f"hostile-{uuid.uuid4()}",
        "task": task | changes.pop("task", {}),
        "images": [image | changes.pop("image", {})],
        **changes,
    }


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """What is no job, or one that a worker may not do; and what the log is to say of it."""
    yield "job refused", job(surplus=1)
    yield "job refused", job(images=[job()["images"][0] | {"ordinal": n} for n in range(10_000)])
    yield "job refused", job(submission="s" * 100_000)
    yield "job refused", job(submission="two\nlines")
    yield "job refused", job(attempt=10**12)
    yield "job refused", job(sent=-1)
    for wrong in (-1, 2**32, 10**40):
        yield "job refused", job(image={"ordinal": wrong})
    for wrong in ("../x", "in/../x", "in/" + "x" * 2000, "in/" + "é" * 600, "in/\ud800"):
        yield "job refused", job(image={"key": wrong})
    yield "job refused", job(image={"key": "elsewhere/" + "x" * 1000})
    yield "job refused", job(image={"etag": "e" * 100_000})
    yield "job refused", job(image={"size": 10**40})
    for wrong in ("s3://archive/in/../elsewhere", "/etc", "s3://", "s3://archive/" + "x" * 5000):
        yield "job refused", job(task={"source": wrong})
    yield "job refused", job(task={"model": "m" * 100_000})
    yield "outside PHOTOCHROM_READ_FROM", job(task={"source": "s3://elsewhere/in"})
    yield "outside PHOTOCHROM_WRITE_TO", job(task={"destination": "s3://elsewhere/out"})
