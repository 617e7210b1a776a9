"""An HTTP proxy before S3 that fails as S3 and networks do: for a part of all requests, or for all during an outage.

Every byte is forwarded as it came, the Host header too: the signature covers it. The proxy runs in a thread.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from abc import ABC, abstractmethod
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Self

HOST = "127.0.0.1"
MOST_HEADERS = 2**18
SLOWEST = 1.5
"""Seconds of the longest delay."""

DRIP_SECONDS = 0.2
"""Between two bytes of a body that drips."""

CODES = (
    "400 ThrottlingException",
    "400 RequestLimitExceeded",
    "400 BandwidthLimitExceeded",
    "400 RequestTimeout",
    "400 KMS.ThrottlingException",
    "429 TooManyRequests",
)
"""By which S3 servers and gateways say that they have too much to do, otherwise than by 503."""

UNKNOWN_CODE = "400 ChaosRefusal"
CUT = "reset before S3 saw it"
DRIPPING = "dripping answer"

FAULTS = (
    "500 InternalError",
    "503 SlowDown",
    CUT,
    "reset after S3 did it",
    "truncated answer",
    "late answer",
    *CODES,
)
"""Of which one is drawn for a request that fails."""

AWAY = "S3 away"
"""Counted beside the faults: a request while S3 was down."""

ABORTING = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends a reset."""


class Message(NamedTuple):
    """A request or an answer, as bytes."""

    head: bytes
    body: bytes

    @property
    def first_line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def data(self) -> bytes:
        return self.head + self.body


class LocalServer(ABC):
    """A server on a free port, in a thread of its own, within a `with` block."""

    def __init__(self, name: str) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=name, daemon=True)
        self._listens = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    async def _run(self) -> None:
        """Until told to stop; then `asyncio.run` cancels the connections."""
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, HOST, 0, limit=MOST_HEADERS, backlog=500)
        self._port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._stopped.wait()
        server.close()

    @abstractmethod
    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer one connection of a client until it ends."""


class Proxy(LocalServer):
    """Use it as `with Proxy(...) as proxy`; `rate` is the part of requests that fail, 0..1."""

    def __init__(self, upstream_port: int, rate: float, chance: random.Random) -> None:
        super().__init__("proxy")
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self._upstream_port, self._rate, self._chance = upstream_port, rate, chance
        self._outage: tuple[str, ...] = ()

    @contextmanager
    def failing_with(self, *faults: str) -> Iterator[None]:
        """Within the block every request fails, with one of these."""
        self._outage = faults
        try:
            yield
        finally:
            self._outage = ()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection of a client, with one of its own to S3."""
        upstream = Upstream(self._upstream_port)
        try:
            while await self._exchange(reader, writer, upstream):
                pass
        except (OSError, asyncio.IncompleteReadError):
            reset(writer)
        finally:
            upstream.close()
            writer.close()

    async def _exchange(self, reader: StreamReader, writer: StreamWriter, upstream: Upstream) -> bool:
        """One request and its answer; False when the connection is at its end."""
        try:
            request = await read_request(reader, writer)
        except asyncio.IncompleteReadError:
            return False
        self.requests += 1
        fault = self._fault()
        if fault:
            self.faults[fault] += 1
        if fault and fault[0].isdigit():
            writer.write(refusal(request, fault))
            await writer.drain()
            return True
        if fault == CUT:
            return reset(writer)
        if fault == "late answer":
            await asyncio.sleep(self._chance.uniform(0.05, SLOWEST))
        try:
            answer = await upstream.ask(request)
        except (OSError, asyncio.IncompleteReadError):
            self.faults[AWAY] += 1
            return reset(writer)
        if fault == "reset after S3 did it":
            return reset(writer)
        if fault == "truncated answer":
            writer.write(answer.head + answer.body[: len(answer.body) // 2] if answer.body else answer.head[:-20])
            await writer.drain()
            return False
        if fault == DRIPPING:
            return await _drip(answer, writer)
        writer.write(answer.data)
        await writer.drain()
        return True

    def _fault(self) -> str | None:
        faults = self._outage or (FAULTS if self._chance.random() < self._rate else ())
        return self._chance.choice(faults) if faults else None


class Upstream:
    """A connection to S3, made when it is needed, and made anew when S3 has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[StreamReader, StreamWriter] | None = None

    async def ask(self, request: Message) -> Message:
        if self._streams and self._streams[0].at_eof():
            self.close()
        if not self._streams:
            self._streams = await asyncio.open_connection(HOST, self._port, limit=MOST_HEADERS)
        reader, writer = self._streams
        writer.write(request.data)
        await writer.drain()
        return await read_answer(reader, bodiless=request.first_line.startswith(b"HEAD "))

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def read_request(reader: StreamReader, writer: StreamWriter) -> Message:
    """A whole request. A client that waits for leave to send its body gets it from us, and S3 is not asked again."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"expect:")]
    if len(kept) < len(lines):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Message(b"\r\n".join(kept), await read_body(head, reader))


async def read_answer(reader: StreamReader, bodiless: bool) -> Message:
    """A whole answer; what is only preliminary is left out."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = head.split(b" ", 2)[1]
    if status.startswith(b"1"):
        return await read_answer(reader, bodiless)
    return Message(head, b"" if bodiless or status in (b"204", b"304") else await read_body(head, reader))


async def read_body(head: bytes, reader: StreamReader) -> bytes:
    """The body that a head announces, in whatever encoding it travels."""
    headers = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if line)
    if headers.get(b"transfer-encoding", b"").strip() == b"chunked":
        return await _read_chunks(reader)
    return await reader.readexactly(int(headers.get(b"content-length", 0)))


async def _read_chunks(reader: StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        body += line
        if size == 0:
            break
        body += await reader.readexactly(size + 2)
    while body[-4:] != b"\r\n\r\n":  # trailers, then an empty line
        body += await reader.readuntil(b"\r\n")
    return bytes(body)


async def _drip(answer: Message, writer: StreamWriter) -> bool:
    """Send the body byte by byte, until it ends or the client has enough."""
    writer.write(answer.head)
    for place in range(len(answer.body)):
        writer.write(answer.body[place : place + 1])
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)
    return True


def refusal(request: Message, fault: str) -> bytes:
    """An answer of S3 with an error code: `fault` is the status and the code."""
    status, code = fault.split()
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>chaos</Message></Error>'.encode()
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return head if request.first_line.startswith(b"HEAD ") else head + body


def reset(writer: StreamWriter) -> bool:
    """Cut the connection as a crash would; False, since it is at its end."""
    with suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTING)
    writer.transport.abort()
    return False
