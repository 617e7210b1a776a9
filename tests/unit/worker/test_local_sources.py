"""Which files a command line means, what they are called among the results, and where these go."""

import os
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.local.sources import find, read_list
from worker.local.targets import pair


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Makes files below the current folder; what is in them does not matter here."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(b"")

    return make


def targets(*named, to="out", format=None, listed=()):
    named, listed = [Path(name) for name in named], [Path(name) for name in listed]
    pairs = pair(find(named, listed).sources, [*named, *listed], Path(to), format)
    return {str(one.source): str(one.target) for one in pairs}


def test_the_photographs_of_one_folder_keep_their_place_in_it(here):
    here("in/b.tif", "in/a.JPG", "in/deep/c.png", "in/notes.txt")
    assert targets("in") == {"in/a.JPG": "out/a.JPG", "in/b.tif": "out/b.tif", "in/deep/c.png": "out/deep/c.png"}


def test_two_folders_with_the_same_names_inside_keep_apart(here):
    here("x/a.png", "x/b.png", "y/a.png")
    assert targets("x", "y") == {"x/a.png": "out/x/a.png", "x/b.png": "out/x/b.png", "y/a.png": "out/y/a.png"}


def test_folders_and_files_of_one_name_keep_as_much_of_their_path_as_tells_them_apart(here):
    here("1/scans/a.png", "2/scans/a.png", "1/b.png", "2/b.png", "c.png")
    assert targets("1/scans", "2/scans", "1/b.png", "2/b.png", "c.png") == {
        "1/scans/a.png": "out/1/scans/a.png",
        "2/scans/a.png": "out/2/scans/a.png",
        "1/b.png": "out/1/b.png",
        "2/b.png": "out/2/b.png",
        "c.png": "out/c.png",
    }


def test_a_file_that_is_named_twice_is_taken_once(here):
    here("in/a.png")
    assert targets("in", "in/a.png", "./in/../in/a.png") == {"in/a.png": "out/in/a.png"}


@pytest.mark.parametrize(
    ("names", "format", "results"),
    [
        (["scan.jp2", "scan.tif"], None, ["scan.jp2.tif", "scan.tif"]),
        (["scan.jpg", "scan.tif"], None, ["scan.jpg", "scan.tif"]),
        (["scan.jpg", "scan.tif"], "jpeg", ["scan.jpg", "scan.tif.jpg"]),
        (["scan.jp2", "scan.tif", "scan.webp"], "png", ["scan.jp2.png", "scan.tif.png", "scan.webp.png"]),
        (["scan.webp"], None, ["scan.png"]),
    ],
)
def test_results_of_one_name_keep_apart_by_the_whole_name_of_their_source(here, names, format, results):
    here(*(f"in/{name}" for name in names))
    assert list(targets("in", format=format).values()) == [f"out/{name}" for name in results]


def test_what_macos_leaves_beside_a_file_is_passed_over(here):
    here("in/a.tif", "in/._a.tif", "._b.png")
    assert targets("in", "._b.png") == {"in/a.tif": "out/in/a.tif"}


def test_what_is_listed_keeps_its_path_as_seen_from_here(here, tmp_path):
    here("scans/1/a.tif", "scans/2/a.tif", "scans/2/._a.tif", "more/b.png")
    Path("inside").mkdir()
    os.chdir("inside")
    listed = ["../scans/1/a.tif", "../more"]
    outside = str(tmp_path).lstrip("/")
    assert targets(listed=listed) == {
        "../scans/1/a.tif": f"out/{outside}/scans/1/a.tif",
        "../more/b.png": f"out/{outside}/more/b.png",
    }
    os.chdir("..")
    assert targets(listed=["./scans/2/a.tif", "more"]) == {
        "scans/2/a.tif": "out/scans/2/a.tif",
        "more/b.png": "out/more/b.png",
    }


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_a_list_has_one_path_a_line_or_before_each_nul(here, end):
    Path("list").write_bytes(end.join([b"a b.tif", b"", b"\xff.png", b"c.jpg", b""]))
    assert read_list("list") == [Path("a b.tif"), Path(os.fsdecode(b"\xff.png")), Path("c.jpg")]


def test_a_list_that_cannot_be_read_is_an_error(here):
    with pytest.raises(UsageError, match="nothing cannot be read: No such file"):
        read_list("nothing")


def test_links_to_folders_are_told_and_not_followed(here):
    here("in/a.png", "else/b.png")
    Path("in/link").symlink_to("../else")
    found = find([Path("in")], [])
    assert ([str(one.path) for one in found.sources], found.links) == (["in/a.png"], [Path("in/link")])


@pytest.mark.parametrize("to", ["in", "in/results", "link", "in/../in/deep/x"])
def test_an_output_folder_inside_the_input_is_refused(here, to):
    here("in/a.png")
    Path("link").symlink_to("in")
    with pytest.raises(UsageError, match="inside the source in"):
        targets("in", to=to)


def test_a_place_that_a_link_leads_among_sources_is_refused(here):
    here("in/sub/a.png", "out/x")
    Path("out/sub").symlink_to("../in/sub")
    for format in (None, "tiff"):
        with pytest.raises(UsageError, match="leads into a source by a link"):
            targets("in", format=format)


def test_a_file_s_own_place_is_refused_also_where_the_file_is_a_link(here):
    here("in/a.png", "store/b.png")
    Path("in/link.png").symlink_to("../store/b.png")
    for name in ("in/a.png", "in/link.png"):
        with pytest.raises(UsageError, match="is a source itself"):
            targets(name, to="in")
    assert targets("in/a.png", to="in", format="tiff") == {"in/a.png": "in/a.tif"}


def test_what_is_named_and_not_there_is_refused(here):
    with pytest.raises(UsageError, match=r"b\.png is not there"):
        targets("b.png")
