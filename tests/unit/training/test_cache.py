"""The cache: what was put in comes out, across processes and kills, and damage is told in one line."""

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.training.data import cache as module
from photochrom.training.data.cache import FILE, Cache, Record
from photochrom.training.data.source import Identity
from photochrom.training.data.working_copy import Traits, WorkingCopy
from photochrom.worker.errors import DiskFullFault, RetryableError, UsageError, WorkerFault

ROOT = Path(__file__).parents[3]


def identity(number):
    return Identity(f"s3://archive/{number}.jpg", f'"{number}"', number)


def sha256(number):
    return f"{number:064x}"


def copy(number, height=5, width=7):
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return WorkingCopy(Traits(height * 10, width * 10, f"{number:016x}", 12.5, (0.25, -0.125)), pixels)


def test_what_was_put_in_comes_out(cache):
    cache.add(identity(1), sha256(1), copy(1))
    assert cache.record(identity(1)) == cache.photograph(sha256(1)) == Record(sha256(1), None, copy(1).traits)
    np.testing.assert_array_equal(cache.pixels(sha256(1)), copy(1).pixels)


@given(height=st.integers(1, 40), width=st.integers(1, 40), levels=st.integers(1, 256), seed=st.integers(0, 99))
def test_pixels_of_any_size_come_out_as_they_went_in(tmp_path_factory, height, width, levels, seed):
    pixels = np.random.default_rng(seed).integers(0, levels, (height, width, 3), dtype=np.uint8)
    with Cache(tmp_path_factory.mktemp("cache")) as cache:
        cache.add(identity(1), sha256(1), WorkingCopy(copy(1).traits, pixels))
        np.testing.assert_array_equal(cache.pixels(sha256(1)), pixels)


def test_what_is_of_no_use_is_known_with_its_reason(cache):
    cache.add(identity(1), sha256(1), "too small")
    assert cache.record(identity(1)) == cache.photograph(sha256(1)) == Record(sha256(1), "too small")
    with pytest.raises(UsageError, match="does not hold the photograph 000000000000"):
        cache.pixels(sha256(1))


@given(asked=st.lists(st.integers(0, 9), max_size=12), at_once=st.integers(1, 5))
def test_many_asked_for_at_once_are_as_asked_for_one_by_one(tmp_path_factory, asked, at_once):
    with pytest.MonkeyPatch.context() as patch, Cache(tmp_path_factory.mktemp("cache")) as cache:
        patch.setattr(module, "ASKED_AT_ONCE", at_once)
        for number in range(3):
            cache.add(identity(number), sha256(number), copy(number))
        cache.add(identity(3), sha256(3), "too small")
        cache.add(identity(4), "", "gone")
        cache.add(identity(5), sha256(1), None)
        expected = [cache.record(identity(number)) for number in asked]
        assert list(cache.records(identity(number) for number in asked)) == expected
        assert list(cache.knows(identity(number) for number in asked)) == [number < 6 for number in asked]
        assert list(cache.holds(sha256(number) for number in asked)) == [number < 3 for number in asked]


def test_what_was_never_seen_is_not_known(cache):
    cache.add(identity(1), sha256(1), copy(1))
    for other in (identity(2), identity(1)._replace(etag='"2"'), identity(1)._replace(size=2)):
        assert cache.record(other) is None
    assert cache.photograph(sha256(2)) is None


def test_two_sources_of_the_same_bytes_share_one_photograph(cache):
    cache.add(identity(1), sha256(1), copy(1))
    cache.add(identity(2), sha256(1), None)
    cache.add(identity(3), sha256(1), copy(1))
    assert cache.record(identity(1)) == cache.record(identity(2)) == cache.record(identity(3))
    assert cache._row("SELECT count(*) FROM pixels", ()) == (1,)


def test_only_what_was_not_to_be_had_is_forgotten(cache):
    cache.add(identity(1), sha256(1), copy(1))
    cache.add(identity(2), sha256(2), "too small")
    cache.add(identity(3), "", "gone")
    assert cache.record(identity(3)) == Record("", "gone")
    assert cache.photograph("") is None
    cache.forget_unfetched()
    assert cache.record(identity(3)) is None
    assert cache.record(identity(1)).traits
    assert cache.record(identity(2)).reason == "too small"


def test_a_closed_cache_opens_with_everything_in_it(tmp_path):
    with Cache(tmp_path) as cache:
        cache.add(identity(1), sha256(1), copy(1))
    with Cache(tmp_path) as cache:
        np.testing.assert_array_equal(cache.pixels(sha256(1)), copy(1).pixels)


def test_many_threads_read_and_write_at_once(cache):
    def work(number):
        cache.add(identity(number), sha256(number), copy(number))
        return np.array_equal(cache.pixels(sha256(number)), copy(number).pixels)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, [*range(50), *range(25, 100)]))
    assert cache._row("SELECT count(*) FROM pixels", ()) == (100,)


def test_writes_go_through_a_log_that_survives_a_kill(cache):
    assert cache._row("PRAGMA journal_mode", ()) == ("wal",)


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}]
from test_cache import copy, identity, sha256
from photochrom.training.data.cache import Cache
with Cache(Path({folder!r})) as cache:
    for number in range({first}, {last}):
        cache.add(identity(number), sha256(number), copy(number, 60, 80))
        print(number, flush=True)
"""


def writer(folder, first, last):
    code = WRITER.format(here=str(Path(__file__).parent), folder=str(folder), first=first, last=last)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def assert_whole(folder, numbers):
    with Cache(folder) as cache:
        assert cache._row("PRAGMA integrity_check", ()) == ("ok",)
        for number in numbers:
            np.testing.assert_array_equal(cache.pixels(sha256(number)), copy(number, 60, 80).pixels)
            assert cache.record(identity(number)).traits


def test_a_process_that_is_killed_leaves_what_it_had_finished(tmp_path):
    process = writer(tmp_path, 0, 1_000_000)
    said = [int(process.stdout.readline()) for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert_whole(tmp_path, said)


def test_two_processes_fill_one_cache_at_once(tmp_path):
    processes = [writer(tmp_path, 0, 80), writer(tmp_path, 40, 120)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert_whole(tmp_path, range(120))


def test_a_damaged_file_is_told_in_one_line(tmp_path):
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(WorkerFault, match="not a database; it may be deleted"):
        Cache(tmp_path)


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkerFault, match="cannot be opened"):
        Cache(tmp_path / "file" / "cache")


def test_a_full_disk_is_told_as_such(cache):
    cache._connection.execute(f"PRAGMA max_page_count = {cache._row('PRAGMA page_count', ())[0]}")
    with pytest.raises(DiskFullFault, match="no room on the disk"):
        for number in range(50):
            cache.add(identity(number), sha256(number), copy(number, 60, 80))
    assert cache.photograph(sha256(49)) is None


def test_a_file_that_another_process_keeps_busy_may_be_free_later(cache, tmp_path, monkeypatch):
    other = sqlite3.connect(tmp_path / "cache" / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    cache._connection.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(RetryableError, match="busy"):
        cache.add(identity(1), sha256(1), copy(1))
    other.execute("ROLLBACK")
    other.close()
    cache.add(identity(1), sha256(1), copy(1))
    assert cache.record(identity(1))


def test_a_photograph_that_could_not_be_written_whole_is_not_known(cache, monkeypatch):
    cache._connection.execute("DROP TABLE pixels")
    with pytest.raises(WorkerFault):
        cache.add(identity(1), sha256(1), copy(1))
    assert cache.photograph(sha256(1)) is None
    assert cache.record(identity(1)) is None
