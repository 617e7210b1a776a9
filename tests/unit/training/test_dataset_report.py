"""The report of a data set: its figures, and a picture that can be looked at."""

import json

import numpy as np
import pytest
from PIL import Image

from photochrom.training.data import report as dataset_report
from photochrom.training.data.manifest import Manifest, freeze
from photochrom.training.data.prepare import prepare
from photochrom.training.data.report import write_report
from photochrom.training.data.source import list_source


@pytest.fixture
def manifest(tmp_path, picture, encode, cache):
    source = tmp_path / "in"
    for index in range(30):
        path = source / ("cats/black" if index < 5 else "dogs" if index < 15 else "") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture(index)))
    (source / "broken.png").write_bytes(b"broken")
    listing = list_source(str(source))
    prepare(str(source), listing, cache)
    return freeze(str(source), listing, cache, 0.3)


def test_the_figures_are_those_of_the_manifest(manifest, cache, tmp_path):
    text, _ = write_report(manifest, cache, tmp_path / "new" / "report")
    figures = json.loads(text.read_text())
    assert text.name == "dataset.json"
    assert figures["photographs"] == 30 == figures["training"] + figures["validation"]
    assert figures["training"] == len(manifest.of("training"))
    assert figures["left_out"] == {"unreadable (UnidentifiedImageError)": 1}
    assert figures["folders"] == {"(no folder)": 15, "dogs": 10, "cats": 5}
    assert list(figures["folders"]) == ["(no folder)", "dogs", "cats"]
    assert figures["short_side"] == dict.fromkeys(("5%", "25%", "50%", "75%", "95%"), 64.0)
    assert figures["mean_chroma"] == list(manifest.mean_chroma)
    quantiles = list(figures["colourfulness"].values())
    assert quantiles == sorted(quantiles)
    assert 6 <= quantiles[0] < quantiles[-1]


def test_the_picture_shows_samples_below_the_charts(manifest, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_report, "SAMPLES", 4)
    _, picture = write_report(manifest, cache, tmp_path)
    page = np.asarray(Image.open(picture))
    side = dataset_report.SAMPLE_SIDE
    below = page[-side:]
    assert [bool((below[:, n * side : (n + 1) * side] != 255).any()) for n in range(5)] == [True] * 4 + [False]
    assert (page[:-side] != 255).any()


def test_a_folders_name_is_no_formula(tmp_path, picture, encode, cache):
    folder = tmp_path / "in" / "a$_$b{"
    folder.mkdir(parents=True)
    for index in range(12):
        (folder / f"{index}.png").write_bytes(encode(picture(index)))
    listing = list_source(str(tmp_path / "in"))
    prepare(str(tmp_path / "in"), listing, cache)
    text, _ = write_report(freeze(str(tmp_path / "in"), listing, cache, 0.3), cache, tmp_path / "report")
    assert json.loads(text.read_text())["folders"] == {"a$_$b{": 12}


def test_many_folders_are_cut_to_the_largest(manifest, monkeypatch):
    monkeypatch.setattr(dataset_report, "MOST_FOLDERS", 1)
    assert dataset_report._folders(manifest) == {"(no folder)": 15, "(other folders)": 15}


def test_folders_of_a_prefix_are_those_below_it(manifest):
    moved = Manifest(
        "s3://archive/a/b",
        tuple(entry._replace(key=f"a/b/{entry.key}") for entry in manifest.entries),
        {},
        manifest.mean_chroma,
    )
    assert dataset_report._folders(moved) == dataset_report._folders(manifest)


def test_the_same_manifest_gives_the_same_report(manifest, cache, tmp_path):
    first, second = (write_report(manifest, cache, tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
