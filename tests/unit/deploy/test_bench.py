"""`photochrom bench`: photographs, what is counted of them, and what is called the slowest part."""

import io
import json
import mmap
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from photochrom.deploy import commands
from photochrom.deploy.bench import local_files
from photochrom.deploy.bench import run as bench
from photochrom.deploy.bench.machine import cpu_seconds, describe, resident_bytes
from photochrom.deploy.bench.measurement import COLOURING, WHAT, Passage, bottleneck
from photochrom.deploy.bench.photographs import Kind, Sample, generated, gray_jpeg, gray_tiff, own
from photochrom.deploy.bench.through_stack import spent_in
from photochrom.worker.errors import ImageFault, UsageError
from photochrom.worker.telemetry.stages import STAGES, Spent

ROOT = Path(__file__).parents[3]

# ---- photographs


@pytest.mark.parametrize(("make", "mode", "kind"), [(gray_jpeg, "L", "JPEG"), (gray_tiff, "I;16", "TIFF")])
def test_generated_photographs_are_gray_of_their_size_and_the_same_every_time(make, mode, kind):
    data = make(0.3)
    picture = Image.open(io.BytesIO(data))
    assert (picture.mode, picture.format) == (mode, kind)
    assert picture.width * picture.height == pytest.approx(0.3e6, rel=0.01)
    assert np.asarray(picture).std() > 0
    assert make(0.3) == data


def test_both_formats_show_the_same_picture():
    jpeg, tiff = (np.asarray(Image.open(io.BytesIO(make(0.1)))).astype(float) for make in (gray_jpeg, gray_tiff))
    assert np.abs(jpeg - tiff / 257).mean() < 3


def test_kinds_are_named_by_their_sizes():
    assert [kind.name for kind in generated([0.1, 0.2], [0.1])] == [
        "0.1 MP JPEG", "0.2 MP JPEG", "0.1 MP TIFF, 16 bit",
    ]  # fmt: skip


def test_own_photographs_are_files_and_those_in_folders(tmp_path):
    for name in ("a.png", "deep/b.JPG", "deep/notes.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "c.tif").write_bytes(b"c.tif")
    kind = own([tmp_path / "in", tmp_path / "c.tif"])
    assert kind == Kind(
        "3 files of your own", (Sample(".png", b"a.png"), Sample(".JPG", b"deep/b.JPG"), Sample(".tif", b"c.tif"))
    )
    assert kind.mean_bytes == pytest.approx(20 / 3)


def test_what_is_no_photograph_of_ones_own_is_told(tmp_path):
    with pytest.raises(UsageError, match="no photographs"):
        own([tmp_path])
    with pytest.raises(UsageError, match="cannot be read"):
        own([tmp_path / "none.jpg"])


# ---- passages


def passage(kind="1 MP", images=1, seconds=10.0, processes=1, overlapping=False, cpu=0.0, **stages):
    spent = {stage: Spent(stages.get(stage, 0.0), stages.get(stage, 0.0) / 2) for stage in STAGES}
    return Passage(kind, images, seconds, spent, cpu, processes, overlapping=overlapping)


def test_the_slowest_stage_is_the_longest_where_one_follows_the_other():
    assert passage(read=1, predict=4, store=5).slowest == "store"
    assert passage(read=1, predict=6, store=5).slowest == "predict"


def test_beside_one_another_the_slowest_lane_counts():
    # storing is longer than any stage of the colouring, but runs beside all of them
    assert passage(overlapping=True, read=3, predict=4, write=3, store=5).slowest == "predict"
    assert passage(overlapping=True, read=1, predict=2, write=1, store=9).slowest == "store"
    assert passage(overlapping=True, fetch=9, read=1, predict=2, store=5).slowest == "fetch"


def test_workers_that_wait_for_work_are_not_slow():
    assert passage(overlapping=True, seconds=10, processes=2, predict=9).slowest is None
    assert passage(overlapping=True, seconds=10, processes=1, predict=9).slowest == "predict"
    assert passage(seconds=100, predict=1).slowest == "predict"  # in one process nothing waits


def test_a_passage_adds_up():
    one = passage(images=4, seconds=2.0, cpu=6.0, read=1, predict=3, write=4)
    assert one.images_per_second == 2
    assert one.in_stages == Spent(8, 4)
    assert one.cpu_beside == 2
    assert one.share("predict") == 3 / 8
    told = json.loads(json.dumps(one.summary()))
    assert told["seconds_an_image"]["predict"] == 0.75
    assert told["cpu_seconds_an_image"]["write"] == 0.5
    assert told["process_cpu_seconds_an_image"] == 1.5
    assert told["slowest"] == "write"


def test_the_bottleneck_is_one_line_that_says_for_what_and_what_would_help():
    line = bottleneck(
        [passage("1 MP", predict=3, read=1), passage("12 MP", predict=3, read=2), passage("TIFF", store=1)]
    )
    assert "\n" not in line
    assert "predict, the network, for 1 MP (75%), 12 MP (60%)" in line
    assert WHAT["predict"][1] in line
    assert "store" in line.partition("; ")[2]
    assert "waited for work" in bottleneck([passage("1 MP", overlapping=True, predict=1)])


def test_every_stage_is_in_a_lane_and_has_its_words():
    assert set(COLOURING) | {"fetch", "store"} == set(STAGES) == set(WHAT)


# ---- on local files


@pytest.fixture
def kinds(photograph):
    return [
        Kind("one", (Sample(".png", photograph()),)),
        Kind("two", tuple(Sample(".png", photograph(n)) for n in (1, 2))),
    ]


def test_each_kind_is_coloured_by_turns_and_its_stages_are_counted(kinds, engine, no_settings):
    told = []
    one, two = local_files.measure(kinds, engine, 3, told.append)
    assert (one.kind, one.images, two.kind, two.images) == ("one", 1, "two", 2)
    # three repetitions and one that warms up, of the story and of the bare network; and once to have chroma
    assert len(engine.seen) == 2 * 4 * (1 + 2) + (1 + 2)
    assert [text.partition(",")[0] for text in told] == ["one", "two"] * 4
    for stage in ("read", "predict", "compose", "write", "store"):
        assert one.stages[stage].seconds > 0
    assert one.stages["fetch"].seconds == 0
    assert one.in_stages.seconds <= one.seconds
    for kind in (one, two):
        assert set(kind.bounds) == {"network", "codec"}
        assert all(bare.seconds > 0 for bare in kind.bounds.values())


def test_the_first_repetition_warms_up_and_does_not_count(kinds, engine, no_settings, monkeypatch):
    seconds = iter([90.0, 3.0, 80.0, 1.0])
    monkeypatch.setattr(local_files, "_pass", lambda *_: passage(seconds=next(seconds)))
    found = local_files.measure(kinds, engine, 1, lambda _: None)
    assert [one.seconds for one in found] == [80.0, 1.0]


def test_no_kind_pays_for_the_result_of_another(kinds, engine, no_settings, monkeypatch):
    there, story = [], local_files.story
    monkeypatch.setattr(local_files, "story", lambda *way: there.append(way[1].exists()) or story(*way))
    one = kinds[0]
    local_files.measure([one, one._replace(name="another")], engine, 2, lambda _: None)
    assert there == [False] * 6


def test_the_bare_parts_are_those_of_the_median_repetition_and_the_first_does_not_count(kinds, engine, monkeypatch):
    seconds = iter(seconds for repetition in (90.0, 5.0, 1.0, 3.0) for seconds in (repetition, 2 * repetition))
    monkeypatch.setattr(local_files, "spent_by", lambda ways: Spent(next(seconds), 0.5))
    [found] = local_files.measure(kinds[:1], engine, 3, lambda _: None)
    assert found.bounds == {"network": Spent(3.0, 0.5), "codec": Spent(6.0, 0.5)}


def test_the_median_repetition_counts_as_it_is():
    slow, middle, quick = (passage(seconds=seconds, predict=seconds) for seconds in (9.0, 5.0, 1.0))
    assert local_files.median([slow, quick, middle]) is middle


def test_what_cannot_be_coloured_is_told(engine, no_settings):
    with pytest.raises(ImageFault):
        local_files.measure([Kind("none", (Sample(".jpg", b"no photograph"),))], engine, 1, lambda _: None)


# ---- processes


def test_counters_of_several_processes_add_up(tmp_path):
    code = (
        "import sys, time\n"
        "from photochrom.worker.telemetry.stages import stage\n"
        "with stage('predict'):\n"
        "    begun = time.perf_counter()\n"
        "    while time.perf_counter() < begun + 0.02: pass\n"
        "    time.sleep(0.1)\n"
    )
    before = spent_in(tmp_path)
    assert set(before.values()) == {Spent(0, 0)}
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True, timeout=120)
    spent = local_files.difference(before, spent_in(tmp_path))
    assert spent["predict"].seconds >= 0.24
    assert 0 < spent["predict"].cpu <= spent["predict"].seconds - 0.2
    assert {stage for stage in STAGES if spent[stage].seconds} == {"predict"}


BURN = "import time\nwhile time.process_time() < 0.1: pass\n"
BURN_IN_CHILDREN = (
    "import subprocess, sys\n"
    f"subprocess.run([sys.executable, '-c', {BURN!r}], check=True)\n"
    f"living = subprocess.Popen([sys.executable, '-c', {BURN + 'print(1, flush=True); input()'!r}], "
    "stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
    "living.stdout.readline()\n"
    "print('burnt', flush=True)\n"
    "input()\n"
    "living.communicate(b'x')\n"
)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_the_time_of_a_session_is_that_of_all_in_it_living_and_ended():
    command = [sys.executable, "-c", BURN_IN_CHILDREN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout.readline() == b"burnt\n"
        spent = cpu_seconds(leader.pid)
        leader.communicate(b"x\n", timeout=60)
    assert spent >= 0.2 - 2 / os.sysconf("SC_CLK_TCK")  # each of the two in whole ticks
    assert cpu_seconds(None) == 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_resident_memory_is_seen_to_grow():
    size = 2**25
    with mmap.mmap(-1, size) as fresh:  # an allocator would hand out pages that are resident already
        before = resident_bytes()
        fresh.write(b"1" * size)
        assert resident_bytes() - before > size * 0.9


def test_a_machine_is_described_without_a_line_break():
    assert "\n" not in describe()
    assert "cores" in describe()


# ---- the command


@pytest.fixture
def photochrom(monkeypatch, engine, no_settings):
    """Runs the command with an engine that needs no network; gives exit code, output and errors."""
    engine.describe = lambda: "a stand-in"
    monkeypatch.setattr(bench, "load_engine", lambda model: engine)
    monkeypatch.setattr(bench, "prepare_process", lambda threads: None)
    monkeypatch.setattr(bench, "generated", lambda: [Kind("0.1 MP JPEG", (Sample(".jpg", gray_jpeg(0.1)),))])
    app = typer.Typer()
    app.command()(commands.bench)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_people_get_a_table_and_a_closing_line(photochrom):
    done = photochrom("--repetitions", "1")
    assert done.exit_code == 0, done.output
    for word in ("0.1 MP JPEG", "predict", "store", "images/s", "bare network", "bare codec", "images/s, of the bound"):
        assert word in done.stdout
    assert done.stdout.splitlines()[-1].startswith("The bottleneck on local files: ")


def test_machines_get_json(photochrom, tmp_path, photograph):
    (tmp_path / "mine.png").write_bytes(photograph())
    done = photochrom("--files", tmp_path / "mine.png", "--repetitions", "1", "--json")
    told = json.loads(done.stdout)
    assert told["stack"] == []
    assert [one["kind"] for one in told["local"]] == ["1 file of your own"]
    assert told["local"][0]["seconds_an_image"]["predict"] > 0
    assert told["local"][0]["bounds"].keys() == {"network", "codec"}
    assert told["local"][0]["ratios"]["images_per_second_of_bound"] > 0
    assert told["bottleneck"].startswith("The bottleneck")
    assert (tmp_path / "mine.png").read_bytes() == photograph()


def test_through_the_stack_goes_what_is_asked_for_and_it_closes_the_report(photochrom, monkeypatch):
    asked = []

    def measure(kinds, workers, images, tell):
        asked.append((workers, [images(kind) for kind in kinds]))
        found = passage("0.1 MP JPEG", images=96, seconds=2.0, overlapping=True, cpu=1.9, predict=1.8)
        return [replace(found, bounds={"s3_client": Spent(0.3, 0.0123)})]

    monkeypatch.setattr("photochrom.deploy.bench.through_stack.measure", measure)
    done = photochrom("--repetitions", "1", "--stack", "--workers", "3")
    assert asked == [(3, [bench.MOST_THROUGH_STACK])]
    assert "48.0" in done.stdout
    [client] = [line for line in done.stdout.splitlines() if "bare S3 client, CPU" in line]
    assert "12.3" in client
    for row in ("bare network, CPU", "bare codec, CPU", "CPU, of local files'"):
        assert row in done.stdout
    assert done.stdout.splitlines()[-1].startswith("The bottleneck through the stack: predict")


def test_every_file_goes_through_the_stack_and_of_large_ones_few():
    many = Kind("many", tuple(Sample(".jpg", b"123") for _ in range(200)))
    assert bench.images_for(many) == 200
    assert bench.images_for(Kind("one", (Sample(".jpg", b"123"),))) == bench.MOST_THROUGH_STACK
    large = Kind("large", (Sample(".tif", bytes(20_000_000)),))
    assert bench.images_for(large) == bench.FEWEST_THROUGH_STACK
