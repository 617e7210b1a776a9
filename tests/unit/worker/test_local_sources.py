"""Which files a command line means, what they are called among the results, and where these go."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from photochrom.worker.cli.local.sources import find, read_list
from photochrom.worker.cli.local.targets import pair
from photochrom.worker.errors import UsageError


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


@pytest.mark.parametrize(
    ("named", "listed", "names"),
    [
        (["in"], [], ["scan.jp2-2.tif", "scan.jp2.tif", "scan.tif"]),
        (["in/scan.tif"], ["scan.tif", "in/../scan.tif"], ["scan.tif", "scan-2.tif"]),
        (["1/x", "2/x/a.png", "3/a.png"], [], ["x/a.png", "x/a-2.png", "3/a.png"]),
    ],
)
def test_no_two_results_have_one_name(here, named, listed, names):
    here("in/scan.jp2", "in/scan.jp2.tif", "in/scan.tif", "scan.tif", "1/x/a.png", "2/x/a.png", "3/a.png")
    given = [name.removeprefix("out/") for name in targets(*named, listed=listed).values()]
    assert len(set(given)) == len(given)
    assert given == names


def test_a_path_through_a_link_and_back_is_the_file_that_it_leads_to(here):
    here("real/x.jpg", "x.jpg", "real/deep/y")
    Path("link").symlink_to("real/deep")
    assert sorted(targets("x.jpg", "link/../x.jpg")) == ["link/../x.jpg", "x.jpg"]


def test_many_files_can_be_named(here):
    named = [f"{number % 7}/{number}.png" for number in range(3000)]
    here(*named)
    assert list(targets(*named).values()) == [f"out/{number}.png" for number in range(3000)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_source_is_known_under_whatever_mount_leads_to_it(here):
    here("in/a.png", "mirror/x")
    code = """if True:
        from pathlib import Path
        from photochrom.worker.errors import UsageError
        from photochrom.worker.cli.local.sources import find
        from photochrom.worker.cli.local.targets import pair
        for name, to in (("in", "mirror"), ("in", "mirror/below"), ("in/a.png", "mirror")):
            try:
                pair(find([Path(name)], []).sources, [Path(name)], Path(to), None)
            except UsageError:
                print("refused")
    """
    environment = {**os.environ, "CODE": code, "PYTHONPATH": str(Path(__file__).parents[3])}
    script = f'mount --bind in mirror || exit 77; exec {sys.executable} -c "$CODE"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )
    if done.returncode == 77:
        pytest.skip("nothing can be mounted here")
    assert done.stdout.split() == ["refused"] * 3, done.stderr


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


def test_a_list_may_begin_with_a_mark_of_utf_8_and_is_refused_in_utf_16(here):
    Path("list").write_bytes(b"\xef\xbb\xbfa.tif\n")
    assert read_list("list") == [Path("a.tif")]
    Path("list").write_text("a.tif\n", encoding="utf-16")
    with pytest.raises(UsageError, match="is in UTF-16"):
        read_list("list")


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
    with pytest.raises(UsageError, match="inside a folder of sources"):
        targets("in", to=to)


def test_a_place_that_a_link_leads_among_sources_is_refused(here):
    here("in/sub/a.png", "out/x")
    Path("out/sub").symlink_to("../in/sub")
    for format in (None, "tiff"):
        with pytest.raises(UsageError, match="inside a folder of sources"):
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
