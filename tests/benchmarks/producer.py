"""How fast keys become manifest pages and jobs, and what that costs in memory: `python -m tests.benchmarks.producer`.

A real Valkey; listing and storing are faked at the S3 client's edge, so that what is measured is ours. When the window
is full, a stand-in for the workers ends every image that waits; its time does not count. Each size runs in a process of
its own, for its peak memory.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from photochrom.deploy.stack.servers import Valkey
from photochrom.producer.control.advance import close_pages
from photochrom.producer.control.listing import Listings
from photochrom.producer.control.rebuild import bitmap
from photochrom.producer.control.turn import take_turn
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import Submission
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Task
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.queue.app import connect
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings

SOURCE = Location("archive", "scans/")
SIZES = (10_000, 100_000, 1_000_000)
LISTED_AT_ONCE = 1000


class FakeClient:
    """The few calls of boto3's client that a submission makes, without a server."""

    def __init__(self, images: int) -> None:
        self.images = images
        self.small: dict[str, bytes] = {}
        self.written = 0

    def get_paginator(self, _: str) -> FakeClient:
        return self

    def paginate(self, *, Prefix: str, StartAfter: str = "", **_: Any) -> Any:  # noqa: N803 (boto3's names)
        if Prefix != SOURCE.prefix:
            return  # of what was written, nobody has to list anything
        first = int(StartAfter[-12:-4]) + 1 if StartAfter else 0
        for start in range(first, self.images, LISTED_AT_ONCE):
            numbers = range(start, min(start + LISTED_AT_ONCE, self.images))
            yield {
                "Contents": [
                    {"Key": f"scans/box-{n // 500:05d}/{n:08d}.jpg", "ETag": f'"{n:032x}"', "Size": 2_000_000}
                    for n in numbers
                ]
            }

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> dict[str, str]:  # noqa: N803
        self.written += len(Body)
        if "/pages/" not in Key and "/outcomes/" not in Key:
            self.small[Key] = Body
        return {"ETag": '"0"'}

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        if Key not in self.small:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        data = self.small[Key]
        return {"Body": io.BytesIO(data), "ETag": '"0"', "ContentLength": len(data)}


def measure(images: int, window: int) -> dict[str, float]:
    """Submit so many keys; gives back seconds of the producer alone, and peaks of memory."""
    with tempfile.TemporaryDirectory() as folder:
        valkey = Valkey(Path(folder))
        valkey.start()
        try:
            return _measure(images, Settings.model_validate({"redis_url": valkey.url, "window": window}))
        finally:
            valkey.stop()


def _measure(images: int, settings: Settings) -> dict[str, float]:
    client = FakeClient(images)
    store, ledger = Store(settings), Ledger(settings)
    store.__dict__["_client"] = client
    connect(settings)
    held = Resources(settings, store, ledger)
    task = Task(source=str(SOURCE), destination="s3://coloured/scans", model="champion", epoch=1)
    submission = Submission(name="benchmark", task=task, created=datetime.now(UTC).isoformat())
    client.small[state_keys.submission(submission.name)] = submission.model_dump_json().encode()
    ledger.activate(submission.name)

    listings = Listings()
    redis, seconds, most_redis = ledger._redis, 0.0, 0
    while True:
        started = time.perf_counter()
        now = progress(submission.name, settings, ledger, store)
        while not now.listed and now.in_flight < settings.window:
            take_turn(submission, listings, held)
            now = progress(submission.name, settings, ledger, store)
        seconds += time.perf_counter() - started
        most_redis = max(most_redis, redis.info("memory")["used_memory"])
        redis.delete(keys.queue(task.priority))
        ledger.merge(submission.name, bitmap(range(now.total)), b"", {}, {})
        if now.listed:
            break
        close_pages(submission.name, held)
    return {
        "keys": images,
        "seconds": seconds,
        "keys_per_second": images / seconds,
        "process_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "redis_peak_mb": most_redis / 2**20,
        "manifest_bytes_per_key": client.written / images,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--window", type=int, default=50_000)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.window)))
        return
    print("| keys | keys/s | process, peak MB | Redis, peak MB | manifest bytes a key |\n|---|---|---|---|---|")
    for size in arguments.sizes:
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.producer",
            "--one",
            str(size),
            "--window",
            str(arguments.window),
        ]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"| {size:,} | {found['keys_per_second']:,.0f} | {found['process_peak_mb']:.0f} "
            f"| {found['redis_peak_mb']:.1f} | {found['manifest_bytes_per_key']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
