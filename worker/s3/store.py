"""S3: the one place that talks to it. What comes out of that becomes errors of ours in `errors.py`."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, NamedTuple, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from photochrom.worker.errors import CredentialsError, PhotochromError, RetryableError, UsageError, WorkerFault
from photochrom.worker.process.scratch import IN_MEMORY, scratch
from photochrom.worker.s3 import client as s3_client
from photochrom.worker.s3.deadline import Call
from photochrom.worker.s3.errors import ConflictError as ConflictError
from photochrom.worker.s3.errors import NotFoundError as NotFoundError
from photochrom.worker.s3.errors import s3_translated
from photochrom.worker.settings import Settings

STREAM_BYTES = 2**20

PART_BYTES = 32 * 2**20
"""Objects of more bytes are written in parts of so many."""

OF_LISTING = {"Contents", "CommonPrefixes", "IsTruncated", "KeyCount", "Name"}
"""An answer with none of these, as a proxy's page, is not a listing in which nothing is."""

Record = TypeVar("Record")


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


class _TakenBackError(Exception):
    """What is written was only to be tried."""


class Store:
    """A connection to S3. Safe to share between threads, not between processes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients = s3_client.Client(settings)

    @property
    def _client(self) -> Any:
        return self._clients.get()

    def _within(self, size: int = 0, connection: Any = None) -> AbstractContextManager[Call]:
        """Within it one call is made, with a body of so many bytes, and has to be through in time."""
        return self._clients.deadlines.within(size, connection)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Within it whatever fails becomes an error of ours; after a fault of the credentials they are read anew."""
        try:
            with s3_translated(what):
                yield
        except CredentialsError:
            self._clients.renew()
            raise

    def list(self, location: Location, after: str = "") -> Iterator[Listed]:
        """Objects whose key starts with the location's prefix, in the server's order, those behind `after` only.

        A server may keep an order of its own, as long as it goes on behind a key where that key stands. SeaweedFS
        does, folder by folder, but for one case: told to start after `x`, it leaves out `x/1`, which comes next.
        """
        return chain.from_iterable(self.list_by_answer(location, after))

    def list_by_answer(self, location: Location, after: str = "") -> Iterator[Sequence[Listed]]:
        """The same objects, those of each answer of the server together; there may be answers with none.

        Whoever has little time can stop between two answers, however few objects there are.
        """
        if after and self._leaves_out_below(location.bucket, after):
            yield from self._answers(location.bucket, after + "/", "")
        yield from self._answers(location.bucket, location.prefix, after)

    def _leaves_out_below(self, bucket: str, key: str) -> bool:
        below = key + "/"
        if next(self._list(bucket, below, ""), None) is None:
            return False
        return not any(item.key.startswith(below) for item in self._list(bucket, key, key))

    def _list(self, bucket: str, prefix: str, after: str) -> Iterator[Listed]:
        return chain.from_iterable(self._answers(bucket, prefix, after))

    def _answers(self, bucket: str, prefix: str, after: str) -> Iterator[Sequence[Listed]]:
        for page in self._pages(Bucket=bucket, Prefix=prefix, StartAfter=after):
            yield [Listed(item["Key"], item["ETag"], item["Size"]) for item in page.get("Contents", ())]

    def folders(self, location: Location) -> Iterator[str]:
        """Names of the folders directly inside a folder."""
        inside = location.folder()
        for page in self._pages(Bucket=inside.bucket, Prefix=inside.prefix, Delimiter="/"):
            for item in page.get("CommonPrefixes", ()):
                yield item["Prefix"].removeprefix(inside.prefix).rstrip("/")

    def _pages(self, **asked: str) -> Iterator[dict[str, Any]]:
        what = f"s3://{asked['Bucket']}/{asked['Prefix']}"
        with self._asking(what):
            pages = iter(self._client.get_paginator("list_objects_v2").paginate(**asked))
        while True:
            with self._asking(what), self._within():  # whoever takes the pages may take their time between two
                page = next(pages, None)
            if page is None:
                return
            if not page.keys() & OF_LISTING:
                raise RetryableError(f"something answers for {what}, and is no S3: its answer is no listing")
            yield page

    def head(self, bucket: str, key: str) -> Stored:
        """What is known of an object without its bytes (`data` is empty). Raises NotFoundError."""
        with self._asking(f"s3://{bucket}/{key}"), self._within():
            return _stored(self._client.head_object(Bucket=bucket, Key=key), b"")

    def get(self, bucket: str, key: str, most: int | None = None) -> Stored:
        """The whole object, verified against the server's checksum. Raises NotFoundError.

        With `most`, an object of more bytes is not downloaded: `data` stays empty while `size` says how large it is.
        """
        with self._asking(f"s3://{bucket}/{key}"), self._within() as call:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            call.expect(answer["ContentLength"])
            with closing(answer["Body"]) as body:  # its own `with` gives the raw stream, which verifies nothing
                fits = most is None or answer["ContentLength"] <= most
                return _stored(answer, body.read() if fits else b"")

    def fetch(self, bucket: str, key: str, most: int) -> tuple[Stored, BinaryIO]:
        """The object as a file, at its beginning, verified as by `get`; in memory while it is small, as one piece.

        Of an object of more than `most` bytes nothing is fetched, while `size` says how large it is. Raises
        NotFoundError.
        """
        with self._asking(f"s3://{bucket}/{key}"), self._within() as call:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            call.expect(answer["ContentLength"])
            with closing(answer["Body"]) as body:
                return _stored(answer, b""), _as_file(body, answer["ContentLength"], most)

    def download(self, bucket: str, key: str, into: BinaryIO, most: int) -> Stored:
        """Write the object's bytes into a file, verified as by `get`; its `data` is empty. Raises NotFoundError.

        Of an object of more than `most` bytes nothing is downloaded, while `size` says how large it is. On a fault the
        file holds a part of the object.
        """
        with self._asking(f"s3://{bucket}/{key}"), self._within() as call:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            call.expect(answer["ContentLength"])
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] <= most:
                    shutil.copyfileobj(body, into, STREAM_BYTES)
                return _stored(answer, b"")

    def open(self, bucket: str, key: str) -> io.BufferedReader:
        """The object as a stream to read once, from the beginning. Raises NotFoundError."""
        with self._asking(f"s3://{bucket}/{key}"), self._within() as call:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]

        @contextmanager
        def reading(size: int) -> Iterator[None]:
            with self._asking(f"s3://{bucket}/{key}"), self._within(size, call.connection):
                yield

        return io.BufferedReader(_Stream(body, reading), STREAM_BYTES)

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
        with self._asking(f"s3://{bucket}/{key}"), self._within(len(first)):
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
        asking = partial(self._asking, f"s3://{bucket}/{key}")  # each call by itself: the parts may fail otherwise
        with asking(), self._within():
            begun = self._client.create_multipart_upload(
                Bucket=bucket, Key=key, ContentType=content_type, Metadata=metadata or {}, ChecksumAlgorithm="CRC32"
            )
        upload = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
        size, written = 0, []
        try:
            for number, part in enumerate(parts, 1):
                with asking(), self._within(len(part)):
                    written.append(self._upload_part(upload, number, part))
                size += len(part)
            with asking(), self._within(size):  # the server may put them together only now
                answer = self._client.complete_multipart_upload(
                    **upload, MultipartUpload={"Parts": written}, **(condition or {})
                )
            return str(answer["ETag"])
        except BaseException:
            with suppress(PhotochromError), asking(), self._within():  # what went wrong first is what is told
                self._client.abort_multipart_upload(**upload)
            raise

    def _upload_part(self, upload: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        answer = self._client.upload_part(**upload, PartNumber=number, Body=part, ChecksumAlgorithm="CRC32")
        checksum = {name: answer[name] for name in ("ChecksumCRC32",) if name in answer}  # not every server says it
        return {"PartNumber": number, "ETag": answer["ETag"], **checksum}

    def try_to_write(self, bucket: str, key: str) -> None:
        """Find out whether an object could be written: a part of it is, and is taken back, so that nobody sees it.

        Raises any of the error tree where it could not.
        """

        def parts() -> Iterator[bytes]:
            yield b"photochrom"
            raise _TakenBackError

        with suppress(_TakenBackError):
            self.put_parts(bucket, key, parts())

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; fine when it is not there. Nothing but the clearing away of models asks for this."""
        with self._asking(f"s3://{bucket}/{key}"), self._within():
            self._client.delete_object(Bucket=bucket, Key=key)

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket; fine when it is there already."""
        try:
            with self._asking(f"s3://{bucket}"), self._within():
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
    """A body being downloaded; each read of so many bytes is made within `reading`."""

    def __init__(self, body: Any, reading: Callable[[int], AbstractContextManager[None]]) -> None:
        self._body, self._reading = body, reading

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._reading(len(buffer)):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._body.close()
        super().close()


def _stored(answer: dict[str, Any], data: bytes) -> Stored:
    return Stored(data, answer["ETag"], answer["ContentLength"], answer.get("Metadata", {}), answer.get("LastModified"))
