"""The photographs to learn from: what is left out, which side one falls on, and the order of the batches."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.training.data.cache import Cache
from photochrom.training.data.photographs import _order, center_square, collect, training_batches, validation_batches
from photochrom.training.data.readable import photographs_of
from photochrom.training.data.source import identity
from photochrom.training.data.working_copy import chroma_of
from photochrom.worker.errors import UsageError
from photochrom.worker.photo.base import colorspace
from photochrom.worker.s3.store import Location


def names(photographs):
    return {photograph.name for photograph in photographs}


def contents(photographs):
    return {photograph.sha256 for photograph in photographs}


def test_what_teaches_nothing_is_left_out_and_counted(tmp_path, folder, picture, encode):
    shutil.copytree(folder, tmp_path / "in")
    source = tmp_path / "in"
    for copy in ("copy", "another"):
        (source / f"{copy}.png").write_bytes((folder / "00.png").read_bytes())
    (source / "garbage.jpg").write_bytes(b"no photograph")
    (source / "cut.jpg").write_bytes(encode(picture(90), "JPEG")[:-800])
    (source / "tiny.png").write_bytes(encode(picture(91, width=200, height=63)))
    (source / "gray.png").write_bytes(encode(picture(92).convert("L")))
    (source / "grayish.png").write_bytes(encode(picture(93).convert("L").convert("RGB")))
    (source / "notes.txt").write_text("not counted")
    (source / "folder.jpg").mkdir()

    collection = collect(str(source), validation_share=0.3)

    assert len(collection.training) + len(collection.validation) == 30
    unreadable = {reason: count for reason, count in collection.left_out.items() if reason.startswith("unreadable")}
    assert sum(unreadable.values()) == 2
    others = {reason: count for reason, count in collection.left_out.items() if reason not in unreadable}
    assert others == {"copy": 2, "too small": 1, "next to no colour": 2}


def test_photographs_are_found_in_subfolders_and_under_any_spelling_of_the_suffix(tmp_path, picture, encode):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for index, name in enumerate(["a/b/1.PNG", "a/2.Tiff", "3.webp", *(f"{n}.jpeg" for n in range(20))]):
        path = tmp_path / name
        path.write_bytes(
            encode(picture(index), {".PNG": "PNG", ".Tiff": "TIFF", ".webp": "WEBP"}.get(path.suffix, "JPEG"))
        )
    collection = collect(str(tmp_path), validation_share=0.3)
    assert collection.left_out == {}
    assert {"a/b/1.PNG", "a/2.Tiff", "3.webp"} <= names(collection.training) | names(collection.validation)


def test_the_two_sides_share_no_photograph(photographs):
    assert photographs.training
    assert photographs.validation
    assert not contents(photographs.training) & contents(photographs.validation)


def test_renaming_photographs_does_not_change_their_side(tmp_path, folder, photographs):
    for path in folder.iterdir():
        shutil.copy(path, tmp_path / f"{99 - int(path.stem)}-renamed.png")
    renamed = collect(str(tmp_path), validation_share=0.3)
    assert contents(renamed.validation) == contents(photographs.validation)
    assert contents(renamed.training) == contents(photographs.training)
    assert renamed.mean_chroma == pytest.approx(photographs.mean_chroma, abs=2e-5)


def test_adding_and_removing_photographs_does_not_change_the_side_of_the_others(
    tmp_path, folder, photographs, picture, encode
):
    for path in sorted(folder.iterdir())[5:]:
        shutil.copy(path, tmp_path)
    for index in range(100, 110):
        (tmp_path / f"0-first-{index}.png").write_bytes(encode(picture(index)))
    grown = collect(str(tmp_path), validation_share=0.3)
    assert not contents(grown.validation) & contents(photographs.training)
    assert not contents(grown.training) & contents(photographs.validation)


def test_a_larger_share_only_moves_photographs_into_validation(folder, photographs):
    larger = collect(str(folder), validation_share=0.6)
    assert contents(larger.validation) > contents(photographs.validation)


def test_mean_chroma_is_that_of_the_training_photographs(photographs):
    expected = np.mean([chroma_of(np.asarray(p.rgb())).mean(axis=(1, 2)) for p in photographs.training], axis=0)
    assert photographs.mean_chroma == pytest.approx(expected, abs=1e-3)


def test_a_prefix_in_s3_gives_the_same_collection_as_a_folder(folder, photographs, store, exported):
    for path in folder.rglob("*.*"):
        store.put("archive", f"photographs/{path.name}", path.read_bytes())
    store.put("archive", "photographs-of-others/1.png", b"not ours")

    found = collect("s3://archive/photographs", 0.3)

    assert [photograph.sha256 for photograph in found.training] == [p.sha256 for p in photographs.training]
    assert found.mean_chroma == photographs.mean_chroma
    assert not found.left_out


@pytest.mark.parametrize("make", [False, True])
def test_a_source_with_nothing_to_learn_from_is_refused(tmp_path, make):
    source = tmp_path / "in"
    if make:
        source.mkdir()
    with pytest.raises(UsageError, match="not enough photographs" if make else "is not a folder"):
        collect(str(source))


def test_a_dangling_link_is_no_photograph(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "in")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "gone.png")
    assert collect(str(tmp_path / "in"), 0.3).left_out == {}


def test_what_was_not_to_be_had_is_looked_at_again_the_next_time(store, exported, folder, picture, encode, tmp_path):
    for path in folder.iterdir():
        store.put("archive", f"in/{path.name}", path.read_bytes())
    with Cache(tmp_path) as cache:
        listed = list(store.list(Location("archive", "in/")))
        gone = next(item for item in listed if item.key.endswith("07.png"))
        cache.add(identity("s3://archive/in", gone), "", "gone")
        collection = collect("s3://archive/in", 0.3, cache)
    assert not collection.left_out


def test_pictures_are_found_as_they_lie_there(folder):
    assert [(p.name, p.fetched().data) for p in photographs_of(str(folder))] == [
        (path.name, path.read_bytes()) for path in sorted(folder.iterdir())
    ]


def test_the_same_crops_come_from_the_cache_as_from_the_files(folder, photographs):
    encoded = {photograph.name: photograph.fetched() for photograph in photographs_of(str(folder))}
    assert_same(batches(photographs.training), batches([encoded[p.name] for p in photographs.training]))


def batches(photographs, first=0, count=6, seed=1, epoch=0, size=4):
    return list(training_batches(photographs, (16, 24), size, count, seed, epoch, first=first))


def assert_same(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.luma, other.luma)
        np.testing.assert_array_equal(one.rgb, other.rgb)


def test_the_same_seed_and_epoch_give_the_same_batches(photographs):
    assert_same(batches(photographs.training), batches(photographs.training))


def test_another_seed_or_epoch_gives_other_batches(photographs):
    base, other_seed, other_epoch = (
        batches(photographs.training, count=2, **change) for change in ({}, {"seed": 2}, {"epoch": 1})
    )
    for others in (other_seed, other_epoch):
        assert base[0].rgb.shape != others[0].rgb.shape or not np.array_equal(base[0].rgb, others[0].rgb)


@pytest.mark.parametrize("first", [0, 1, 3, 4, 5, 6])
def test_a_resumed_epoch_goes_on_with_the_batches_it_would_have_seen(photographs, first):
    assert_same(batches(photographs.training, first=first), batches(photographs.training)[first:])


def seen_in(plain_photographs, epochs, count=5, size=4):
    """Red of every crop in the order in which they were seen; each photograph has its own."""
    return [
        round(255 * float(rgb[0].mean()))
        for epoch in range(epochs)
        for batch in batches(plain_photographs, count=count, size=size, epoch=epoch)
        for rgb in batch.rgb
    ]


def test_every_photograph_is_seen_once_before_any_is_seen_twice(plain_photographs):
    seen = seen_in(plain_photographs, epochs=3)  # 60 crops: five rounds of twelve, across the ends of epochs
    assert len(seen) == 60
    rounds = [seen[start : start + 12] for start in range(0, 60, 12)]
    assert all(sorted(part) == list(range(0, 240, 20)) for part in rounds)
    assert rounds[0] != rounds[1]


@given(photographs=st.integers(1, 30), wanted=st.integers(1, 70), seed=st.integers(0, 5), epochs=st.integers(1, 6))
def test_any_number_of_epochs_goes_through_whole_shuffles(photographs, wanted, seed, epochs):
    order = np.concatenate([_order(photographs, wanted, seed, epoch) for epoch in range(epochs)])
    assert len(order) == wanted * epochs
    for start in range(0, len(order) - photographs + 1, photographs):
        assert sorted(order[start : start + photographs]) == list(range(photographs))
    assert np.ptp(np.bincount(order, minlength=photographs)) <= 1


def test_batches_are_float32_in_0_to_1_of_one_of_the_sides(photographs):
    found = batches(photographs.training, count=8)
    for batch in found:
        side = batch.luma.shape[-1]
        assert side in (16, 24)
        assert batch.luma.shape == (4, 1, side, side)
        assert batch.rgb.shape == (4, 3, side, side)
        assert batch.luma.dtype == batch.rgb.dtype == np.float32
        assert min(batch.luma.min(), batch.rgb.min()) >= 0
        assert max(batch.luma.max(), batch.rgb.max()) <= 1
    assert {batch.luma.shape[-1] for batch in found} == {16, 24}


def test_the_luma_shown_is_near_that_of_the_truth_but_aged(photographs):
    near, same = [], []
    for batch in batches(photographs.training, count=8):
        truth = colorspace.split(batch.rgb.swapaxes(0, 1))[0]
        near += [np.corrcoef(shown.ravel(), true.ravel())[0, 1] for shown, true in zip(batch.luma, truth, strict=True)]
        same += [abs(shown - true).max() < 0.01 for shown, true in zip(batch.luma, truth, strict=True)]
    assert np.median(near) > 0.97
    assert not all(same)


def test_validation_shows_every_photograph_once_with_its_own_luma(photographs):
    found = list(validation_batches(photographs.validation, 16, 4))
    assert sum(len(batch.luma) for batch in found) == len(photographs.validation)
    rgb = np.concatenate([batch.rgb for batch in found])
    luma = np.concatenate([batch.luma for batch in found])
    for photograph, truth, shown in zip(photographs.validation, rgb, luma, strict=True):
        square = center_square(photograph.rgb(), 16)
        np.testing.assert_array_equal(np.rint(truth * 255).transpose(1, 2, 0), square)
        np.testing.assert_array_equal(np.rint(shown[0] * 255), np.asarray(Image.fromarray(square).convert("L")))


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_the_centre_square_is_the_middle_of_the_long_side(size):
    image = Image.new("RGB", size, "red")
    image.paste("blue", ((size[0] - 30) // 2, (size[1] - 30) // 2, (size[0] + 30) // 2, (size[1] + 30) // 2))
    square = center_square(image, 8).astype(int)
    assert square.shape == (8, 8, 3)
    assert abs(square - (0, 0, 255)).max() < 30  # the filter reaches a little over the edge
