"""The seam to S3: places, conditional writes, and what becomes of its errors."""

import errno
import io
import json
import socket
import threading
from contextlib import contextmanager, suppress

import moto
import pytest
from botocore.exceptions import (
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import photochrom.worker.s3.store
from photochrom.worker.errors import (
    AccessDeniedFault,
    CredentialsError,
    ImageFault,
    RefusedError,
    RetryableError,
    UsageError,
    WorkerFault,
)
from photochrom.worker.process import shutdown
from photochrom.worker.s3.deadline import is_cut
from photochrom.worker.s3.store import ConflictError, Location, NotFoundError, Store
from photochrom.worker.settings import Settings


class Named(BaseModel):
    name: str
    count: int


# ---- places


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [("s3://b", "b", ""), ("s3://b/", "b", ""), ("s3://b/in", "b", "in"), ("s3://b/in//x y/", "b", "in//x y/")],
)
def test_a_location_is_bucket_and_prefix(url, bucket, prefix):
    assert Location.parse(url) == (bucket, prefix)


@pytest.mark.parametrize("url", ["", "b/in", "s3:/b/in", "s3://", "s3:///in", "http://b/in", "S3://b/in"])
def test_anything_else_is_no_location(url):
    with pytest.raises(UsageError, match="not s3://bucket/prefix"):
        Location.parse(url)


@pytest.mark.parametrize(("url", "folder"), [("s3://b", ""), ("s3://b/in", "in/"), ("s3://b/in/", "in/")])
def test_the_prefix_of_a_folder_ends_in_a_slash_or_is_empty(url, folder):
    assert Location.parse(url).folder() == ("b", folder)


@pytest.mark.parametrize(
    ("outer", "inner", "contained"),
    [
        ("s3://b/in", "s3://b/in", True),
        ("s3://b/in", "s3://b/in/", True),
        ("s3://b/in/", "s3://b/in", True),
        ("s3://b/in", "s3://b/in/deeper/1.jpg", True),
        ("s3://b", "s3://b/in", True),
        ("s3://b/in", "s3://b/in-colour/x", False),
        ("s3://b/in/deeper", "s3://b/in", False),
        ("s3://b/in", "s3://b", False),
        ("s3://b/in", "s3://c/in/x", False),
        ("s3://b", "s3://bb/in", False),
    ],
)
def test_a_location_contains_what_lies_below_it_folder_wise(outer, inner, contained):
    assert Location.parse(outer).contains(Location.parse(inner)) is contained


# ---- objects


def test_what_was_put_comes_back_with_its_metadata(store):
    etag = store.put("archive", "a/1.jpg", b"bytes", content_type="image/jpeg", metadata={"model": "m"})
    stored = store.get("archive", "a/1.jpg")
    assert (stored.data, stored.size, stored.etag, stored.metadata) == (b"bytes", 5, etag, {"model": "m"})


def test_head_tells_all_but_the_bytes(store):
    etag = store.put("archive", "a", b"bytes", metadata={"model": "m"})
    stored = store.head("archive", "a")
    assert (stored.data, stored.size, stored.etag, stored.metadata) == (b"", 5, etag, {"model": "m"})


def test_the_content_type_is_kept(store, aws):
    store.put("archive", "a", b"bytes", content_type="image/tiff")
    assert aws.head_object(Bucket="archive", Key="a")["ContentType"] == "image/tiff"


def test_list_gives_the_keys_of_a_prefix_in_order_and_those_behind_one(store):
    for key in ("in/b", "in/a", "in/c", "in-colour/d", "out/e"):
        store.put("archive", key, b"12")
    everything = list(store.list(Location("archive", "in/")))
    assert [item.key for item in everything] == ["in/a", "in/b", "in/c"]
    assert everything[0].size == 2
    assert everything[0].etag == store.head("archive", "in/a").etag
    assert [item.key for item in store.list(Location("archive", "in/"), after="in/a")] == ["in/b", "in/c"]
    assert list(store.list(Location("archive", "nothing/"))) == []


def test_list_goes_on_behind_the_first_page(store):
    pages = [
        {"IsTruncated": True, "NextContinuationToken": "more", "Contents": [_item("a")]},
        {"IsTruncated": False, "Contents": [_item("b")]},
    ]
    with Stubber(store._client) as stub:
        for page in pages:
            stub.add_response("list_objects_v2", page)
        assert [item.key for item in store.list(Location("archive", ""))] == ["a", "b"]


def _item(key):
    return {"Key": key, "ETag": '"e"', "Size": 1}


def test_if_absent_writes_once(store):
    store.put("archive", "a", b"first", if_absent=True)
    with pytest.raises(ConflictError):
        store.put("archive", "a", b"second", if_absent=True)
    assert store.get("archive", "a").data == b"first"


def test_if_match_writes_over_the_version_that_was_seen_and_over_no_other(store):
    seen = store.put("archive", "a", b"first")
    store.put("archive", "a", b"second", if_match=seen)
    with pytest.raises(ConflictError):
        store.put("archive", "a", b"third", if_match=seen)
    assert store.get("archive", "a").data == b"second"


def test_if_match_finds_that_the_object_has_gone(store):
    with pytest.raises((NotFoundError, ConflictError)):
        store.put("archive", "a", b"x", if_match='"0123456789abcdef0123456789abcdef"')


def test_a_bucket_may_be_made_twice(store):
    store.create_bucket("new-bucket")
    store.create_bucket("new-bucket")
    assert list(store.list(Location("new-bucket", ""))) == []


@pytest.mark.parametrize("record", [{"name": "é", "count": 3}, Named(name="é", count=3)])
def test_a_record_is_json_in_the_state_bucket(store, aws, record):
    etag = store.put_record("submissions/s/ended.json", record)
    stored = store.get("photochrom-state", "submissions/s/ended.json")
    assert (json.loads(stored.data), stored.etag) == ({"name": "é", "count": 3}, etag)
    head = aws.head_object(Bucket="photochrom-state", Key="submissions/s/ended.json")
    assert head["ContentType"] == "application/json"


def test_a_record_is_written_under_conditions_too(store):
    seen = store.put_record("a", {"n": 1}, if_absent=True)
    for condition in ({"if_absent": True}, {"if_match": '"0123456789abcdef0123456789abcdef"'}):
        with pytest.raises(ConflictError):
            store.put_record("a", {"n": 2}, **condition)
    store.put_record("a", {"n": 3}, if_match=seen)
    assert json.loads(store.get("photochrom-state", "a").data) == {"n": 3}


# ---- the order of a listing


class InFolderOrder:
    """Lists as SeaweedFS does: folder by folder, and told to start after `x` without what is below `x`."""

    def __init__(self, keys):
        self.keys = sorted(keys, key=lambda key: key.split("/"))

    def get_paginator(self, _):
        return self

    def paginate(self, Bucket, Prefix, StartAfter):  # noqa: N803 (boto3's names)
        behind = [key for key in self.keys if not StartAfter or self.comes_after(key, StartAfter)]
        yield {"Contents": [_item(key) for key in behind if key.startswith(Prefix)]}

    def comes_after(self, key, start):
        return key.split("/") > start.split("/") and not key.startswith(start + "/")


class InByteOrder(InFolderOrder):
    """Lists as AWS does."""

    def __init__(self, keys):
        self.keys = sorted(keys)

    def comes_after(self, key, start):
        return key > start


class Listing(Store):
    """Asks a client of the test's."""

    def __init__(self, client):
        super().__init__(Settings())
        self.client = client

    @property
    def _client(self):
        return self.client


names = st.text("x-/.1", min_size=1, max_size=4).filter(lambda name: "//" not in f"/{name}/" and "." not in name[:1])


@given(keys=st.sets(names.map("in/".__add__), max_size=12), server=st.sampled_from([InFolderOrder, InByteOrder]))
def test_a_listing_that_goes_on_behind_any_key_leaves_nothing_out_and_gives_nothing_twice(keys, server):
    store = Listing(server(keys))
    everything = [item.key for item in store.list(Location("archive", "in/"))]
    assert sorted(everything) == sorted(keys)
    for place, key in enumerate(everything):
        assert [item.key for item in store.list(Location("archive", "in/"), after=key)] == everything[place + 1 :]


# ---- errors


def test_an_object_that_is_not_there_is_not_found(store):
    for call in (store.get, store.head):
        with pytest.raises(NotFoundError, match="s3://archive/none"):
            call("archive", "none")


def test_a_bucket_that_is_not_there_is_the_workers_fault(store):
    with pytest.raises(WorkerFault, match="no bucket"):
        store.get("no-such-bucket", "a")
    with pytest.raises(WorkerFault, match="no bucket"):
        store.put("no-such-bucket", "a", b"")
    with pytest.raises(WorkerFault, match="no bucket"):
        list(store.list(Location("no-such-bucket", "")))


ERRORS = [
    ("NoSuchKey", 404, NotFoundError),
    ("NotFound", 404, NotFoundError),
    ("NoSuchBucket", 404, WorkerFault),
    ("AccessDenied", 403, AccessDeniedFault),
    ("403", 403, AccessDeniedFault),
    ("ExpiredToken", 400, CredentialsError),
    ("InvalidToken", 400, CredentialsError),
    ("RequestTimeTooSkewed", 403, CredentialsError),
    ("InvalidAccessKeyId", 403, AccessDeniedFault),
    ("SignatureDoesNotMatch", 403, AccessDeniedFault),
    ("AllAccessDisabled", 403, AccessDeniedFault),
    ("", 403, AccessDeniedFault),
    ("401", 401, AccessDeniedFault),
    ("SomethingNew", 401, RefusedError),
    ("SomethingNew", 403, RefusedError),
    ("KMS.DisabledException", 403, RefusedError),
    ("KMS.ThrottlingException", 400, RetryableError),
    ("KMS.ThrottlingException", 403, RetryableError),
    ("SlowDown", 403, RetryableError),
    ("SlowDownWrite", 400, RetryableError),
    ("", 400, RefusedError),
    ("AuthorizationHeaderMalformed", 400, RefusedError),
    ("KMS.DisabledException", 400, RefusedError),
    ("KMS.KMSInvalidStateException", 400, RefusedError),
    ("SomethingNew", 400, RefusedError),
    ("400", 400, RefusedError),
    ("ThrottlingException", 400, RetryableError),
    ("Throttling", 403, RetryableError),
    ("RequestLimitExceeded", 400, RetryableError),
    ("BandwidthLimitExceeded", 400, RetryableError),
    ("ProvisionedThroughputExceededException", 400, RetryableError),
    ("RequestTimeoutException", 400, RetryableError),
    ("InvalidObjectState", 403, ImageFault),
    ("InternalError", 500, RetryableError),
    ("SlowDown", 503, RetryableError),
    ("ServiceUnavailable", 503, RetryableError),
    ("RequestTimeout", 400, RetryableError),
    ("TooManyRequests", 429, RetryableError),
    ("", 502, RetryableError),
    ("ConditionalRequestConflict", 409, ConflictError),
    ("PreconditionFailed", 412, ConflictError),
    ("412", 412, ConflictError),
]


@pytest.mark.parametrize(("code", "status", "error"), ERRORS)
def test_an_answer_of_s3_becomes_an_error_of_ours(store, code, status, error):
    with Stubber(store._client) as stub:
        for method, call in {
            "get_object": lambda: store.get("archive", "a.jpg"),
            "head_object": lambda: store.head("archive", "a.jpg"),
            "put_object": lambda: store.put("archive", "a.jpg", b""),
            "list_objects_v2": lambda: list(store.list(Location("archive", "a.jpg"))),
        }.items():
            stub.add_client_error(method, service_error_code=code, http_status_code=status)
            with pytest.raises(error) as told:
                call()
            assert type(told.value) is error
            assert "s3://archive/a.jpg" in str(told.value)


def test_an_answer_without_a_code_says_of_no_object_that_it_is_not_there_but_to_a_head(store):
    """So answers a proxy whose server is away."""
    with Stubber(store._client) as stub:
        for method, call, error in (
            ("head_object", lambda: store.head("archive", "a.jpg"), NotFoundError),
            ("get_object", lambda: store.get("archive", "a.jpg"), RefusedError),
            ("put_object", lambda: store.put("archive", "a.jpg", b""), RefusedError),
            ("list_objects_v2", lambda: list(store.list(Location("archive", "a.jpg"))), RefusedError),
        ):
            stub.add_client_error(method, service_error_code="404", http_status_code=404)
            with pytest.raises(error):
                call()


def test_an_archived_photograph_is_its_own_fault(store):
    with Stubber(store._client) as stub:
        stub.add_client_error("get_object", service_error_code="InvalidObjectState", http_status_code=403)
        with pytest.raises(ImageFault) as told:
            store.get("archive", "cold.jpg")
    assert told.value.reason == "archived"


FAILURES = [
    NoCredentialsError(),
    PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
    CredentialRetrievalError(provider="custom-process", error_msg="exit 1\n  at line 3"),
    TokenRetrievalError(provider="sso", error_msg="expired"),
    UnauthorizedSSOTokenError(),
    MetadataRetrievalError(error_msg="timed out"),
    ProfileNotFound(profile="archivist"),
    ConfigParseError(path="~/.aws/config", error=ValueError("line 3")),
    ConfigNotFound(path="~/.aws/config"),
    RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
    FileNotFoundError(2, "No such file or directory", "give-credentials"),
    json.JSONDecodeError("Expecting value", "a-secret", 0),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ClientError({"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "AssumeRole"),
    KeyError("ETag"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_what_keeps_a_client_from_asking_may_pass_and_is_one_line(store, monkeypatch, failure):
    monkeypatch.setattr(store._client, "get_object", _raising(failure))
    with pytest.raises(CredentialsError) as told:
        store.get("archive", "a")
    assert "\n" not in str(told.value)
    assert "a-secret" not in str(told.value)


@pytest.mark.parametrize("shortage", [MemoryError(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_shortage_of_this_machine_is_no_fault_of_s3(store, monkeypatch, shortage):
    monkeypatch.setattr(store._client, "get_object", _raising(shortage))
    with pytest.raises(type(shortage)):
        store.get("archive", "a")


def test_a_profile_that_is_missing_or_does_not_parse_works_by_itself_once_it_is_mended(
    no_settings, monkeypatch, tmp_path
):
    config = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "archivist")
    with moto.mock_aws():
        store = Store(Settings(s3_attempts=1))
        for text in ("[default]\n", "[profile archivist\n"):
            config.write_text(text)
            with pytest.raises(CredentialsError, match="no S3 credentials"):
                store.create_bucket("archive")
        config.write_text("[profile archivist]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n")
        store.create_bucket("archive")


@pytest.mark.parametrize("role", ["", "role_arn = arn:aws:iam::123456789012:role/a\nsource_profile = other\n"])
def test_a_program_for_credentials_that_does_not_end_is_given_up(no_settings, monkeypatch, tmp_path, role):
    """Also where the credentials are those of a profile for whose role they are asked."""
    config, waiting = tmp_path / "config", "credential_process = sleep 60\n"
    config.write_text(f"[default]\n{role or waiting}\n[profile other]\n{waiting}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CredentialsError, match="did not end within"):
        Store(Settings(s3_attempts=1, s3_timeout=0.3)).head("archive", "a")


@pytest.mark.parametrize("token", [None, "", "x"])
def test_a_token_that_is_missing_or_half_written_may_pass(no_settings, monkeypatch, tmp_path, token):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    if token is not None:
        (tmp_path / "token").write_text(token)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/a")
    with pytest.raises(CredentialsError) as told:
        Store(Settings(s3_attempts=1)).head("archive", "a")
    assert "\n" not in str(told.value)


def test_after_expired_credentials_they_are_read_anew(no_settings, monkeypatch):
    monkeypatch.setattr("photochrom.worker.s3.client.RENEWED_SECONDS", 0)
    store = Store(Settings(s3_attempts=1))
    first = store._client
    with Stubber(first) as stub:
        stub.add_client_error("head_object", service_error_code="ExpiredToken", http_status_code=400)
        with pytest.raises(CredentialsError):
            store.head("archive", "a")
    assert store._client is not first


def _raising(error):
    def call(**_):
        raise error

    return call


def test_an_impossible_bucket_name_is_the_callers_fault(store):
    with pytest.raises(UsageError, match="no valid S3 name"):
        store.get("no such bucket!", "a")


# ---- servers that misbehave, on a real socket


@contextmanager
def server(answer):
    """A server that reads a request and hands the connection to `answer`; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(5)


def store_at(url, **options):
    return Store(Settings(s3_endpoint=url, **{"s3_attempts": 1, "s3_timeout": 5, **options}))


def head_of(size, *more):
    return "\r\n".join(["HTTP/1.1 200 OK", 'ETag: "e"', f"Content-Length: {size}", *more, "", ""]).encode()


def test_a_refused_connection_may_pass(no_settings, closed_port):
    with pytest.raises(RetryableError, match="s3://archive/a"):
        store_at(f"http://127.0.0.1:{closed_port}").get("archive", "a")


def test_a_server_that_does_not_answer_is_given_up_and_may_pass(no_settings):
    ended = threading.Event()
    with server(lambda connection: ended.wait(60)) as url:
        with pytest.raises(RetryableError):
            store_at(url, s3_timeout=0.2).get("archive", "a")
        assert not ended.is_set()
        ended.set()


def test_a_connection_that_breaks_in_the_middle_may_pass(no_settings):
    answer = head_of(1000) + b"only this"
    with server(lambda connection: connection.sendall(answer)) as url, pytest.raises(RetryableError):
        store_at(url).get("archive", "a")


@pytest.mark.parametrize("checksum", ["y/Q5Jg==", "AAAAAA=="])
def test_bytes_are_verified_against_the_servers_checksum(no_settings, checksum):
    answer = head_of(9, f"x-amz-checksum-crc32: {checksum}") + b"123456789"
    with server(lambda connection: connection.sendall(answer)) as url:
        if checksum == "y/Q5Jg==":  # CRC-32's own check value, 0xCBF43926
            assert store_at(url).get("archive", "a").data == b"123456789"
        else:
            with pytest.raises(RetryableError):
                store_at(url).get("archive", "a")


def test_a_page_of_a_proxy_is_no_listing_in_which_nothing_is(no_settings):
    page = b"<html><body>back soon</body></html>"
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\n\r\n".encode() + page
    with (
        server(lambda connection: connection.sendall(answer)) as url,
        pytest.raises(RetryableError, match="no listing"),
    ):
        list(store_at(url).list(Location("archive", "in/")))


def test_an_object_above_the_limit_is_not_downloaded(no_settings):
    """The server promises a terabyte and sends none of it: whoever waits for it waits in vain."""
    ended = threading.Event()

    def promise(connection):
        connection.sendall(head_of(10**12))
        ended.wait(60)

    with server(promise) as url:
        stored = store_at(url).get("archive", "a", most=10)
        ended.set()
    assert (stored.data, stored.size) == (b"", 10**12)


def test_an_object_at_the_limit_is_downloaded(store):
    store.put("archive", "a", b"12345")
    assert store.get("archive", "a", most=5).data == b"12345"
    assert store.get("archive", "a", most=4).data == b""


@pytest.fixture
def tried(no_settings, closed_port, monkeypatch):
    """Calls an S3 that is away (`at` a URL: one that answers so), five tries at the most; gives back how many."""

    def tried(url=f"http://127.0.0.1:{closed_port}"):
        store, tries = store_at(url, s3_attempts=5), []
        store._client.meta.events.register("before-send.s3", lambda **_: tries.append(1))
        with pytest.raises(RetryableError):
            store.head("archive", "a")
        return len(tries)

    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    return tried


@pytest.mark.parametrize(("draining", "tries"), [(False, 5), (True, 1)])
def test_a_worker_that_drains_tries_no_call_again(tried, monkeypatch, draining, tries):
    monkeypatch.setattr(shutdown, "is_draining", lambda: draining)
    assert tried() == tries


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Slow Down", "429 Too Many Requests"])
def test_a_worker_that_drains_takes_an_answer_that_may_pass_for_the_last(tried, monkeypatch, status):
    monkeypatch.setattr(shutdown, "is_draining", lambda: True)
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    with server(lambda connection: connection.sendall(answer)) as url:
        assert tried(url) == 1


def test_what_s3_answers_is_believed_while_a_worker_drains_too(store, monkeypatch):
    monkeypatch.setattr(shutdown, "is_draining", lambda: True)
    store.put("archive", "a", b"bytes")
    assert store.get("archive", "a").data == b"bytes"
    with pytest.raises(NotFoundError):
        store.head("archive", "b")
    with pytest.raises(ConflictError):
        store.put("archive", "a", b"other", if_absent=True)


# ---- servers that are slow, on a real socket


def drip(connection, ended, data):
    """Send a byte now and then, sooner than any time-out of a socket."""
    with suppress(OSError):
        for place in range(len(data)):
            if ended.wait(0.1):
                return
            connection.sendall(data[place : place + 1])


IN_HASTE = {"s3_timeout": 1.5, "s3_slowest": 2**22}
"""Through in 2 s, or 4 s where an answer has to begin."""


@pytest.fixture
def looking_often(monkeypatch):
    monkeypatch.setattr("photochrom.worker.s3.deadline.LOOK_SECONDS", 0.05)


SLOW = {
    "a body": (head_of(100_000), b"x" * 100_000),
    "a head": (b"", head_of(0) + b"x" * 100_000),
}


@pytest.mark.parametrize("slow", SLOW)
@pytest.mark.parametrize("attempts", [1, 5])
def test_an_answer_that_drips_is_given_up_and_may_pass(no_settings, looking_often, slow, attempts):
    ended, (at_once, dripping) = threading.Event(), SLOW[slow]

    def answer(connection):
        connection.sendall(at_once)
        drip(connection, ended, dripping)

    with server(answer) as url:
        with pytest.raises(RetryableError, match="too slow"):
            store_at(url, **IN_HASTE, s3_attempts=attempts).fetch("archive", "a", 10**9)
        ended.set()


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.put("archive", "a", b"bytes"),
        lambda store: list(store.list(Location("archive", ""))),
        lambda store: store.download("archive", "a", io.BytesIO(), 10**9),
        lambda store: store.get("archive", "a"),
    ],
    ids=["put", "list", "download", "get"],
)
def test_so_is_whatever_was_asked(no_settings, looking_often, ask):
    ended = threading.Event()

    def answer(connection):
        connection.sendall(head_of(100_000))
        drip(connection, ended, b"x" * 100_000)

    with server(answer) as url:
        with pytest.raises(RetryableError, match="too slow"):
            ask(store_at(url, **IN_HASTE))
        ended.set()


def test_a_call_that_is_late_before_it_has_a_connection_is_cut_off_when_it_gets_one(no_settings, looking_often):
    ended = threading.Event()

    def answer(connection):
        connection.sendall(head_of(100_000))
        drip(connection, ended, b"x" * 100_000)

    def until_late(**_):
        while not is_cut():
            ended.wait(0.05)

    with server(answer) as url:
        store = store_at(url, **IN_HASTE)
        store._client.meta.events.register("before-send.s3", until_late)
        with pytest.raises(RetryableError, match="too slow"):
            store.put("archive", "a", b"bytes")
        assert not ended.is_set()
        ended.set()


def test_a_stream_that_drips_is_given_up_too(no_settings, looking_often):
    ended = threading.Event()

    def answer(connection):
        connection.sendall(head_of(100_000))
        drip(connection, ended, b"x" * 100_000)

    with server(answer) as url:
        stream = store_at(url, **IN_HASTE).open("archive", "a")
        with pytest.raises(RetryableError):
            stream.read()
        ended.set()


def test_a_body_that_is_taken_slowly_is_given_up_too(no_settings, looking_often):
    ended = threading.Event()

    def take_slowly(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with suppress(OSError):
            while not ended.wait(0.05):
                connection.recv(10)

    with server(take_slowly) as url:
        with pytest.raises(RetryableError):
            store_at(url, **IN_HASTE).put("archive", "a", bytes(30 * 2**20))
        ended.set()


def test_whoever_reads_a_listing_slowly_is_not_late(store, looking_often, monkeypatch):
    """Between two pages no call is in hand."""
    for number in range(3):
        store.put("archive", f"in/{number}", b"")
    listed = store.list(Location("archive", "in/"))
    next(listed)
    assert store._clients.deadlines._calls == set()
    assert len(list(listed)) == 2


# ---- large objects, in parts


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(photochrom.worker.s3.store, "PART_BYTES", 5 * 2**20)


LARGE = bytes(range(256)) * (12 * 2**12)


def uploads(aws):
    return aws.list_multipart_uploads(Bucket="archive").get("Uploads", [])


def test_a_large_object_is_written_in_parts_with_all_it_has(store, aws, small_parts):
    etag = store.put("archive", "a", LARGE, content_type="image/tiff", metadata={"model": "m"})
    stored = store.get("archive", "a")
    assert (stored.data == LARGE, stored.etag, stored.metadata) == (True, etag, {"model": "m"})
    assert etag.endswith('-3"')
    assert aws.head_object(Bucket="archive", Key="a")["ContentType"] == "image/tiff"
    assert uploads(aws) == []


def lost_race(store, aws, monkeypatch, call):
    """The server finds the condition not met when all parts are there."""

    def complete(**options):
        asked.append({name: options[name] for name in ("IfMatch", "IfNoneMatch") if name in options})
        answer = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}
        raise ClientError(answer, "CompleteMultipartUpload")

    asked = []
    monkeypatch.setattr(store._client, "complete_multipart_upload", complete)
    with pytest.raises(ConflictError):
        call()
    assert uploads(aws) == []
    return asked


def test_the_conditions_hold_for_parts_too_and_what_lost_leaves_nothing(store, aws, small_parts, monkeypatch):
    asked = lost_race(store, aws, monkeypatch, lambda: store.put("archive", "a", LARGE, if_absent=True))
    assert asked == [{"IfNoneMatch": "*"}]
    asked = lost_race(store, aws, monkeypatch, lambda: store.put("archive", "a", LARGE, if_match='"e"'))
    assert asked == [{"IfMatch": '"e"'}]
    with pytest.raises(NotFoundError):
        store.head("archive", "a")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_upload_that_is_cut_off_leaves_nothing(store, aws, error):
    def parts():
        yield bytes(5 * 2**20)
        assert len(uploads(aws)) == 1
        raise error

    with pytest.raises(error):
        store.put_parts("archive", "a", parts())
    assert uploads(aws) == []
    with pytest.raises(NotFoundError):
        store.head("archive", "a")


def test_what_went_wrong_first_is_told_even_if_cleaning_up_fails_too(store, aws, small_parts, monkeypatch):
    denied = ClientError({"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "Abort")
    monkeypatch.setattr(store._client, "abort_multipart_upload", _raising(denied))
    busy = ClientError({"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "UploadPart")
    monkeypatch.setattr(store._client, "upload_part", _raising(busy))
    with pytest.raises(RetryableError, match="SlowDown"):
        store.put("archive", "a", LARGE)


def test_an_upload_that_the_server_does_not_know_any_more_may_pass(store):
    """Completed, and the answer was lost: the second try finds no upload."""
    with Stubber(store._client) as stub:
        stub.add_client_error("put_object", service_error_code="NoSuchUpload", http_status_code=404)
        with pytest.raises(RetryableError):
            store.put("archive", "a", b"")


# ---- streams and folders


def test_an_object_can_be_read_as_a_stream(store):
    store.put("archive", "a", b"one\ntwo\n")
    with store.open("archive", "a") as stream:
        assert list(stream) == [b"one\n", b"two\n"]
    with pytest.raises(NotFoundError):
        store.open("archive", "none")


def test_a_stream_that_breaks_in_the_middle_may_pass(no_settings):
    answer = head_of(1000) + b"only this"
    with server(lambda connection: connection.sendall(answer)) as url, pytest.raises(RetryableError):
        store_at(url).open("archive", "a").read()


def test_folders_are_those_directly_inside(store):
    for key in ("s/one/a.json", "s/one/deep/b.json", "s/two/c.json", "s/file.json", "other/three/d"):
        store.put("archive", key, b"")
    assert list(store.folders(Location("archive", "s"))) == ["one", "two"]


# ---- what is fetched, and by how many at once


@pytest.mark.parametrize("in_memory", [0, 4, 5, 100])
def test_an_object_is_fetched_as_a_file_in_memory_or_beyond(store, monkeypatch, in_memory):
    monkeypatch.setattr(photochrom.worker.s3.store, "IN_MEMORY", in_memory)
    etag = store.put("archive", "a", b"bytes", metadata={"what": "this"})
    stored, file = store.fetch("archive", "a", most=5)
    assert (file.tell(), file.read()) == (0, b"bytes")
    assert (stored.etag, stored.size, stored.metadata) == (etag, 5, {"what": "this"})


def test_what_is_too_large_is_not_fetched(store):
    store.put("archive", "a", b"bytes")
    stored, file = store.fetch("archive", "a", most=4)
    assert (stored.size, file.read()) == (5, b"")


def test_what_is_not_there_is_not_fetched(store):
    with pytest.raises(NotFoundError):
        store.fetch("archive", "nothing", most=4)
