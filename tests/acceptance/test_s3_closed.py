"""The S3 server of compose.yaml: whoever is in its network reaches S3, with keys, and nothing behind it."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from photochrom.deploy.stack.servers import HOST
from tests.acceptance.topology import ARCHIVE, OUTPUT, OUTSIDE, STATE, ComposedSeaweedFS, Topology, topology

pytestmark = pytest.mark.integration

KEY, PHOTOGRAPH = "scans/1.jpg", b"a photograph"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How every call by gRPC begins: the preface of HTTP/2 and an empty SETTINGS frame."""

INNER_PORTS = [name for name in ComposedSeaweedFS.port_options if not name.startswith("s3.")]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    with topology(tmp_path_factory.mktemp("closed"), {}) as made:
        made.s3.client().put_object(Bucket=ARCHIVE, Key=KEY, Body=PHOTOGRAPH)
        yield made


@pytest.fixture
def s3(deployed: Topology) -> Iterator[ComposedSeaweedFS]:
    """Afterwards the archive is what it was."""
    yield deployed.s3
    assert deployed.s3.client().get_object(Bucket=ARCHIVE, Key=KEY)["Body"].read() == PHOTOGRAPH


def status(method: str, url: str, body: bytes | None = None) -> int:
    """What a request without any token or signature is answered with."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("option", INNER_PORTS)
def test_no_inner_port_is_reached_from_another_container(s3: ComposedSeaweedFS, option: str) -> None:
    socket.create_connection((HOST, s3.port(option)), timeout=30).close()  # it is there, for its own container
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((OUTSIDE, s3.port(option)), timeout=30)


def test_s3_alone_listens_for_other_containers(s3: ComposedSeaweedFS) -> None:
    seen = listening(s3.process.pid)
    assert {(HOST, s3.port(name)) for name in INNER_PORTS} <= seen
    assert {address for address in seen if address[0] != HOST} == {
        (OUTSIDE, s3.port("s3.port")),
        (OUTSIDE, s3.port("s3.port.grpc")),
    }


def test_s3_refuses_what_is_not_signed(s3: ComposedSeaweedFS) -> None:
    assert status("PUT", f"{s3.url}/{ARCHIVE}/{KEY}", b"another") == 403
    assert status("GET", f"{s3.url}/{ARCHIVE}/{KEY}") == 403
    assert status("PUT", f"{s3.url}/another-bucket") == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_the_filer_asks_its_own_container_for_a_token(s3: ComposedSeaweedFS, method: str) -> None:
    url = f"http://{HOST}:{s3.port('filer.port')}/buckets/{ARCHIVE}/{KEY}"
    assert status(method, url, None if method == "GET" else b"another") == 401


def test_a_volume_asks_its_own_container_for_a_token(s3: ComposedSeaweedFS) -> None:
    assert status("POST", f"http://{HOST}:{s3.port('volume.port')}/1,0123456789", b"another") == 401


def test_by_grpc_s3_asks_for_a_certificate(s3: ComposedSeaweedFS) -> None:
    with socket.create_connection((OUTSIDE, s3.port("s3.port.grpc")), timeout=30) as plain:
        plain.sendall(HTTP2)
        assert plain.recv(100) == b""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    anybody.set_alpn_protocols(["h2"])
    with anybody.wrap_socket(socket.create_connection((OUTSIDE, s3.port("s3.port.grpc")), timeout=30)) as sealed:
        sealed.sendall(HTTP2)
        with pytest.raises(ssl.SSLError, match="certificate required"):
            sealed.recv(100)


def test_the_buckets_are_made_once(deployed: Topology, s3: ComposedSeaweedFS) -> None:
    assert deployed.make_buckets().returncode == 0
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.client().put_object(Bucket="another", Key=KEY, Body=b"")


@pytest.mark.parametrize("bucket", [ARCHIVE, OUTPUT, STATE])
def test_every_bucket_finds_room_on_a_small_disk(s3: ComposedSeaweedFS, bucket: str) -> None:
    s3.client().put_object(Bucket=bucket, Key="another", Body=PHOTOGRAPH)
    assert s3.client().get_object(Bucket=bucket, Key="another")["Body"].read() == PHOTOGRAPH


def test_it_writes_to_its_folder_for_data_alone(s3: ComposedSeaweedFS) -> None:
    """The root file system is read-only there; here its home is the folder beside the one for data."""
    assert {path.name for path in s3.folder.iterdir()} == {"data", "log", "ports", "secrets"}


def listening(pid: int | None) -> set[tuple[str, int]]:
    """The addresses at which a process waits for connections by IPv4."""
    inodes = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in inodes:
                found.add(_address(columns[1]))
    return found


def _address(written: str) -> tuple[str, int]:
    """Of 0200007F:1F90, 127.0.0.2 and 8080; an IPv6 address stays as it is."""
    host, _, port = written.partition(":")
    numbers = bytes.fromhex(host)[::-1]
    return (".".join(map(str, numbers)) if len(numbers) == 4 else host), int(port, 16)
