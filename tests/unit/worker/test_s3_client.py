"""The client of S3: its connections, and what it says with every call."""

import moto
import pytest

from photochrom.worker.s3 import client as s3_client
from photochrom.worker.s3.client import CONNECTIONS, SENT_AT_ONCE


@pytest.fixture
def client(settings):
    """A client, and the headers of every call that it makes."""
    with moto.mock_aws():
        made, sent = s3_client.client(settings), []
        made.meta.events.register_first("before-send.s3", lambda request, **_: sent.append(request.headers))
        made.create_bucket(Bucket="archive")
        sent.clear()
        yield made, sent


@pytest.mark.parametrize(("size", "asks"), [(0, False), (SENT_AT_ONCE, False), (SENT_AT_ONCE + 1, True)])
def test_only_for_a_large_body_is_asked_whether_it_is_wanted(client, size, asks):
    made, sent = client
    made.put_object(Bucket="archive", Key="a", Body=bytes(size))
    [headers] = sent
    assert ("Expect" in headers) is asks


def test_the_server_is_told_who_asks(client):
    made, sent = client
    made.put_object(Bucket="archive", Key="a", Body=b"bytes")
    made.get_object(Bucket="archive", Key="a")
    made.list_objects_v2(Bucket="archive")
    assert [headers["User-Agent"].startswith(b"photochrom/") for headers in sent] == [True] * 3


@pytest.mark.parametrize(("wanted", "kept"), [(None, CONNECTIONS), (66, 66)])
def test_as_many_connections_are_kept_as_the_settings_say(settings, wanted, kept):
    made = s3_client.client(settings.model_copy(update={"s3_connections": wanted}))
    assert made.meta.config.max_pool_connections == kept
