"""Preparing: everything listed ends in the cache, in pieces, once, and what is of no use with its reason."""

import hashlib

import numpy as np
import pytest

from photochrom.training.data import prepare as module
from photochrom.training.data.prepare import AHEAD, prepare
from photochrom.training.data.source import identity, list_source
from photochrom.worker.errors import OutOfMemoryFault, RetryableError


@pytest.fixture
def prefix(folder, store):
    for path in folder.iterdir():
        store.put("archive", f"in/{path.name}", path.read_bytes())
    return "s3://archive/in"


def records(source, listing, cache):
    return [cache.record(identity(source, listed)) for listed in listing]


@pytest.fixture
def fetched(monkeypatch):
    """Keys in the order in which they were asked for."""
    keys = []
    fetch = module.fetch
    monkeypatch.setattr(
        module, "fetch", lambda source, listed, store: keys.append(listed.key) or fetch(source, listed, store)
    )
    return keys


def test_every_photograph_of_a_prefix_comes_into_the_cache(prefix, folder, store, cache, picture):
    listing = list_source(prefix, store)
    assert prepare(prefix, listing, cache, store)
    for index, record in enumerate(records(prefix, listing, cache)):
        assert record.sha256 == hashlib.sha256((folder / f"{index:02d}.png").read_bytes()).hexdigest()
        np.testing.assert_array_equal(cache.pixels(record.sha256), np.asarray(picture(index)))


def test_what_is_there_is_not_fetched_again(prefix, store, cache, fetched):
    listing = list_source(prefix, store)
    assert prepare(prefix, listing, cache, store)
    assert len(fetched) == 30
    assert prepare(prefix, listing, cache, store, until=lambda: True)
    assert len(fetched) == 30


def test_short_pieces_come_to_the_whole_and_nothing_is_done_twice(prefix, store, cache, fetched):
    listing = list_source(prefix, store)
    pieces = 0
    while True:
        answers = iter([False] * 5)
        pieces += 1
        if prepare(prefix, listing, cache, store, until=lambda answers=answers: next(answers, True)):
            break
        assert sum(record is not None for record in records(prefix, listing, cache)) == 5 * pieces
    assert pieces == 6
    assert sorted(fetched) == [listed.key for listed in listing]


def test_one_that_is_told_to_stop_at_once_does_nothing(folder, cache, fetched):
    assert not prepare(str(folder), list_source(str(folder)), cache, until=lambda: True)
    assert not fetched


def test_people_hear_how_far_it_is(folder, cache):
    heard = []
    prepare(str(folder), list_source(str(folder)), cache, tell=lambda *far: heard.append(far))
    assert heard == [(20, 30), (30, 30)]


def test_an_empty_listing_is_prepared(cache, tmp_path):
    assert prepare(str(tmp_path), [], cache)


def test_what_is_of_no_use_is_kept_with_its_reason(tmp_path, picture, encode, cache, fetched):
    (tmp_path / "1.png").write_bytes(encode(picture(1)))
    (tmp_path / "2.png").write_bytes(b"garbage")
    (tmp_path / "3.png").write_bytes(encode(picture(3, width=70, height=20)))
    (tmp_path / "4.png").write_bytes(encode(picture(4)))
    listing = list_source(str(tmp_path))
    (tmp_path / "4.png").unlink()
    assert prepare(str(tmp_path), listing, cache)
    found = [record.reason for record in records(str(tmp_path), listing, cache)]
    assert found == [None, "unreadable (UnidentifiedImageError)", "too small", "gone"]
    assert prepare(str(tmp_path), listing, cache)
    assert len(fetched) == 4


def test_a_copy_is_decoded_once(tmp_path, picture, encode, cache, monkeypatch):
    decoded = []
    working_copy = module.working_copy
    monkeypatch.setattr(module, "working_copy", lambda data: decoded.append(data) or working_copy(data))
    (tmp_path / "1.png").write_bytes(encode(picture(1)))
    prepare(str(tmp_path), list_source(str(tmp_path)), cache)
    (tmp_path / "2.png").write_bytes(encode(picture(1)))
    listing = list_source(str(tmp_path))
    assert prepare(str(tmp_path), listing, cache)
    first, second = records(str(tmp_path), listing, cache)
    assert first == second
    assert len(decoded) == 1


def test_a_failing_s3_stops_it_and_what_was_done_stays(prefix, store, cache, monkeypatch):
    listing = list_source(prefix, store)
    fetch = module.fetch

    def fail(source, listed, store):
        if listed == listing[20]:
            raise RetryableError("busy")
        return fetch(source, listed, store)

    monkeypatch.setattr(module, "fetch", fail)
    with pytest.raises(RetryableError):
        prepare(prefix, listing, cache, store)
    assert all(records(prefix, listing[:20], cache))
    monkeypatch.undo()
    assert prepare(prefix, listing, cache, store)


def test_only_a_few_are_held_at_once(folder, cache, fetched, monkeypatch):
    written = []
    add = cache.add
    monkeypatch.setattr(cache, "add", lambda *found: written.append(len(fetched)) or add(*found))
    prepare(str(folder), list_source(str(folder)), cache)
    assert all(begun <= done + AHEAD for done, begun in enumerate(written))


def test_what_was_begun_beside_a_failure_is_kept(prefix, store, cache, monkeypatch):
    listing = list_source(prefix, store)
    fetch, fetched = module.fetch, []

    def fail(source, listed, store):
        if listed in (listing[5], listing[7]):
            raise RetryableError(f"{listed.key} is busy")
        fetched.append(listed)
        return fetch(source, listed, store)

    monkeypatch.setattr(module, "fetch", fail)
    with pytest.raises(RetryableError, match=r"05\.png is busy"):
        prepare(prefix, listing, cache, store)
    assert set(listing[:5]) | {listing[6]} <= set(fetched)
    assert len(fetched) < 5 + AHEAD
    assert all(records(prefix, fetched, cache))


@pytest.mark.parametrize("at", ["fetch", "working_copy"])
def test_a_machine_without_memory_is_not_kept_as_the_photographs_reason(folder, cache, monkeypatch, at):
    def fail(*_):
        raise MemoryError

    listing = list_source(str(folder))
    monkeypatch.setattr(module, at, fail)
    with pytest.raises(OutOfMemoryFault):
        prepare(str(folder), listing, cache)
    monkeypatch.undo()
    assert prepare(str(folder), listing, cache)
    assert all(record.reason is None for record in records(str(folder), listing, cache))


def test_how_many_are_listed_makes_no_query_more(folder, cache):
    listing = list_source(str(folder))
    prepare(str(folder), listing, cache)
    queries = []
    cache._connection.set_trace_callback(queries.append)
    assert prepare(str(folder), listing, cache)
    assert len(queries) == 1
