"""What the code asks of S3, and which permissions that takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

EVENTS = {"before": "before-parameter-build.s3", "after": "after-call.s3"}


class Permission(NamedTuple):
    """Something that a policy has to allow: `prefix` is the condition key s3:prefix, None where there is none."""

    action: str
    resource: str
    prefix: str | None = None

    @property
    def context(self) -> dict[str, str]:
        return {} if self.prefix is None else {"s3:prefix": self.prefix}


class Call(NamedTuple):
    """One answered call: its operation, what was asked, and the HTTP status of the answer."""

    operation: str
    parameters: dict[str, Any]
    status: int


class Recorder:
    """Hears every call of a boto3 client, by the role that was acting."""

    def __init__(self, client: Any) -> None:
        self._events = client.meta.events
        self.role: str | None = None
        self.calls: defaultdict[str, list[Call]] = defaultdict(list)

    @contextmanager
    def listening(self) -> Iterator[Recorder]:
        self._events.register(EVENTS["before"], self._before)
        self._events.register(EVENTS["after"], self._after)
        try:
            yield self
        finally:
            self._events.unregister(EVENTS["before"], self._before)
            self._events.unregister(EVENTS["after"], self._after)

    @contextmanager
    def acting(self, role: str) -> Iterator[None]:
        """What is called meanwhile, in whatever thread, is this role's."""
        self.role = role
        try:
            yield
        finally:
            self.role = None

    def _before(self, params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context["photochrom"] = dict(params)

    def _after(self, http_response: Any, model: Any, context: dict[str, Any], **_: object) -> None:
        if self.role:
            call = Call(model.name, context["photochrom"], http_response.status_code)
            self.calls[self.role].append(call)


OBJECT_ACTIONS = {
    "GetObject": ("s3:GetObject",),
    "HeadObject": ("s3:GetObject",),
    "PutObject": ("s3:PutObject",),
    "CreateMultipartUpload": ("s3:PutObject", "s3:AbortMultipartUpload"),  # whoever begins one may have to give it up
    "UploadPart": ("s3:PutObject",),
    "CompleteMultipartUpload": ("s3:PutObject",),
    "AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "DeleteObject": ("s3:DeleteObject",),
}
"""By operation; see "Required permissions for Amazon S3 API operations" in the S3 user guide."""


def permissions(call: Call, owned: set[str]) -> Iterator[Permission]:
    """What a call takes. `owned` are the buckets of which it is to be told that something is missing, come what may.

    S3 says of a missing object that it is denied (403, not 404) to who may not list its bucket; s3:prefix is then the
    object's key. Whether it is set at all is said nowhere, so that in buckets of ours both has to be allowed.
    """
    bucket = f"arn:aws:s3:::{call.parameters['Bucket']}"
    if call.operation == "ListObjectsV2":
        yield Permission("s3:ListBucket", bucket, call.parameters.get("Prefix", ""))
        return
    key = call.parameters["Key"]
    yield from (Permission(action, f"{bucket}/{key}") for action in OBJECT_ACTIONS[call.operation])
    if "IfMatch" in call.parameters:
        yield Permission("s3:GetObject", f"{bucket}/{key}")  # who names an ETag has to be allowed to know it
    if call.status == 404:
        yield Permission("s3:ListBucket", bucket, key)
        if call.parameters["Bucket"] in owned:
            yield Permission("s3:ListBucket", bucket)
