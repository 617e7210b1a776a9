"""Photographs to measure with come from a folder or a prefix, and only when they are asked for."""

import numpy as np
import pytest

from photochrom.training.data.readable import photographs_of, told
from photochrom.worker.errors import ImageFault, UsageError


@pytest.fixture
def files(tmp_path, picture, encode):
    (tmp_path / "deep").mkdir()
    found = {"a.png": encode(picture(1)), "deep/b.png": encode(picture(2))}
    for name, data in found.items():
        (tmp_path / name).write_bytes(data)
    return found


def test_a_folder_and_a_prefix_give_the_same_photographs(tmp_path, files, store):
    for name, data in files.items():
        store.put("archive", f"in/{name}", data)
    here, there = photographs_of(str(tmp_path), store), photographs_of("s3://archive/in", store)
    assert [photograph.name for photograph in here] == ["a.png", "deep/b.png"]
    assert [photograph.name for photograph in there] == ["in/a.png", "in/deep/b.png"]
    for one, other in zip(here, there, strict=True):
        assert (np.asarray(one.rgb()) == np.asarray(other.rgb())).all()


def test_what_vanished_since_it_was_listed_is_the_photographs_fault(tmp_path, files):
    first, _ = photographs_of(str(tmp_path), None)
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageFault) as fault:
        first.rgb()
    assert fault.value.reason == "gone"


def test_a_source_without_photographs_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no photographs in"):
        photographs_of(str(tmp_path), None)


def test_it_is_told_behind_each_photograph_how_many_are_done():
    seen = []
    for photograph in told(["a", "b"], lambda *counts: seen.append(counts)):
        seen.append(photograph)
    assert seen == ["a", (1, 2), "b", (2, 2)]
