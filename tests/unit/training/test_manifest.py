"""Manifests: what is frozen, what is left out and why, and that a file of one says the same again."""

import hashlib
import json
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageOps

from photochrom.training.data import manifest as module
from photochrom.training.data.fingerprint import fingerprint
from photochrom.training.data.manifest import Entry, Manifest, NotPreparedError, freeze, side_of
from photochrom.training.data.prepare import prepare
from photochrom.training.data.source import list_source
from photochrom.worker.errors import UsageError

DIGITS = st.text("0123456789abcdef", min_size=64, max_size=64)
ENTRIES = st.builds(
    Entry,
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    etag=st.text(st.characters(exclude_categories=["Cs"])),
    size=st.none() | st.integers(0, 2**62),
    sha256=DIGITS,
    fingerprint=DIGITS.map(lambda digits: digits[:16]),
    side=st.sampled_from(["training", "validation"]),
)
MANIFESTS = st.builds(
    Manifest,
    source=st.text(st.characters(exclude_categories=["Cs"])),
    entries=st.lists(ENTRIES, max_size=5).map(tuple),
    left_out=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 9)),
    mean_chroma=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
)


def frozen(folder, cache, share=0.3, kept_out=()):
    listing = list_source(str(folder))
    assert prepare(str(folder), listing, cache)
    return freeze(str(folder), listing, cache, share, kept_out)


def kept_out(data, image):
    return SimpleNamespace(sha256=hashlib.sha256(data).hexdigest(), fingerprint=fingerprint(image))


def test_a_manifest_names_every_fit_photograph_in_the_order_of_the_listing(folder, cache):
    manifest = frozen(folder, cache)
    assert manifest.listing() == list_source(str(folder))
    for entry in manifest.entries:
        data = (folder / entry.key).read_bytes()
        assert entry.sha256 == hashlib.sha256(data).hexdigest()
        assert entry.side == side_of(entry.sha256, 0.3)
    assert len(manifest.of("training")) + len(manifest.of("validation")) == 30


def test_what_is_left_out_is_counted_by_its_reason(tmp_path, folder, picture, encode, cache):
    for path in sorted(folder.iterdir())[:12]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for name in ("x-copy.png", "x-second-copy.png"):
        (tmp_path / name).write_bytes((folder / "00.png").read_bytes())
    (tmp_path / "small.png").write_bytes(encode(picture(50, width=70, height=30)))
    (tmp_path / "gray.png").write_bytes(encode(picture(51).convert("L")))
    for name in ("broken.png", "broken-too.png"):
        (tmp_path / name).write_bytes(b"broken")
    evaluation = [
        kept_out(encode(picture(3)), picture(103)),  # the very file
        kept_out(b"", picture(4).resize((50, 44))),
        kept_out(b"", ImageOps.mirror(picture(5))),
    ]
    manifest = frozen(tmp_path, cache, kept_out=evaluation)
    assert manifest.left_out == {
        "copy": 3,  # a broken one as well
        "too small": 1,
        "next to no colour": 1,
        "unreadable (UnidentifiedImageError)": 1,
        "part of the evaluation set": 1,
        "near-duplicate of the evaluation set": 2,
    }
    kept = [entry.key for entry in manifest.entries]
    assert kept == ["00.png", "01.png", "02.png", *(f"{number:02d}.png" for number in range(6, 12))]


def test_two_that_were_not_to_be_had_are_no_copies_of_each_other(tmp_path, folder, cache):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    listing = list_source(str(tmp_path))
    for name in ("03.png", "04.png"):
        (tmp_path / name).unlink()
    prepare(str(tmp_path), listing, cache)
    assert freeze(str(tmp_path), listing, cache, 0.3).left_out == {"gone": 2}


def test_nothing_is_frozen_before_all_of_it_is_prepared(folder, cache):
    listing = list_source(str(folder))
    prepare(str(folder), listing[:-1], cache)
    with pytest.raises(NotPreparedError, match=r"29.png of .* is not in the cache yet"):
        freeze(str(folder), listing, cache, 0.3)


def test_a_run_without_photographs_on_a_side_is_refused_unless_it_wants_none(folder, cache):
    with pytest.raises(UsageError, match="not enough photographs to train on"):
        frozen(folder, cache, 1e-9)
    with pytest.raises(UsageError, match="not enough photographs to train on"):
        frozen(folder, cache, 1.0)
    assert frozen(folder, cache, 0.0).of("validation") == []


def test_the_same_listing_gives_the_same_manifest(folder, cache):
    assert frozen(folder, cache).dump() == frozen(folder, cache).dump()


@given(sha256=DIGITS, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
def test_a_larger_share_only_moves_photographs_into_validation(sha256, shares):
    smaller, larger = (side_of(sha256, share) for share in shares)
    assert (smaller, larger) != ("validation", "training")


def test_sides_come_near_the_share_that_was_asked_for():
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    sides = Counter(side_of(sha256, 0.3) for sha256 in hashes)
    assert sides["validation"] == pytest.approx(1200, abs=100)


@given(MANIFESTS)
def test_a_dumped_manifest_loads_as_it_was(manifest):
    assert Manifest.load(manifest.dump()) == manifest


def test_a_manifest_is_compact(folder, cache):
    assert len(frozen(folder, cache).dump()) < 250 * 31


def damaged(data):
    header, first, *rest = data.split(b"\n")
    entry = json.loads(first)
    yield b""
    yield b"\xff\xfe"
    yield b"[1, 2]"
    yield data[:-30]
    yield b"\n".join([header, *rest])
    yield b"\n".join([header.replace(b'"dataset":1', b'"dataset":2'), first, *rest])
    for place, value in ((3, "../../etc"), (3, 7), (4, ""), (5, "both"), (2, "large")):
        yield b"\n".join([header, json.dumps([*entry[:place], value, *entry[place + 1 :]]).encode(), *rest])


def test_what_is_no_whole_manifest_is_refused(folder, cache):
    for data in damaged(frozen(folder, cache).dump()):
        with pytest.raises(UsageError, match="manifest"):
            Manifest.load(data)


def test_people_hear_how_far_freezing_is_and_may_cut_it_short(folder, cache, monkeypatch):
    monkeypatch.setattr(module, "TOLD_EVERY", 12)
    listing, heard = list_source(str(folder)), []
    prepare(str(folder), listing, cache)
    freeze(str(folder), listing, cache, 0.3, tell=lambda *far: heard.append(far))
    assert heard == [(12, 30), (24, 30), (30, 30)]

    def stop(*_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        freeze(str(folder), listing, cache, 0.3, tell=stop)


def test_how_many_are_frozen_makes_no_query_more(folder, cache):
    listing = list_source(str(folder))
    prepare(str(folder), listing, cache)
    queries = []
    cache._connection.set_trace_callback(queries.append)
    freeze(str(folder), listing, cache, 0.3)
    assert len(queries) == 1
