"""`photochrom colorize` on files of this machine: what is written, what is left, what is said of it."""

import fcntl
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from lxml import etree
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from photochrom.worker.cli.local.command import Wish, colorize_files
from photochrom.worker.cli.local.processes import begin
from photochrom.worker.cli.local.results import PREFIX, SUFFIX
from photochrom.worker.errors import UsageError
from photochrom.worker.models.registry import sha256_of_starter
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.stated import statement_in
from tests.stand_in import StandInEngine, in_this_process

XMP = "XML:com.adobe.xmp"

MODEL, OTHER_MODEL = "autoencoder", "vgg16-yuv"


@pytest.fixture
def pictures(tmp_path, no_settings, monkeypatch):
    """Makes gray photographs below the current folder, every one another."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(sum(map(ord, name))).integers(0, 256, (20, 30), dtype=np.uint8)
            Image.fromarray(pixels).save(name)

    return make


@pytest.fixture
def colorize(capsys):
    """Runs the command in this process: exit code, what was printed, and to stderr."""

    def run(*files, to="out", model=MODEL, as_json=False, **wish):
        code = colorize_files(
            Wish([Path(file) for file in files], Path(to), model, **wish), as_json=as_json, pools=in_this_process
        )
        return code, *capsys.readouterr()

    return run


def summary(model=MODEL, to="out", **counts):
    return f"{model} into {to}: " + ", ".join(f"{count} {words.replace('_', ' ')}" for words, count in counts.items())


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def stated(path):
    with Path(path).open("rb") as file:
        return statement_in(file, Limits())


def drop_options(path):
    """Makes a PNG say what the results of version 0.1 said, which is no options."""
    with Image.open(path) as image:
        packet = etree.fromstring(image.info[XMP].encode())
        for one in packet.iter("{http://ns.photochrom.org/1.0/}Options"):
            one.getparent().remove(one)
        info = PngInfo()
        info.add_itxt(XMP, etree.tostring(packet).decode())
        image.save(path, pnginfo=info)


def test_names_folders_and_luma_stay_and_so_do_the_sources(pictures, colorize, tmp_path):
    pictures("in/a.png", "in/deep/b.tif", "in/single.PNG")
    before = files(tmp_path)
    code, printed, _ = colorize("in", as_json=True)
    told = [json.loads(line) for line in printed.splitlines()]
    assert code == 0
    assert [one["output"] for one in told] == ["out/a.png", "out/single.PNG", "out/deep/b.tif"]
    assert {one["state"] for one in told} == {"new"}
    for one in told:
        with Image.open(one["output"]) as result, Image.open(one["file"]) as source:
            assert result.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(result.convert("L")), np.asarray(source))
    assert before.items() <= files(tmp_path).items()
    assert len(files("out")) == 3


def test_a_second_run_leaves_what_is_there_and_does_the_rest(pictures, colorize):
    pictures("in/a.png", "in/b.tif", "in/c.jpg")
    assert colorize("in") == (0, summary(new=3, were_there=0) + "\n", "")
    before = files("out")
    pictures("in/d.png")
    assert colorize("in") == (0, summary(new=1, were_there=3) + "\n", "")
    assert before.items() < files("out").items()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_a_result_of_another_model_or_other_options_is_replaced(pictures, colorize, name, monkeypatch):
    pictures(f"in/{name}")
    colorize("in")
    assert colorize("in", model=OTHER_MODEL) == (0, summary(OTHER_MODEL, new=0, were_there=0, replaced=1) + "\n", "")
    assert stated(f"out/{name}").model_sha256 == sha256_of_starter(OTHER_MODEL)
    assert colorize("in", model=OTHER_MODEL, jpeg="reencode")[1].endswith("replaced\n")
    assert colorize("in", model=OTHER_MODEL, jpeg="reencode")[1].endswith("1 were there\n")


def test_a_result_says_the_options_that_it_was_made_with(pictures, colorize):
    pictures("in/a.jpg")
    colorize("in", jpeg="reencode")
    options = json.loads(stated("out/a.jpg").options)
    assert (options["jpeg"], options["jpeg_quality"], options["format"]) == ("reencode", 95, None)


def test_a_result_that_says_no_options_is_left_where_all_that_it_says_is_the_same(pictures, colorize):
    pictures("in/a.png")
    colorize("in")
    drop_options("out/a.png")
    before = files("out")
    assert stated("out/a.png").options is None
    assert colorize("in", jpeg="reencode")[1] == summary(new=0, were_there=1) + "\n"
    assert files("out") == before


def test_a_result_that_says_no_options_is_not_replaced_silently(pictures, colorize):
    pictures("in/a.png")
    colorize("in")
    drop_options("out/a.png")
    code, printed, errors = colorize("in", model=OTHER_MODEL)
    assert (code, printed) == (0, summary(OTHER_MODEL, new=0, were_there=0, replaced=1) + "\n")
    assert errors == "in/a.png: a result that does not say its options was replaced\n"


FOREIGN = {
    "a file of somebody's": lambda: Path("out/a.png").write_bytes(b"mine"),
    "an empty file": lambda: Path("out/a.png").touch(),
    "the source itself, by a hard link": lambda: Path("out/a.png").hardlink_to("in/a.png"),
    "a link to the source": lambda: Path("out/a.png").symlink_to("../in/a.png"),
    "a link to nothing": lambda: Path("out/a.png").symlink_to("nothing"),
    "another photograph": lambda: Image.new("L", (9, 9)).save("out/a.png"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_file_that_is_no_result_of_the_source_is_replaced_only_with_overwrite(pictures, colorize, case):
    pictures("in/a.png", "in/b.png")
    Path("out").mkdir()
    FOREIGN[case]()
    source, status = Path("in/a.png").read_bytes(), Path("out/a.png").lstat()
    code, printed, errors = colorize("in")
    assert (code, printed) == (1, summary(new=1, were_there=0, failed=1) + "\n")
    assert "in/a.png: destination-taken: out/a.png is there already" in errors
    assert "--overwrite" in errors
    now = Path("out/a.png").lstat()
    assert (now.st_ino, now.st_mtime_ns, now.st_size) == (status.st_ino, status.st_mtime_ns, status.st_size)

    code, printed, errors = colorize("in", overwrite=True)
    assert (code, printed) == (0, summary(new=0, were_there=1, replaced=1) + "\n")
    assert "no result was replaced" in errors
    assert not Path("out/a.png").is_symlink()
    assert stated("out/a.png")
    assert Path("in/a.png").read_bytes() == source


def test_the_result_of_another_source_is_replaced_only_with_overwrite(pictures, colorize):
    pictures("in/a.png")
    colorize("in")
    before = files("out")
    Path("in/a.png").unlink()
    pictures("in/a.png", "x/other.png")
    Path("x/other.png").replace("in/a.png")
    code, _, errors = colorize("in")
    assert (code, files("out")) == (1, before)
    assert errors == "in/a.png: destination-taken: out/a.png is a result of another source: --overwrite replaces it\n"
    assert colorize("in", overwrite=True)[0] == 0
    assert files("out") != before


def test_a_result_that_was_cut_off_is_a_result_no_more(pictures, colorize):
    pictures("in/a.jpg", "in/b.tif", "in/c.png")
    colorize("in")
    whole = files("out")
    for name, data in whole.items():
        Path("out", name).write_bytes(data[:-100])
    assert colorize("in")[0] == 1
    assert colorize("in", overwrite=True)[0] == 0
    assert files("out") == whole


def test_a_source_that_changes_meanwhile_gets_no_result(pictures, capsys):
    pictures("in/a.png", "in/b.png", "x/other.png")

    class ChangingEngine(StandInEngine):
        def predict(self, gray, vividness=None):
            Path("in/a.png").write_bytes(Path("x/other.png").read_bytes())
            return super().predict(gray, vividness)

    def pools(request, settings, weights):
        begin(request, settings, ChangingEngine)
        return ThreadPoolExecutor

    code = colorize_files(Wish([Path("in")], Path("out"), MODEL, jobs=1), as_json=False, pools=pools)
    assert (code, list(files("out"))) == (1, ["b.png"])
    assert capsys.readouterr().err == "in/a.png: changed: in/a.png was changed while it was colorized\n"


@pytest.mark.parametrize("kept", [b'{"version":1,"size":0,"parts":[]}\n', b"[" * 900_000, b'{"version":1,"parts":7}\n'])
def test_a_jpeg_that_pretends_to_be_a_result_stops_nothing_else(pictures, colorize, kept):
    pictures("in/a.jpg", "in/b.jpg", "out/b.jpg")
    for name in ("in/a.jpg", "out/b.jpg"):
        data, pretended = Path(name).read_bytes(), b"Photochrom\0\0\1\0\1" + zlib.compress(kept)
        part = b"\xff\xe9" + (len(pretended) + 2).to_bytes(2, "big") + pretended
        Path(name).write_bytes(data[:2] + part + data[2:])
    code, printed, errors = colorize("in")
    assert (code, printed) == (1, summary(new=1, were_there=0, failed=1) + "\n")
    assert errors.startswith("in/b.jpg: destination-taken: ")


def test_a_folder_at_the_target_is_never_replaced(pictures, colorize):
    pictures("in/a.png")
    Path("out/a.png").mkdir(parents=True)
    for overwrite in (False, True):
        code, _, errors = colorize("in", overwrite=overwrite)
        assert (code, errors) == (1, "in/a.png: destination-taken: out/a.png is a folder\n")


def test_a_file_where_a_folder_is_needed_takes_one_photograph_alone(pictures, colorize):
    pictures("in/a.png", "in/deep/b.png")
    Path("out").mkdir()
    Path("out/deep").write_text("mine")
    code, printed, errors = colorize("in")
    assert (code, printed) == (1, summary(new=1, were_there=0, failed=1) + "\n")
    assert errors.startswith("in/deep/b.png: destination-taken: ")
    assert Path("out/deep").read_text() == "mine"


def test_results_are_no_sources(pictures, colorize):
    pictures("in/a.png", "in/b.tif", "in/c.jpg")
    colorize("in")
    pictures("out/new.png")
    words = {"new": 1, "were there": 0, "passed over, which are results of Photochrom": 3}
    assert colorize("out", to="again") == (0, summary(to="again", **words) + "\n", "")
    assert list(files("again")) == ["new.png"]


def test_what_cannot_be_colorized_or_read_is_named_and_stops_nothing_else(pictures, colorize):
    pictures("in/a.png", "in/e.png")
    Path("in/b.jpg").write_bytes(b"no photograph")
    Path("in/c.png").symlink_to("nothing")
    os.mkfifo("in/d.png")
    code, printed, errors = colorize("in")
    assert (code, printed) == (1, summary(new=2, were_there=0, failed=3) + "\n")
    assert errors.splitlines() == [
        "in/b.jpg: not-a-photograph: the file is no JPEG, PNG, TIFF, WebP or JPEG 2000",
        "in/c.png: unreadable: No such file or directory",
        "in/d.png: unreadable: it is not a file",
    ]


def test_a_listed_file_that_is_not_there_is_named_and_stops_nothing_else(pictures, colorize):
    pictures("in/a.png")
    Path("list").write_text("in/a.png\nin/gone.png\n")
    code, printed, errors = colorize(files_from="list")
    assert (code, printed) == (1, summary(new=1, were_there=0, failed=1) + "\n")
    assert errors == "in/gone.png: unreadable: No such file or directory\n"
    assert list(files("out")) == ["in/a.png"]


def test_a_name_with_control_characters_reaches_the_terminal_as_escapes(pictures, colorize):
    name = "in/\x1b]0;title\x07\u202e\udcff\n.jpg"
    pictures("in/a.png")
    Path(name).write_bytes(b"no photograph")
    for as_json in (False, True):
        _, printed, errors = colorize("in", as_json=as_json)
        assert not set("\x1b\x07\u202e\udcff") & set(printed + errors)
    assert colorize("in")[2].startswith("in/\\x1b]0;title\\x07\\u202e\\udcff\\n.jpg: not-a-photograph: ")


REFUSED = {
    "an unknown format": ({"format": "gif"}, "unknown format 'gif'"),
    "an unknown JPEG profile": ({"jpeg": "best"}, "unknown JPEG profile 'best'"),
    "an unknown model": ({"model": "rembrandt"}, "there is no model 'rembrandt'"),
    "a list that is not there": ({"files_from": "list"}, "list cannot be read"),
    "an output folder among the sources": ({"to": "in/out"}, "lies inside a folder of sources"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_is_written(pictures, colorize, aws, tmp_path, case):
    wish, words = REFUSED[case]
    pictures("in/a.png")
    before = files(tmp_path)
    with pytest.raises(UsageError, match=words):
        colorize("in", **wish)
    assert files(tmp_path) == before


def test_an_output_folder_that_cannot_be_made_is_an_error(pictures, colorize):
    pictures("in/a.png")
    Path("file").touch()
    for place in ("file", "file/below"):
        with pytest.raises(UsageError, match=f"{place} cannot be written"):
            colorize("in", to=place)


def test_a_file_larger_than_the_limit_is_not_read(pictures, colorize, monkeypatch):
    pictures("in/a.png", "in/b.png")
    with Path("in/b.png").open("ab") as file:
        file.truncate(10_000_001)
    monkeypatch.setenv("PHOTOCHROM_MAX_BYTES", "10000000")
    code, printed, errors = colorize("in")
    assert (code, printed) == (1, summary(new=1, were_there=0, failed=1) + "\n")
    assert errors == "in/b.png: too-large: 10,000,001 bytes are more than the limit of 10,000,000\n"


def test_a_folder_without_photographs_is_an_error(pictures, colorize):
    Path("in").mkdir()
    with pytest.raises(UsageError, match="no photographs there"):
        colorize("in")


def test_what_a_killed_run_left_half_is_removed_and_what_another_run_writes_stays(pictures, colorize):
    pictures("in/a.png")
    Path("out").mkdir()
    left, being_written = (Path(f"out/{PREFIX}{word}{SUFFIX}") for word in ("left", "written"))
    left.write_bytes(b"half")
    with being_written.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert colorize("in")[0] == 0
        assert sorted(files("out")) == [being_written.name, "a.png"]


def test_on_a_file_system_without_hard_links_results_arrive_all_the_same(pictures, colorize, monkeypatch):
    def refuse(self, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    pictures("in/a.png")
    assert colorize("in")[1] == summary(new=1, were_there=0) + "\n"
    assert list(files("out")) == ["a.png"]


def test_a_line_a_minute_tells_how_far_it_is_where_there_is_no_terminal(pictures, colorize, monkeypatch):
    monkeypatch.setattr("photochrom.worker.cli.terminal.LINE_SECONDS", 0.0)
    pictures("in/a.png", "in/b.png")
    assert "colorizing: 2 of 2" in colorize("in")[2]
