"""The client of S3: boto3's, with our time-outs and connections, less what it does for nobody on every call."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.utils import determine_content_length

from worker import drain
from worker.errors import RetryableError
from worker.settings import Settings
from worker.version import VERSION

CONNECT_SECONDS = 10
"""A connection that takes longer never comes about."""

CONNECTIONS = 10
"""Kept at most by a process that is not told how many it needs; those beyond are made anew for every call."""

SENT_AT_ONCE = 2**20
"""Bytes of a body that is sent without first asking whether the server wants it: it is on its way before the answer."""


def client(settings: Settings) -> Any:
    """A client for one process; its threads may share it."""
    made = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        config=Config(
            connect_timeout=min(settings.s3_timeout, CONNECT_SECONDS),
            read_timeout=settings.s3_timeout,
            max_pool_connections=settings.s3_connections or CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": settings.s3_attempts},
            s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
            user_agent=f"photochrom/{VERSION} Boto3/{boto3.__version__}",  # its own is put together anew for every call
        ),
    )
    made.meta.events.register_first("needs-retry.s3", _no_more_tries, unique_id="photochrom-drain")
    made.meta.events.register_last("before-call.s3", _send_at_once, unique_id="photochrom-at-once")
    return made


def _no_more_tries(response: Any = None, caught_exception: Exception | None = None, **_: object) -> None:
    """Asked by botocore before it tries a call again: a worker that drains has no time for that."""
    status = response[0].status_code if response else 0
    if drain.is_draining() and (caught_exception or status >= 500 or status == 429):
        raise RetryableError(f"S3 failed, and there is no time left to try again: {caught_exception or status}")


def _send_at_once(params: dict[str, Any], **_: object) -> None:
    """Told by botocore of a call that it is about to make: for every body it would wait for the server's "continue"."""
    if "Expect" in params["headers"] and determine_content_length(params["body"]) <= SENT_AT_ONCE:
        del params["headers"]["Expect"]
