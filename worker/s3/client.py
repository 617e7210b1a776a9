"""The client of S3: boto3's, with our time-outs and connections, less what it does for nobody on every call."""

from __future__ import annotations

import threading
import time
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.utils import determine_content_length

from photochrom.worker.errors import RetryableError
from photochrom.worker.process import shutdown
from photochrom.worker.s3.credentials import bound_programs
from photochrom.worker.s3.deadline import Deadlines, is_cut, note_connections
from photochrom.worker.settings import Settings
from photochrom.worker.version import VERSION

CONNECT_SECONDS = 10
"""A connection that takes longer never comes about."""

CONNECTIONS = 10
"""Kept at most by a process that is not told how many it needs; those beyond are made anew for every call."""

RENEWED_SECONDS = 5.0
"""Between two clients of a process whose credentials fail."""

SENT_AT_ONCE = 2**20
"""Bytes of a body that is sent without first asking whether the server wants it: it is on its way before the answer."""


class Client:
    """The client of one process, made when it is first used; its threads may share it.

    boto3 keeps what it once read of a profile or a file. Where credentials failed, another client reads them anew.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.deadlines = Deadlines(settings.s3_timeout, settings.s3_slowest)
        self._making = threading.Lock()
        self._made: Any = None
        self._since = 0.0

    def get(self) -> Any:
        """boto3's client. Raises what boto3 does where there is no such profile, say."""
        made = self._made
        if made is not None:
            return made
        with self._making:
            if self._made is None:
                self._made, self._since = client(self._settings), time.monotonic()
            return self._made

    def renew(self) -> None:
        """From now on another client is used, unless this one is quite new: to make one takes a tenth of a second."""
        with self._making:
            if time.monotonic() - self._since > RENEWED_SECONDS:
                self._made = None


def client(settings: Settings) -> Any:
    """A client with these settings."""
    core = botocore.session.get_session()
    bound_programs(core, settings.s3_timeout)
    made = boto3.session.Session(botocore_session=core).client(
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
    note_connections(made)
    made.meta.events.register_first("needs-retry.s3", _no_more_tries, unique_id="photochrom-drain")
    made.meta.events.register_last("before-call.s3", _send_at_once, unique_id="photochrom-at-once")
    return made


def _no_more_tries(response: Any = None, caught_exception: Exception | None = None, **_: object) -> None:
    """Asked by botocore before it tries a call again: a worker that drains has no time for that,
    and a call that was cut off has had its own.
    """
    if is_cut():
        raise RetryableError("S3 is too slow")
    status = response[0].status_code if response else 0
    if shutdown.is_draining() and (caught_exception or status >= 500 or status == 429):
        raise RetryableError(f"S3 failed, and there is no time left to try again: {caught_exception or status}")


def _send_at_once(params: dict[str, Any], **_: object) -> None:
    """Told by botocore of a call that it is about to make: for every body it would wait for the server's "continue"."""
    if "Expect" in params["headers"] and determine_content_length(params["body"]) <= SENT_AT_ONCE:
        del params["headers"]["Expect"]
