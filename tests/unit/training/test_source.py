"""Sources: what is listed, in which order, and what it means that a photograph cannot be had."""

import os

import pytest
from botocore.exceptions import ClientError

from photochrom.training.data import source as module
from photochrom.training.data.source import fetch, identities, identity, list_source
from photochrom.worker.errors import (
    AccessDeniedFault,
    CredentialsError,
    ImageFault,
    RetryableError,
    UsageError,
    WorkerFault,
)
from photochrom.worker.s3.store import Listed

NAMES = ["a/b/1.PNG", "a/2.Tiff", "3.webp", "a-b/4.jpeg", "a.tif", "10.jpg"]
IN_ORDER = ["10.jpg", "3.webp", "a/2.Tiff", "a/b/1.PNG", "a-b/4.jpeg", "a.tif"]


@pytest.fixture
def folder(tmp_path):
    for name in [*NAMES, "notes.txt"]:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "in" / "folder.jpg").mkdir()
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "gone.png")
    return tmp_path / "in"


@pytest.fixture
def prefix(store):
    for name in [*NAMES, "notes.txt"]:
        store.put("archive", f"in/{name}", name.encode())
    store.put("archive", "in-others/1.png", b"not ours")
    return "s3://archive/in"


def reason(*arguments):
    with pytest.raises(ImageFault) as fault:
        fetch(*arguments)
    return fault.value.reason


def test_a_folder_is_listed_with_its_subfolders_folder_by_folder(folder):
    listing = list_source(str(folder))
    assert sorted(listed.key for listed in listing) == sorted(IN_ORDER)
    assert [listed.key for listed in listing] == [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".txt"
    ]
    assert all(listed.size == len(listed.key) for listed in listing)


def test_a_prefix_is_listed_in_the_order_of_a_folder(folder, prefix, store):
    listing = list_source(prefix, store)
    assert [listed.key.removeprefix("in/") for listed in listing] == [item.key for item in list_source(str(folder))]
    assert all(listed.etag and listed.size for listed in listing)


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        list_source(str(tmp_path / "nowhere"))


def test_a_photograph_is_fetched_as_it_lies_there(folder, prefix, store):
    for source, connection in ((str(folder), None), (str(folder), store), (prefix, store)):
        for listed in list_source(source, connection):
            assert fetch(source, listed, connection) == listed.key.removeprefix("in/").encode()


def test_a_change_gives_a_file_another_identity(folder):
    def known():
        return {identity(str(folder), listed) for listed in list_source(str(folder))}

    before = known()
    (folder / "a" / "2.Tiff").write_bytes(b"a/X.Tiff")
    os.utime(folder / "a" / "2.Tiff", ns=(1, 1))
    after = known()
    assert len(after - before) == 1
    (folder / "a" / "2.Tiff").write_bytes(b"longer than it was")
    os.utime(folder / "a" / "2.Tiff", ns=(1, 1))
    assert len(known() - after) == 1


def test_a_file_is_the_same_by_whatever_path_its_folder_is_called(folder):
    listing = list_source(str(folder))
    one, other = ([identity(str(name), listed) for listed in listing] for name in (folder, folder / "a" / ".."))
    assert one == other


def test_the_same_object_is_known_from_wherever_it_was_listed():
    listed = Listed("in/1.png", '"etag"', 3)
    assert identity("s3://archive/in", listed) == identity("s3://archive/", listed)
    assert identity("s3://archive/in", listed) != identity("s3://other/in", listed)


def test_what_cannot_be_had_is_told_by_its_reason(folder, prefix, store, monkeypatch):
    listed = list_source(prefix, store)[0]
    assert reason(prefix, listed._replace(key="in/none.jpg"), store) == "gone"
    assert reason(str(folder), Listed("none.jpg"), None) == "gone"
    assert reason(prefix, listed._replace(etag='"another"'), store) == "changed"
    assert reason(prefix, listed._replace(size=2**40), store) == "too large"
    monkeypatch.setattr(module, "MOST_BYTES", 3)
    assert reason(prefix, listed._replace(size=None), store) == "too large"


def test_a_photograph_that_may_not_be_read_is_told_as_such(prefix, store, aws, monkeypatch):
    listed = list_source(prefix, store)[0]
    aws.put_object(Bucket="archive", Key="in/cold.jpg", Body=b"cold", StorageClass="GLACIER")
    assert reason(prefix, Listed("in/cold.jpg"), store) == "archived"

    def deny(*_):
        raise AccessDeniedFault("S3 denies access")

    monkeypatch.setattr(store, "get", deny)
    assert reason(prefix, listed, store) == "denied"


def test_a_failing_s3_is_the_worlds_fault_and_not_the_photographs(prefix, store, monkeypatch):
    listed = list_source(prefix, store)[0]

    def fail(*_):
        raise RetryableError("busy")

    monkeypatch.setattr(store, "get", fail)
    with pytest.raises(RetryableError):
        fetch(prefix, listed, store)


def refusing(code, status):
    def refuse(**_):
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")

    return refuse


@pytest.mark.parametrize("code", ["InvalidRequest", "KMS.DisabledException"])  # a key only its owner has, or none has
def test_an_object_that_s3_refuses_for_good_is_told_as_such(prefix, store, monkeypatch, code):
    listed = list_source(prefix, store)[0]
    monkeypatch.setattr(store._client, "get_object", refusing(code, 400))
    assert reason(prefix, listed, store) == "refused"


@pytest.mark.parametrize(("code", "status"), [("InvalidToken", 400), ("ExpiredToken", 403), ("NoSuchBucket", 404)])
def test_where_nothing_can_be_had_no_object_is_to_blame(prefix, store, monkeypatch, code, status):
    listed = list_source(prefix, store)[0]
    for call in ("get_object", "list_objects_v2"):
        monkeypatch.setattr(store._client, call, refusing(code, status))
    with pytest.raises((WorkerFault, CredentialsError)):
        fetch(prefix, listed, store)


def test_identities_are_those_of_each(folder, prefix, store):
    for source in (str(folder), prefix):
        listing = [*list_source(source, store), Listed("of unknown size.jpg")]
        assert list(identities(source, listing)) == [identity(source, listed) for listed in listing]
    assert identity("/", Listed("a/1.png")).place == "/a/1.png"
    assert identity(str(folder), Listed("a/1.png", "5", 7)) == (f"{folder.resolve()}/a/1.png", "5", 7)
