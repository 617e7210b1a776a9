"""`photochrom colorize` as an archivist meets it: real processes on real folders, and nothing of anybody's is harmed.

PHOTOCHROM_TEST_KILLS sets how often the command is killed (`make kill-colorize`).
"""

import os
import pty
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.stated import statement_in

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("PHOTOCHROM_TEST_KILLS", "12"))
SECONDS = 120

COMMAND = [sys.executable, "-m", "tests.stand_in", "colorize"]
"""The whole command with an engine that computes nothing."""

REAL = [sys.executable, "-c", "import photochrom.deploy.cli; photochrom.deploy.cli.main()", "colorize"]


@pytest.fixture
def here(tmp_path, no_settings, monkeypatch):
    """A folder to work in, from which the project is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def archive(here):
    """Makes a folder of photographs of three formats, every one another."""

    def make(count, name="in", side=64):
        folder = here / name
        (folder / "deep").mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8)
            place = folder / "deep" if number % 4 == 3 else folder
            suffix = ("jpg", "tif", "png")[number % 3]
            Image.fromarray(pixels).save(place / f"scan-{number:02}.{suffix}")
        return folder

    return make


def run(*arguments, command=COMMAND, **options):
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, timeout=SECONDS, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def gray(path):
    return np.asarray(tifffile.imread(path) if path.suffix == ".tif" else Image.open(path))


def check_result(path, source):
    """Read to its end by another decoder: whole, with the source's gray, and a statement of ours."""
    with path.open("rb") as file:
        assert statement_in(file, Limits()), f"{path} is no result"
    with Image.open(path) as image:
        assert image.mode in ("RGB", "YCbCr")
        luma = image.convert("L") if image.format != "JPEG" else _y(image)
        np.testing.assert_array_equal(np.asarray(luma), gray(source))


def _y(image):
    image.draft("YCbCr", image.size)
    return image.convert("YCbCr").getchannel("Y")


def test_the_originals_behind_hard_links_stay_as_they_are(archive, here):
    originals = archive(5)
    mirror = here / "mirror"
    shutil.copytree(originals, mirror, copy_function=os.link)
    before = files(originals)
    code, printed, errors = run("in", "--to", "mirror")
    assert (code, errors.count("destination-taken")) == (1, 5)
    assert "0 new, 0 were there, 5 failed" in printed
    assert files(originals) == files(mirror) == before
    code, printed, _ = run("in", "--to", "mirror", "--overwrite")
    assert (code, "5 replaced" in printed) == (0, True)
    assert files(originals) == before
    for path in mirror.rglob("scan-*"):
        check_result(path, originals / path.relative_to(mirror))


def test_the_original_behind_a_symbolic_link_stays_as_it_is(archive, here):
    originals = archive(4)
    before = files(originals)
    (here / "out").mkdir()
    for name in ("scan-00.jpg", "scan-01.tif"):
        (here / "out" / name).symlink_to(originals / name)
    code, printed, errors = run("in", "--to", "out")
    assert (code, errors.count("destination-taken")) == (1, 2)
    assert "2 new, 0 were there, 2 failed" in printed
    assert files(originals) == before


def test_a_file_of_another_source_stays_and_stops_nothing_else(archive, here):
    archive(3)
    (here / "out").mkdir()
    (here / "out/scan-00.jpg").write_bytes(b"mine")
    code, printed, _ = run("in", "--to", "out")
    assert (code, "2 new, 0 were there, 1 failed" in printed) == (1, True)
    assert (here / "out/scan-00.jpg").read_bytes() == b"mine"


def test_a_file_that_may_not_get_so_large_leaves_nothing_behind(archive, here):
    archive(3)
    large, limit = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8), 80_000
    Image.fromarray(large).save(here / "in/large.tif")
    code, printed, errors = run(
        "in", "--to", "out", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert (code, errors) == (1, "in/large.tif: unwritable: out/large.tif cannot be written: File too large\n")
    assert "3 new, 0 were there, 1 failed" in printed
    assert sorted(files(here / "out")) == ["scan-00.jpg", "scan-01.tif", "scan-02.png"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_ends_the_run_with_whole_files_alone(archive, here):
    archive(8, side=128)
    (here / "out").mkdir()
    script = (
        "mount -t tmpfs -o size=128k none out || exit 77\n"
        f"{sys.executable} -m tests.stand_in colorize in --to out; code=$?\n"
        "cp -a out kept; exit $code"
    )
    code, printed, errors = run("-c", script, command=["unshare", "--mount", "sh"])
    if code == 77:
        pytest.skip("no disk can be mounted here")
    assert code == 2
    assert re.search("photochrom: out/.* cannot be written: No space left on device\n$", errors)
    assert re.search("autoencoder|vgg16-yuv", printed)
    for name in files(here / "kept"):
        check_result(here / "kept" / name, here / "in" / name)
    assert 0 < len(files(here / "kept")) < 8


def test_a_folder_that_cannot_be_read_is_named(archive, here):
    archive(2)
    closed = here / "in/closed"
    closed.mkdir(mode=0)
    # root reads everything, unless it gives that right away
    command = COMMAND
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *COMMAND]
    try:
        code, printed, errors = run("in", "--to", "out", command=command)
        again, _, named = run("in/closed", "--to", "out", command=command)
    finally:
        closed.chmod(0o700)
    assert (code, errors) == (1, "in/closed: unreadable: the folder cannot be read: Permission denied\n")
    assert "2 new, 0 were there, 1 folders not read" in printed
    assert (again, named.count("\n"), "in/closed" in named) == (1, 1, True)


def test_killed_at_any_moment_no_file_is_half_and_the_next_run_does_the_rest(archive, here):
    originals = archive(40)
    before = files(originals)
    chance, seconds = random.Random(7), 4.0
    for _ in range(KILLS):
        began = time.monotonic()
        running = subprocess.Popen([*COMMAND, "in", "--to", "out", "--jobs", "2"], stdout=subprocess.DEVNULL)
        try:
            running.wait(chance.uniform(0.2, seconds))
            seconds = max(1.0, time.monotonic() - began)  # there is nothing left to be killed
        except subprocess.TimeoutExpired:
            running.kill()
        running.wait()
        for path in (here / "out").rglob("scan-*"):
            check_result(path, originals / path.relative_to(here / "out"))
        assert files(originals) == before
    code, printed, _ = run("in", "--to", "out")
    made = files(here / "out")
    assert (code, sorted(made)) == (0, sorted(before))
    assert re.search(r"\d+ new, \d+ were there\n", printed)
    assert [path for path in here.rglob("*") if path.name.startswith(".photochrom")] == []


def test_what_ctrl_c_interrupts_is_gone_on_with(archive, here):
    archive(40)
    began = subprocess.Popen(
        [*COMMAND, "in", "--to", "out", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    began.stdout.readline()
    os.killpg(began.pid, signal.SIGINT)  # as a terminal does it: to every process
    rest, errors = began.communicate(timeout=SECONDS)
    assert (began.returncode, errors) == (130, b"")
    done = 1 + rest.count(b"\n")
    assert done == len(files(here / "out")) < 40
    code, printed, _ = run("in", "--to", "out")
    assert (code, f"{40 - done} new, {done} were there" in printed) == (0, True)


def test_two_runs_at_once_into_one_folder_leave_one_whole_result_each(archive, here):
    originals = archive(24)
    running = [subprocess.Popen([*COMMAND, "in", "--to", "out"], stdout=subprocess.PIPE) for _ in range(2)]
    printed = b"".join(one.communicate(timeout=SECONDS)[0] for one in running)
    assert [one.returncode for one in running] == [0, 0]
    assert sum(map(int, re.findall(rb"(\d+) new, (\d+) were there", printed)[0])) == 24
    assert sorted(files(here / "out")) == sorted(files(originals))
    for path in (here / "out").rglob("scan-*"):
        check_result(path, originals / path.relative_to(here / "out"))


def test_processes_end_with_the_command_that_was_killed(archive, here):
    archive(40)
    running = subprocess.Popen([*COMMAND, "in", "--to", "out", "--json"], stdout=subprocess.PIPE)
    running.stdout.readline()
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert children
    running.kill()
    running.communicate()
    until = time.monotonic() + SECONDS
    while any(_runs(child) for child in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(_runs(child) for child in children)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_names_that_a_terminal_would_obey_or_cannot_show_are_escaped(archive, here):
    folder = archive(1)
    (folder / "\x1b[2Jb\u00e4r\n.jpg").write_bytes(b"no photograph")
    (folder / os.fsdecode(b"latin-\xe4.jpg")).write_bytes(b"no photograph")
    for variable in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        code, printed, errors = run("in", "--to", "out", env={**os.environ, **variable})
        assert code == 1
        assert "Traceback" not in errors
        assert "\x1b" not in printed + errors
        assert (printed + errors).isascii()
        assert "\\x1b[2Jb" in errors
        assert "latin-\\udce4.jpg" in errors
    assert "\x1b[2J" not in on_a_terminal([*COMMAND, "in", "--to", "out"])


def on_a_terminal(command):
    """All that a command writes to a terminal of its own."""
    ours, its = pty.openpty()
    running = subprocess.Popen(command, stdout=its, stderr=its, stdin=its, env={**os.environ, "TERM": "xterm"})
    os.close(its)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's answer when nobody has it open any more
            break
        if not part:
            break
        written += part
    os.close(ours)
    running.wait(SECONDS)
    return written.decode()


def test_a_terminal_shows_how_far_it_is(archive, here):
    archive(6)
    shown = on_a_terminal([*COMMAND, "in", "--to", "out"])
    assert re.search("colorizing .*6/6", shown)
    assert "6 new, 0 were there" in shown


def test_the_real_model_colorizes_a_list_from_standard_input(archive, here):
    originals = archive(3)
    listed = "\n".join(sorted(f"in/{name}" for name in files(originals)))
    code, printed, errors = run("--files-from", "-", "--to", "out", command=REAL, input=listed.encode())
    assert (code, printed, errors) == (0, "vgg16-yuv into out: 3 new, 0 were there\n", "")
    for name in files(originals):
        check_result(here / "out/in" / name, originals / name)
        with Image.open(here / "out/in" / name) as image:
            assert np.asarray(image.convert("YCbCr"))[..., 1:].std() > 0
