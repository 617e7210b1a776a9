"""The failing proxy: what it lets through is unchanged, and every fault is one that boto3 sees."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chaos import proxy
from tests.chaos.proxy import Proxy

BODY = b"x" * 1000


class Answering(BaseHTTPRequestHandler):
    """Gives back what it got, in the way it was asked for."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, dict[str, str], bytes]]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, dict(self.headers), body))
        self._answer(BODY)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n")

    def do_HEAD(self) -> None:
        self._answer(b"", length=77)

    def _answer(self, body: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[ThreadingHTTPServer]:
    Answering.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def client(through: Proxy) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(through.url.removeprefix("http://"), timeout=10)


def put(connection: http.client.HTTPConnection) -> bytes:
    connection.request("PUT", "/a/b?c=d", b"hello", {"Host": "signed.example"})
    return connection.getresponse().read()


def test_what_is_let_through_is_unchanged(upstream: ThreadingHTTPServer) -> None:
    with Proxy(upstream.server_port, 0.0, random.Random(0)) as through:
        connection = client(through)
        put_answer = put(connection)
        connection.request("GET", "/")
        got = connection.getresponse().read()
        connection.request("HEAD", "/")
        head = connection.getresponse()
        head.read()
        connection.close()

    assert (put_answer, got, head.getheader("Content-Length")) == (BODY, b"abcdefg", "77")
    path, headers, body = Answering.seen[0]
    assert (path, headers["Host"], body) == ("/a/b?c=d", "signed.example", b"hello")
    assert through.requests == 3
    assert not through.faults


@pytest.mark.parametrize(
    ("fault", "does_it"),
    [
        ("500 InternalError", False),
        ("503 SlowDown", False),
        ("reset before S3 saw it", False),
        ("reset after S3 did it", True),
        ("truncated answer", True),
        ("late answer", True),
    ],
)
def test_every_fault_is_what_it_says(
    upstream: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, fault: str, does_it: bool
) -> None:
    monkeypatch.setattr(proxy, "FAULTS", (fault,))
    with Proxy(upstream.server_port, 1.0, random.Random(0)) as through:
        connection = client(through)
        if fault[:3].isdigit():
            connection.request("PUT", "/", b"hello")
            assert connection.getresponse().status == int(fault[:3])
        elif fault == "late answer":
            assert put(connection) == BODY
        else:
            with pytest.raises((ConnectionResetError, http.client.IncompleteRead, http.client.RemoteDisconnected)):
                put(connection)
        connection.close()

    assert bool(Answering.seen) is does_it
    assert through.faults == {fault: 1}


@pytest.mark.parametrize("fault", [*proxy.CODES, proxy.UNKNOWN_CODE])
def test_every_code_is_one_that_a_client_reads(upstream: ThreadingHTTPServer, fault: str) -> None:
    status, code = fault.split()
    with Proxy(upstream.server_port, 0.0, random.Random(0)) as through, through.failing_with(fault):
        connection = client(through)
        connection.request("PUT", "/", b"hello")
        answer = connection.getresponse()
        assert answer.status == int(status)
        assert f"<Code>{code}</Code>" in answer.read().decode()
        connection.close()

    assert not Answering.seen


def test_an_answer_that_drips_comes_byte_by_byte(upstream: ThreadingHTTPServer) -> None:
    with Proxy(upstream.server_port, 0.0, random.Random(0)) as through, through.failing_with(proxy.DRIPPING):
        connection = client(through)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert [answer.read(1), answer.read(1)] == [b"a", b"b"]
        connection.close()


def test_after_an_outage_nothing_fails(upstream: ThreadingHTTPServer) -> None:
    with Proxy(upstream.server_port, 0.0, random.Random(0)) as through:
        with through.failing_with(proxy.CUT), pytest.raises(ConnectionResetError):
            put(client(through))
        assert put(client(through)) == BODY


def test_a_request_while_s3_is_away_is_reset_and_counted(closed_port: int) -> None:
    with Proxy(closed_port, 0.0, random.Random(0)) as through, pytest.raises(ConnectionResetError):
        put(client(through))

    assert through.faults == {proxy.AWAY: 1}
