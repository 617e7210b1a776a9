"""S3: the one place that talks to it, and the one seam where its errors become ours."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any, BinaryIO, NamedTuple, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from pydantic import BaseModel, TypeAdapter, ValidationError

from worker import s3_client
from worker.errors import (
    AccessDeniedFault,
    ImageFault,
    PhotochromError,
    RefusedFault,
    RetryableError,
    UsageError,
    WorkerFault,
)
from worker.scratch import IN_MEMORY, scratch
from worker.settings import Settings

STREAM_BYTES = 2**20

PART_BYTES = 32 * 2**20
"""Objects of more bytes are written in parts of so many."""

Record = TypeVar("Record")

ABSENT = ("404", "NoSuchKey", "NotFound")
CONFLICT = ("409", "412", "ConditionalRequestConflict", "PreconditionFailed")
DENIED = ("403", "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "TokenRefreshRequired")
PASSING_4XX = (
    "RequestTimeout",
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "OperationAborted",
    "NoSuchUpload",
)
NO_BUCKET = ("NoSuchBucket",)
ARCHIVED = ("InvalidObjectState",)


class NotFoundError(PhotochromError):
    """There is no such object; the caller knows what that means."""


class ConflictError(PhotochromError):
    """A conditional write lost: somebody else wrote first."""


class Location(NamedTuple):
    """`s3://bucket/prefix`."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Location:
        """Raises UsageError for anything that is not s3://bucket or s3://bucket/prefix."""
        scheme, _, rest = url.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise UsageError(f"{url!r} is not s3://bucket/prefix")
        return cls(bucket, prefix)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def folder(self) -> Location:
        """The same place, its prefix ending in "/" (or empty): `in` does not contain `in-colour/1.jpg`."""
        return Location(self.bucket, self.prefix if self.prefix.endswith("/") or not self.prefix else self.prefix + "/")

    def contains(self, other: Location) -> bool:
        """Whether `other` lies here or below, folder-wise."""
        mine, theirs = self.folder(), other.folder()
        return mine.bucket == theirs.bucket and theirs.prefix.startswith(mine.prefix)


class Listed(NamedTuple):
    """A key, with its ETag (empty) and size in bytes (None) where whoever lists does not say."""

    key: str
    etag: str = ""
    size: int | None = None


@dataclass(frozen=True)
class Stored:
    """An object as it was fetched. `etag` keeps its quotes: it is compared and sent back, never read."""

    data: bytes
    etag: str
    size: int
    metadata: dict[str, str] = field(default_factory=dict)
    modified: datetime | None = None


class Store:
    """A connection to S3. Safe to share between threads, not between processes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> Any:
        return s3_client.client(self._settings)

    def list(self, location: Location, after: str = "") -> Iterator[Listed]:
        """Objects whose key starts with the location's prefix, in the server's order, those behind `after` only.

        A server may keep an order of its own, as long as it goes on behind a key where that key stands. SeaweedFS
        does, folder by folder, but for one case: told to start after `x`, it leaves out `x/1`, which comes next.
        """
        if after and self._leaves_out_below(location.bucket, after):
            yield from self._list(location.bucket, after + "/", "")
        yield from self._list(location.bucket, location.prefix, after)

    def _leaves_out_below(self, bucket: str, key: str) -> bool:
        below = key + "/"
        if next(self._list(bucket, below, ""), None) is None:
            return False
        return not any(item.key.startswith(below) for item in self._list(bucket, key, key))

    def _list(self, bucket: str, prefix: str, after: str) -> Iterator[Listed]:
        pages = self._client.get_paginator("list_objects_v2")
        with _translated(f"s3://{bucket}/{prefix}"):
            for page in pages.paginate(Bucket=bucket, Prefix=prefix, StartAfter=after):
                for item in page.get("Contents", ()):
                    yield Listed(item["Key"], item["ETag"], item["Size"])

    def folders(self, location: Location) -> Iterator[str]:
        """Names of the folders directly inside a folder."""
        inside = location.folder()
        pages = self._client.get_paginator("list_objects_v2")
        with _translated(str(inside)):
            for page in pages.paginate(Bucket=inside.bucket, Prefix=inside.prefix, Delimiter="/"):
                for item in page.get("CommonPrefixes", ()):
                    yield item["Prefix"].removeprefix(inside.prefix).rstrip("/")

    def head(self, bucket: str, key: str) -> Stored:
        """What is known of an object without its bytes (`data` is empty). Raises NotFoundError."""
        with _translated(f"s3://{bucket}/{key}"):
            return _stored(self._client.head_object(Bucket=bucket, Key=key), b"")

    def get(self, bucket: str, key: str, most: int | None = None) -> Stored:
        """The whole object, verified against the server's checksum. Raises NotFoundError.

        With `most`, an object of more bytes is not downloaded: `data` stays empty while `size` says how large it is.
        """
        with _translated(f"s3://{bucket}/{key}"):
            answer = self._client.get_object(Bucket=bucket, Key=key)
            with closing(answer["Body"]) as body:  # its own `with` gives the raw stream, which verifies nothing
                fits = most is None or answer["ContentLength"] <= most
                return _stored(answer, body.read() if fits else b"")

    def fetch(self, bucket: str, key: str, most: int) -> tuple[Stored, BinaryIO]:
        """The object as a file, at its beginning, verified as by `get`; in memory while it is small, as one piece.

        Of an object of more than `most` bytes nothing is fetched, while `size` says how large it is. Raises
        NotFoundError.
        """
        with _translated(f"s3://{bucket}/{key}"):
            answer = self._client.get_object(Bucket=bucket, Key=key)
            with closing(answer["Body"]) as body:
                return _stored(answer, b""), _as_file(body, answer["ContentLength"], most)

    def download(self, bucket: str, key: str, into: BinaryIO, most: int) -> Stored:
        """Write the object's bytes into a file, verified as by `get`; its `data` is empty. Raises NotFoundError.

        Of an object of more than `most` bytes nothing is downloaded, while `size` says how large it is. On a fault the
        file holds a part of the object.
        """
        with _translated(f"s3://{bucket}/{key}"):
            answer = self._client.get_object(Bucket=bucket, Key=key)
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] <= most:
                    shutil.copyfileobj(body, into, STREAM_BYTES)
                return _stored(answer, b"")

    def open(self, bucket: str, key: str) -> io.BufferedReader:
        """The object as a stream to read once, from the beginning. Raises NotFoundError."""
        with _translated(f"s3://{bucket}/{key}"):
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
        return io.BufferedReader(_Stream(body, f"s3://{bucket}/{key}"), STREAM_BYTES)

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes | BinaryIO,
        *,
        content_type: str = "application/octet-stream",
        metadata: dict[str, str] | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        """Write an object, of bytes or of a whole file, and give back its ETag.

        Raises ConflictError when the condition does not hold.
        """
        condition: dict[str, str] = {"IfMatch": if_match} if if_match else {"IfNoneMatch": "*"} if if_absent else {}
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        file.seek(0)
        first = file.read(PART_BYTES)
        if len(first) == PART_BYTES:
            parts = chain([first], iter(lambda: file.read(PART_BYTES), b""))
            return self.put_parts(bucket, key, parts, content_type, metadata, condition)
        with _translated(f"s3://{bucket}/{key}"):
            answer = self._client.put_object(
                Bucket=bucket, Key=key, Body=first, ContentType=content_type, Metadata=metadata or {}, **condition
            )
            return str(answer["ETag"])

    def put_record(
        self, key: str, record: BaseModel | Mapping[str, Any], *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        """Write a record, as JSON, into the state bucket and give back its ETag. Raises ConflictError, as `put`."""
        text = record.model_dump_json() if isinstance(record, BaseModel) else json.dumps(record)
        return self.put(
            self._settings.state_bucket,
            key,
            text.encode(),
            content_type="application/json",
            if_match=if_match,
            if_absent=if_absent,
        )

    def record(self, key: str, kind: type[Record]) -> Record:
        """A record of the state bucket. Raises NotFoundError, and WorkerFault where it is no such record."""
        bucket = self._settings.state_bucket
        try:
            return TypeAdapter(kind).validate_json(self.get(bucket, key).data)
        except ValidationError as error:
            raise WorkerFault(f"s3://{bucket}/{key} is malformed: {error.errors()[0]['msg']}") from error

    def put_parts(
        self,
        bucket: str,
        key: str,
        parts: Iterable[bytes],
        content_type: str = "application/octet-stream",
        metadata: dict[str, str] | None = None,
        condition: dict[str, str] | None = None,
    ) -> str:
        """Write a large object part by part, each with its checksum; gives back its ETag.

        By hand, since boto3's transfer manager passes no condition on. Parts but the last are at least 5 MiB. What was
        begun and not completed is taken back. Raises ConflictError when the condition does not hold.
        """
        with _translated(f"s3://{bucket}/{key}"):
            begun = self._client.create_multipart_upload(
                Bucket=bucket, Key=key, ContentType=content_type, Metadata=metadata or {}, ChecksumAlgorithm="CRC32"
            )
            upload = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
            try:
                written = [self._upload_part(upload, number, part) for number, part in enumerate(parts, 1)]
                answer = self._client.complete_multipart_upload(
                    **upload, MultipartUpload={"Parts": written}, **(condition or {})
                )
                return str(answer["ETag"])
            except BaseException:
                with suppress(ClientError, BotoCoreError):  # what went wrong first is what is told
                    self._client.abort_multipart_upload(**upload)
                raise

    def _upload_part(self, upload: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        answer = self._client.upload_part(**upload, PartNumber=number, Body=part, ChecksumAlgorithm="CRC32")
        checksum = {name: answer[name] for name in ("ChecksumCRC32",) if name in answer}  # not every server says it
        return {"PartNumber": number, "ETag": answer["ETag"], **checksum}

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; fine when it is not there. Nothing but the clearing away of models asks for this."""
        with _translated(f"s3://{bucket}/{key}"):
            self._client.delete_object(Bucket=bucket, Key=key)

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket; fine when it is there already."""
        try:
            with _translated(f"s3://{bucket}"):
                self._client.create_bucket(Bucket=bucket)
        except ConflictError:
            pass


def _as_file(body: Any, size: int, most: int) -> BinaryIO:
    if size > most:
        return io.BytesIO()
    if size <= IN_MEMORY:
        return io.BytesIO(body.read())  # read back whole, these are the same bytes: nothing is copied
    file = scratch()
    shutil.copyfileobj(body, file, STREAM_BYTES)
    file.seek(0)
    return file


class _Stream(io.RawIOBase):
    """A body being downloaded, with errors of ours."""

    def __init__(self, body: Any, what: str) -> None:
        self._body, self._what = body, what

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _translated(self._what):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._body.close()
        super().close()


def _stored(answer: dict[str, Any], data: bytes) -> Stored:
    return Stored(data, answer["ETag"], answer["ContentLength"], answer.get("Metadata", {}), answer.get("LastModified"))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn botocore's errors into ours. Messages name the object, never a credential."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise _by_code(code, status, what) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise WorkerFault(f"no S3 credentials: {error}") from error
    except ParamValidationError as error:
        raise UsageError(f"{what} is no valid S3 name: {error}") from error
    except HTTPClientError as error:
        raise RetryableError(f"S3 cannot be reached for {what}: {type(error).__name__}") from error
    except BotoCoreError as error:
        raise RetryableError(f"S3 failed for {what}: {error}") from error


def _by_code(code: str, status: int, what: str) -> PhotochromError:
    if code in NO_BUCKET:
        return WorkerFault(f"there is no bucket for {what}")
    if code in ABSENT:
        return NotFoundError(f"{what} is not there")
    if code in CONFLICT or status == 412 or code in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
        return ConflictError(f"{what} was written by somebody else")
    if code in ARCHIVED:
        return ImageFault("archived", f"{what} lies in an archive's storage class: restore it first")
    if code in DENIED or status in (401, 403):
        return AccessDeniedFault(f"S3 denies access to {what} ({code})")
    if 400 <= status < 500 and code not in PASSING_4XX and status not in (408, 429):
        return RefusedFault(f"S3 refuses the request for {what}: {status} {code}")
    return RetryableError(f"S3 answered {status} {code} for {what}")
