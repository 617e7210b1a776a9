"""What version 0.1 left in Redis and S3 when it was stopped in the middle of its work, put into other servers."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import redis

from photochrom.worker.s3.store import Location
from tests.chaos.pictures import Kind, Picture

FILE = Path(__file__).with_name("version_0_1.json.gz")
"""Pictures by submission, every key of Redis, every object of S3; values and bodies are base64.

It was recorded with the processes of commit 2e02f5c and the stand-in of tests/chaos/worker.py: one worker was killed
between a result and its outcome, one as it took a job, then control. All times in it were set back by two years.
"""

MARK = {"recorded": "yes"}
"""Added to the metadata of results: who writes one again removes it."""


class State(NamedTuple):
    """As it lies in the file."""

    pictures: dict[str, list[Picture]]
    """Of each submission, whose source is the folder of its name in the bucket `archive`."""
    redis: dict[str, dict[str, Any]]
    objects: list[dict[str, Any]]

    def source(self, submission: str) -> Location:
        return Location("archive", f"{submission}/")

    def destination(self, submission: str) -> Location:
        return Location("coloured", f"{submission}/")


def load() -> State:
    found = json.loads(gzip.decompress(FILE.read_bytes()))
    pictures = {
        name: [Picture(int(number), Kind[kind]) for number, kind in kinds.items()]
        for name, kinds in found["pictures"].items()
    }
    return State(pictures, found["redis"], found["s3"])


def put_into_redis(state: State, client: redis.Redis) -> None:
    """Write every key. `client` is a plain connection."""
    for name, entry in state.redis.items():
        key, value = decode(name), entry["value"]
        match entry["type"]:
            case "string":
                client.set(key, decode(value))
            case "list":
                client.rpush(key, *map(decode, value))
            case "set":
                client.sadd(key, *map(decode, value))
            case "hash":
                client.hset(key, mapping={decode(field): decode(text) for field, text in value})
            case "zset":
                client.zadd(key, {decode(member): score for member, score in value})
        if entry["ttl"] is not None:
            client.expire(key, int(entry["ttl"]))


def put_into_s3(state: State, client: Any) -> None:
    """Write every object into the bucket it was in, which is there. `client` is boto3's."""
    for entry in state.objects:
        client.put_object(
            Bucket=entry["bucket"],
            Key=entry["key"],
            Body=body(entry),
            ContentType=entry["content_type"],
            Metadata=entry["metadata"] | (MARK if entry["bucket"] == "coloured" else {}),
        )


def body(entry: dict[str, Any]) -> bytes:
    """The bytes of an object."""
    return decode(entry["body"])


def decode(text: str) -> bytes:
    """A name or value of the file."""
    return base64.b64decode(text)
