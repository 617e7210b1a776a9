"""Frozen evaluation sets: who gets in, into which half, and that nothing of it changes afterwards."""

import hashlib
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.training.data.photographs import center_square
from photochrom.training.data.readable import Encoded
from photochrom.training.evaluation import sampling as evaluation_choice
from photochrom.training.evaluation.creation import create
from photochrom.training.evaluation.evaluate import SIDE
from photochrom.training.evaluation.evaluation_set import load, names
from photochrom.training.evaluation.sampling import selects
from photochrom.training.evaluation.squares import squares_of
from photochrom.worker.errors import UsageError
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location

BUCKET = "photochrom-state"


def scene(index, width=96, height=80):
    """Coloured patches: no two numbers look alike."""
    patches = np.random.default_rng(index).integers(0, 256, (7, 8, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory, encode):
    """Sixteen photographs that differ."""
    folder = tmp_path_factory.mktemp("scenes")
    for index in range(16):
        (folder / f"{index:02d}.png").write_bytes(encode(scene(index)))
    return folder


@pytest.fixture
def archive(tmp_path, scenes):
    """A copy of them that a test may change."""
    return shutil.copytree(scenes, tmp_path / "archive")


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"training_folder": tmp_path / "training"})


@pytest.fixture
def make(store, settings):
    def made(source, name="frozen", **asked):
        return create(str(source), name, store, settings, **asked)

    return made


def stored(store, name):
    """Keys of what lies in the bucket under a set's name."""
    return [listed.key for listed in store.list(Location(BUCKET, f"{state_keys.EVALUATIONS}{name}/"))]


def halves(found):
    return {entry.sha256: entry.half for entry in found.entries}


def test_every_photograph_is_in_one_half_and_its_square_is_what_is_measured(archive, make, store, settings):
    found = make(archive)
    assert sorted(entry.name for entry in found.entries) == sorted(path.name for path in archive.iterdir())
    select, decide = (squares_of(found, half, store, settings) for half in ("select", "decide"))
    assert select
    assert decide
    assert not {square.name for square in select} & {square.name for square in decide}
    both = squares_of(found, "both", store, settings)
    assert len(both) == len(select) + len(decide) == 16
    for square in both:
        truth = center_square(Encoded("", (archive / square.name).read_bytes()).rgb(), SIDE)
        assert (np.asarray(square.rgb()) == truth).all()
    for entry in found.entries:
        assert entry.sha256 == hashlib.sha256((archive / entry.name).read_bytes()).hexdigest()
        assert entry.half == ("select" if selects(entry.sha256) else "decide")


def test_a_set_is_loaded_as_it_was_made(archive, make, store, settings):
    made = make(archive)
    assert load("frozen", store, settings) == made
    assert names(store, settings) == ["frozen"]
    assert made.side == SIDE


def test_names_and_neighbours_do_not_count(archive, make, encode):
    before = halves(make(archive, "before"))
    for path in list(archive.iterdir()):
        path.rename(archive / f"{99 - int(path.stem)}-renamed.png")
    assert halves(make(archive, "renamed")) == before
    for index in range(100, 108):
        (archive / f"0-{index}.png").write_bytes(encode(scene(index)))
    more = halves(make(archive, "more"))
    assert len(more) == 24
    assert {sha256: more[sha256] for sha256 in before} == before


def test_near_duplicates_never_stand_in_both_halves(archive, make, encode):
    for index in range(16):
        (archive / f"{index:02d}-scan.jpg").write_bytes(encode(scene(index, 192, 160), "JPEG", quality=70))
        mirrored = scene(index).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        (archive / f"{index:02d}-mirrored.png").write_bytes(encode(mirrored))
    found = make(archive)
    assert sorted(int(entry.name[:2]) for entry in found.entries) == list(range(16))
    assert found.left_out == {"near-duplicate": 32}


def test_near_duplicates_are_found_across_blocks(archive, make, encode, monkeypatch):
    monkeypatch.setattr(evaluation_choice, "BLOCK", 3)
    for index in range(16):
        (archive / f"{index:02d}-scan.jpg").write_bytes(encode(scene(index), "JPEG", quality=80))
    found = make(archive)
    assert sorted(int(entry.name[:2]) for entry in found.entries) == list(range(16))


def test_what_measures_nothing_is_left_out_and_counted(archive, make, encode):
    (archive / "copy.png").write_bytes((archive / "00.png").read_bytes())
    (archive / "garbage.jpg").write_bytes(b"no photograph")
    (archive / "tiny.png").write_bytes(encode(scene(20, 63, 90)))
    (archive / "gray.png").write_bytes(encode(scene(21).convert("L")))
    (archive / "notes.txt").write_text("not counted")
    found = make(archive)
    assert len(found.entries) == 16
    unreadable = {reason for reason in found.left_out if reason.startswith("unreadable")}
    assert len(unreadable) == 1
    others = {reason: count for reason, count in found.left_out.items() if reason not in unreadable}
    assert others == {"copy": 1, "too small": 1, "next to no colour": 1}


def test_a_photograph_that_changes_while_it_is_looked_at_is_left_out(archive, make, encode):
    def rewrite(done, total):
        if done == total:  # all of them are hashed, and none is looked at yet
            (archive / "03.png").write_bytes(encode(scene(50)))

    found = make(archive, tell=rewrite)
    assert found.left_out == {"changed": 1}
    assert "03.png" not in {entry.name for entry in found.entries}


def test_a_share_leaves_the_rest_to_be_trained_on(archive, make):
    part, larger = make(archive, "half", share=0.5), make(archive, "most", share=0.8)
    assert 2 <= len(part.entries) < len(larger.entries) < 16
    assert halves(part).items() < halves(larger).items()
    assert halves(larger).items() < halves(make(archive, "whole")).items()


def test_at_most_so_many_are_the_first_ones(archive, make, store):
    few, more = make(archive, "few", most=6), make(archive, "more", most=9)
    assert len(few.entries) == 6
    assert more.entries[:6] == few.entries
    assert len(stored(store, "few")) == 6 + 1
    for path in list(archive.iterdir()):
        path.rename(archive / f"{99 - int(path.stem)}.png")
    assert halves(make(archive, "renamed", most=6)) == halves(few)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=4, max_size=4))
def test_the_digits_that_split_a_training_run_do_not_count(sha256, first):
    one, other = sha256.hex(), first.hex() + sha256.hex()[8:]
    assert selects(one) == selects(other)
    assert evaluation_choice._place(one) == evaluation_choice._place(other)


def test_share_and_half_have_nothing_to_do_with_each_other():
    digests = [hashlib.sha256(bytes([number % 256, number // 256])).hexdigest() for number in range(4000)]
    low = [selects(digest) for digest in digests if evaluation_choice._place(digest) < 0.25]
    assert len(low) == pytest.approx(1000, abs=120)
    assert sum(low) == pytest.approx(len(low) / 2, abs=80)


def test_a_prefix_gives_the_same_set_as_a_folder(archive, make, store):
    for path in archive.iterdir():
        store.put("archive", f"in/{path.name}", path.read_bytes())
    store.put("archive", "in-other/1.png", b"not ours")
    found = make("s3://archive/in")
    assert halves(found) == halves(make(archive, "folder"))
    assert found.source == "s3://archive/in/"
    assert found.left_out == {}


def test_the_same_asked_again_changes_nothing_even_when_the_source_has(archive, make, store, encode):
    made = make(archive, share=0.9, most=9)
    before = store.head(BUCKET, state_keys.evaluation_set("frozen"))
    (archive / "new.png").write_bytes(encode(scene(77)))
    assert make(archive, share=0.9, most=9) == made
    assert store.head(BUCKET, state_keys.evaluation_set("frozen")) == before


@pytest.mark.parametrize("asked", [{"share": 0.8}, {"most": 5}, {"source": "s3://archive/other"}])
def test_another_one_under_the_same_name_is_refused(archive, make, asked):
    make(archive)
    with pytest.raises(UsageError, match="another evaluation set frozen already"):
        make(**{"source": archive, **asked})


def test_of_two_who_make_one_at_once_the_first_to_end_counts(archive, make, tmp_path, scenes):
    other = shutil.copytree(scenes, tmp_path / "other")
    raced = []

    def race(done, total):
        if not raced:
            raced.append(True)
            raced.append(make(other))

    with pytest.raises(UsageError, match=r"another evaluation set frozen already \(source .*other"):
        make(archive, tell=race)
    assert make(other) == raced[1]


def test_a_set_that_was_cut_off_is_none_and_can_be_made_again(archive, make, store, settings):
    def cut(done, total):
        if done == 9 and total == 16:
            cut.times += 1
            if cut.times == 2:
                raise KeyboardInterrupt

    cut.times = 0
    with pytest.raises(KeyboardInterrupt):
        make(archive, tell=cut)
    assert stored(store, "frozen")
    assert names(store, settings) == []
    with pytest.raises(UsageError, match="there is no evaluation set 'frozen'"):
        load("frozen", store, settings)
    assert len(make(archive).entries) == 16


@pytest.mark.parametrize("tampered", [b"another picture", None])
def test_a_square_that_was_altered_or_is_missing_is_refused(archive, make, store, settings, tampered):
    found = make(archive)
    entry = found.of("decide")[0]
    key = state_keys.evaluation_square("frozen", entry.square_sha256)
    if tampered:
        store.put(BUCKET, key, tampered)
    else:
        store.delete(BUCKET, key)
    with pytest.raises(UsageError, match=f"{entry.name} {'was altered' if tampered else 'is missing'}"):
        squares_of(found, "decide", store, settings)
    assert squares_of(found, "select", store, settings)


def test_squares_are_kept_on_this_machine(archive, make, store, settings, tmp_path):
    found = make(archive)
    told = []
    first = squares_of(found, "select", store, settings, tell=lambda *far: told.append(far))
    assert told == [(done, len(first)) for done in range(1, len(first) + 1)]
    assert all(square.path.parent == settings.training_folder / "evaluations" for square in first)
    for entry in found.entries:
        store.delete(BUCKET, state_keys.evaluation_square("frozen", entry.square_sha256))
    assert squares_of(found, "select", store, settings) == first
    with pytest.raises(UsageError, match="is missing"):
        squares_of(found, "select", store, settings, cache_folder=tmp_path / "elsewhere")


def test_a_kept_square_that_was_altered_is_refused_and_then_fetched_anew(archive, make, store, settings):
    found = make(archive)
    square = squares_of(found, "select", store, settings)[0]
    before = square.path.read_bytes()
    square.path.write_bytes(before[:-1])
    with pytest.raises(UsageError, match=f"{square.name} was altered"):
        square.rgb()
    squares_of(found, "select", store, settings)
    assert square.path.read_bytes() == before
    square.path.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        square.rgb()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"name": "a/b"}, "no name"),
        ({"name": ""}, "no name"),
        ({"share": 0}, "share"),
        ({"share": 1.1}, "share"),
        ({"most": 1}, "halved"),
        ({"source": "nowhere"}, "not a folder"),
        ({"source": "s3://archive/empty"}, "0 photographs"),
    ],
)
def test_what_cannot_be_made_is_refused(archive, make, asked, message, store, settings):
    with pytest.raises(UsageError, match=message):
        make(**{"source": archive, **asked})
    assert names(store, settings) == []


def test_a_set_that_is_not_there_is_refused_with_those_that_are(archive, make, store, settings):
    make(archive, "frozen-1")
    with pytest.raises(UsageError, match=r"no evaluation set 'other' \(there are: frozen-1\)"):
        load("other", store, settings)


@pytest.mark.parametrize("manifest", [b"{", b'{"name": "frozen"}', b"[]"])
def test_a_malformed_manifest_is_refused(store, settings, manifest):
    store.put(BUCKET, state_keys.evaluation_set("frozen"), manifest)
    with pytest.raises(UsageError, match="the manifest of the evaluation set frozen is malformed"):
        load("frozen", store, settings)


def test_making_a_set_leaves_the_archive_as_it_is(archive, make, store):
    for path in archive.iterdir():
        store.put("archive", f"in/{path.name}", path.read_bytes())
    before = list(store.list(Location("archive", "")))
    make("s3://archive/in")
    assert list(store.list(Location("archive", ""))) == before
