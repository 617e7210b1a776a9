"""An S3 whose buckets hold millions of keys that nobody had to put there: a proxy that lists them itself.

What is below a generated folder is made up for each answer; every other request is forwarded as it came.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from tests.chaos.proxy import LocalServer, Message, Upstream, read_request

KEYS_IN_ANSWER = 1000
NEVER = 3600.0
"""Seconds that an answer is kept back which is not to come while a test lasts."""


class Folder(NamedTuple):
    """Keys below `prefix`, none of them a photograph's; an answer takes so many seconds."""

    prefix: str
    keys: int
    seconds: float = 0.0


class GeneratedListing(LocalServer):
    """Use it as `with GeneratedListing(port of S3) as s3`; folders may be added, changed and removed meanwhile."""

    def __init__(self, upstream_port: int) -> None:
        super().__init__("generated")
        self.folders: dict[str, Folder] = {}
        self.asked: list[tuple[str, int]] = []
        """For each generated answer its folder and the number of its first key."""
        self._upstream_port = upstream_port

    def add(self, prefix: str, keys: int, seconds: float = 0.0) -> None:
        self.folders[prefix] = Folder(prefix, keys, seconds)

    def looked_at(self, prefix: str) -> int:
        """So many keys of a folder were in answers, counted again where they were asked for again."""
        keys = self.folders[prefix].keys
        return sum(min(KEYS_IN_ANSWER, keys - first) for folder, first in list(self.asked) if folder == prefix)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        upstream = Upstream(self._upstream_port)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = await read_request(reader, writer)
                answer = await self._generated(request) or (await upstream.ask(request)).data
                writer.write(answer)
                await writer.drain()
        upstream.close()
        writer.close()

    async def _generated(self, request: Message) -> bytes | None:
        """The answer to a listing below a generated folder; None for any other request."""
        method, target, _ = request.first_line.decode().split(" ")
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        prefix = query.get("prefix", "")
        folder = next((folder for folder in self.folders.values() if prefix.startswith(folder.prefix)), None)
        if method != "GET" or "list-type" not in query or not folder:
            return None
        if prefix != folder.prefix:  # of one of its keys, below which there is nothing
            return _answer(prefix, "", range(0), more=False)
        behind = query.get("continuation-token") or query.get("start-after", "").removeprefix(prefix).partition(".")[0]
        first = int(behind) + 1 if behind else 0
        self.asked.append((prefix, first))
        await asyncio.sleep(folder.seconds)
        numbers = range(first, min(first + KEYS_IN_ANSWER, folder.keys))
        return _answer(prefix, f"{numbers.stop - 1:09d}", numbers, more=numbers.stop < folder.keys)


def _answer(prefix: str, token: str, numbers: range, *, more: bool) -> bytes:
    contents = "".join(
        f"<Contents><Key>{quote(prefix)}{number:09d}.xml</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{number:032x}&quot;</ETag><Size>1000</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for number in numbers
    )
    next_token = f"<NextContinuationToken>{token}</NextContinuationToken>" if more else ""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Prefix>{quote(prefix)}</Prefix><KeyCount>{len(numbers)}</KeyCount><MaxKeys>{KEYS_IN_ANSWER}</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{next_token}{contents}"
        "</ListBucketResult>"
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
