"""Collections opened from a manifest: pixels are those of the photographs, and what is missing is named."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from photochrom.training.data.cache import Cache
from photochrom.training.data.collection import open_collection
from photochrom.training.data.manifest import Manifest, NotPreparedError, freeze
from photochrom.training.data.prepare import prepare
from photochrom.training.data.source import list_source
from photochrom.worker.errors import UsageError


@pytest.fixture
def source(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "in")
    return tmp_path / "in"


@pytest.fixture
def manifest(source, cache):
    listing = list_source(str(source))
    prepare(str(source), listing, cache)
    return Manifest.load(freeze(str(source), listing, cache, 0.3).dump())


def all_of(collection):
    return [*collection.training, *collection.validation]


def test_photographs_are_those_of_the_manifest_on_their_sides(manifest, cache, picture):
    collection = open_collection(manifest, cache)
    assert [photograph.name for photograph in collection.training] == [entry.key for entry in manifest.of("training")]
    assert [p.name for p in collection.validation] == [entry.key for entry in manifest.of("validation")]
    assert collection.mean_chroma == manifest.mean_chroma
    for photograph in all_of(collection):
        np.testing.assert_array_equal(photograph.rgb(), picture(int(photograph.name[:2])))


def test_several_threads_read_at_once(manifest, cache, picture):
    photographs = all_of(open_collection(manifest, cache)) * 5
    with ThreadPoolExecutor(4) as pool:
        for photograph, image in zip(photographs, pool.map(lambda p: p.rgb(), photographs), strict=True):
            np.testing.assert_array_equal(image, picture(int(photograph.name[:2])))


def test_another_machine_fills_its_cache_from_the_manifest(manifest, source, tmp_path, picture, encode):
    (source / "new.png").write_bytes(encode(picture(80)))  # not in the manifest
    (source / "05.png").touch()  # copied, its time is another one; its bytes are the same
    with Cache(tmp_path / "other") as cache:
        with pytest.raises(NotPreparedError, match=r"00.png of .*prepare the photographs again"):
            open_collection(manifest, cache)
        assert prepare(manifest.source, manifest.listing(), cache)
        assert len(all_of(open_collection(manifest, cache))) == 30


def test_a_photograph_that_is_another_one_now_is_never_taken_for_what_it_was(
    manifest, source, tmp_path, picture, encode
):
    (source / "05.png").write_bytes(encode(picture(90)))
    with Cache(tmp_path / "other") as cache:
        prepare(manifest.source, manifest.listing(), cache)
        with pytest.raises(UsageError, match=r"05.png of .*it is another photograph now") as told:
            open_collection(manifest, cache)
        assert not isinstance(told.value, NotPreparedError)  # to prepare again would change nothing


def test_a_photograph_that_is_gone_is_named_and_looked_for_again(manifest, source, tmp_path):
    there = (source / "07.png").read_bytes()
    (source / "07.png").unlink()
    with Cache(tmp_path / "other") as cache:
        prepare(manifest.source, manifest.listing(), cache)
        with pytest.raises(UsageError, match=r"07.png of .*: gone"):
            open_collection(manifest, cache)
        (source / "07.png").write_bytes(there)
        assert prepare(manifest.source, manifest.listing(), cache)
        assert len(all_of(open_collection(manifest, cache))) == 30


def test_how_many_are_opened_makes_no_query_more(manifest, cache):
    queries = []
    cache._connection.set_trace_callback(queries.append)
    open_collection(manifest, cache)
    assert len(queries) == 1
