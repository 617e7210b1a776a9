"""The arithmetic of the benchmarks, on made-up measurements: nothing here is timed."""

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

import tests.benchmarks.__main__ as command
from photochrom.deploy.bench.measurement import Passage
from photochrom.deploy.bench.run import Report
from photochrom.worker.coloring.runner import run_job
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Image, Job, Task
from photochrom.worker.telemetry.stages import STAGES, Spent
from tests.benchmarks import capacity, peers, scaling, simulated, start, story, through_queue
from tests.benchmarks.child import Child
from tests.benchmarks.document import BENCH, DOCUMENTS, document
from tests.benchmarks.figures import (
    Figure,
    Plan,
    Section,
    Target,
    at_least,
    at_most,
    by_turns,
    median_by,
    median_seconds,
    medians,
    missed,
    shown,
    summary,
)
from tests.benchmarks.local_process import Taken

ROOT = Path(__file__).parents[2]

# ---- figures


def test_a_target_is_met_at_its_bound_and_on_the_right_side_of_it():
    assert [at_least(2.3).is_met(value) for value in (2.2, 2.3, 2.4)] == [False, True, True]
    assert [at_most(1.15).is_met(value) for value in (1.1, 1.15, 1.16)] == [True, True, False]
    assert Figure("key", "what", 7).is_met is None


def test_ways_are_asked_by_turns():
    asked = []
    found = by_turns({name: lambda name=name: asked.append(name) or len(asked) for name in "ab"}, 3)
    assert asked == list("ababab")
    assert found == {"a": [1, 3, 5], "b": [2, 4, 6]}


def test_the_median_of_each_way_counts_and_not_its_mean():
    assert medians({"a": [1.0, 100.0, 2.0], "b": [4.0, 2.0]}) == {"a": 2.0, "b": 3.0}
    assert median_by([("x", 9), ("y", 1), ("z", 4)], lambda pair: pair[1]) == ("z", 4)


def test_the_first_round_does_not_count(monkeypatch):
    ticks = iter([0.0, 50.0, 100.0, 103.0, 200.0, 203.0])
    monkeypatch.setattr("tests.benchmarks.figures.time.perf_counter", lambda: next(ticks))
    assert median_seconds({"way": lambda: None}, 2) == {"way": 3.0}


@pytest.mark.parametrize(("value", "text"), [(0.95123, "0.951"), (12.34, "12.3"), (123.4, "123"), (250_001, "250,001")])
def test_figures_are_shown_with_the_digits_that_count(value, text):
    assert shown(value) == text


SECTION = Section(
    "Speed", (Figure("met", "fine", 3, "s", at_most(4)), Figure("not", "slow", 2, "", at_least(2.5))), "how"
)


def test_a_table_says_target_and_yes_or_no_beside_each_figure():
    page = io.StringIO()
    Console(file=page, width=100).print(SECTION.table())
    lines = page.getvalue().splitlines()
    assert [cell.strip() for cell in lines[4].split("│")[1:-1]] == ["fine", "3", "s", "at most 4", "yes"]
    assert [cell.strip() for cell in lines[5].split("│")[1:-1]] == ["slow", "2", "", "at least 2.5", "no"]


def test_json_has_every_figure_by_its_key():
    told = json.loads(json.dumps(summary({"speed": SECTION}, "a machine", "an engine", Plan(short=True))))
    assert (told["machine"], told["engine"], told["short"]) == ("a machine", "an engine", True)
    assert told["sections"]["speed"]["figures"]["met"] == {
        "what": "fine", "value": 3, "unit": "s", "target": "at most 4", "met": True,
    }  # fmt: skip
    assert missed({"speed": SECTION}) == ["speed.not"]


# ---- the command


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the command with sections that measure nothing; gives its exit code and what it has written."""
    sections = {"tests.benchmarks.story": SECTION, "tests.benchmarks.peers": Section("Peers", SECTION.figures[:1])}

    class Module:
        def __init__(self, name):
            self.measure = lambda plan: sections[name]

    monkeypatch.setattr(command, "settle_engine", lambda: "an engine")
    monkeypatch.setattr(command.importlib, "import_module", Module)

    def run(*arguments):
        file = tmp_path / "bench.json"
        code = command.main([*arguments, "--json", str(file)])
        return code, json.loads(file.read_text())

    return run


def test_a_missed_target_is_told_and_is_a_failure_only_where_asked(run, capsys):
    code, told = run("--only", "story,peers")
    assert (code, list(told["sections"])) == (0, ["story", "peers"])
    assert "1 targets missed: story.not" in capsys.readouterr().out
    assert run("--only", "story", "--strict")[0] == 1
    assert run("--only", "peers", "--strict")[0] == 0


def test_an_unknown_section_is_refused(run, capsys):
    with pytest.raises(SystemExit) as ended:
        run("--only", "story,speed")
    assert ended.value.code == 2
    assert "no section speed" in capsys.readouterr().err


# ---- sections


def by_key(figures):
    found = {figure.key: figure for figure in figures}
    assert len(found) == len(figures)
    return found


def targets(figures):
    return {figure.key: (round(figure.value, 6), figure.target) for figure in figures if figure.target}


def test_a_story_is_held_against_its_bound_and_the_ordinary_way():
    seconds = {
        "story, spliced": 0.2, "story, ordinary way": 0.5, "codec, spliced": 0.05, "codec, ordinary way": 0.25,
        "network": 0.14,
    }  # fmt: skip
    assert targets(story.figures_of(12, seconds, compared=True)) == {
        "12mp_of_bound": (0.95, Target("at least", 0.95)),
        "12mp_story_times": (2.5, Target("at least", 2.3)),
        "12mp_codec_times": (5.0, Target("at least", 4.0)),
    }
    assert list(targets(story.figures_of(1, seconds, compared=False))) == ["1mp_of_bound"]


def test_peers_are_held_against_our_images_per_second_with_their_parts_apart():
    whole = {"ours": 0.2, "eccv16": 8.0, "ddcolor": 0.8}
    share = {"whole": 1.0, "network": 0.25, "codec": 0.75}
    found = {f"{who} {part}": whole[who] * share[part] for who in whole for part in share}
    figures = peers.figures_of(found | {"eccv16 published": 16.0})
    assert targets(figures) == {
        "eccv16_times": (40.0, Target("at least", 20)),
        "ddcolor_times": (4.0, Target("at least", 5)),
    }
    named = by_key(figures)
    assert (named["eccv16_network_ms"].value, named["eccv16_codec_ms"].value) == (2000, 6000)
    assert named["ddcolor_network_share"].value == pytest.approx(0.25)
    assert named["ours_images_per_second"].value == pytest.approx(5)
    assert named["eccv16_published_times"].value == pytest.approx(80)


def test_what_stands_in_for_a_peers_network_is_said():
    for peer in (peers.ECCV16, peers.DDCOLOR):
        assert "random weights" in peers.ROWS[peer].network


def test_a_child_answers_line_by_line_and_its_early_end_is_told(tmp_path, monkeypatch):
    (tmp_path / "echo.py").write_text(
        "from tests.benchmarks.child import serve\nserve(lambda line: line.upper() if line != 'end' else exit(3))\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(tmp_path))))
    with Child("echo") as child:
        assert [child.ask("one"), child.ask("two")] == ["ONE", "TWO"]
        with pytest.raises(RuntimeError, match="ended with 3"):
            child.ask("end")
    with pytest.raises(RuntimeError, match="ended with 1"), Child("no_such_module"):
        pass


def test_two_processes_are_held_against_one():
    assert targets(scaling.two_against_one(1, {"one": 10.0, "two": 19.0})) == {
        "1mp_two_against_one": (1.9, Target("at least", 1.8))
    }


def test_the_last_images_of_a_long_run_are_held_against_the_first():
    begin = Taken(3, 3.0, 3.0, [0.1, 0.2, 9.0], [100 * 2**20])
    rest = Taken(6, 6.0, 6.0, [50.0, 50.0, 50.0, 0.1, 0.3, 0.4], [300 * 2**20, 104 * 2**20])
    figures = scaling.long_run(begin, rest, 3)
    assert targets(figures) == {
        "last_against_first": (1.5, Target("at most", 1.05)),
        "memory_growth": (1.04, Target("at most", 1.05)),
    }
    assert by_key(figures)["first_ms"].what.startswith("9 images")


def test_a_worker_is_held_against_local_files_by_cpu_and_not_by_the_clock():
    stages = {stage: Spent(0.4, 0.2) for stage in STAGES}
    passage = Passage("1 MP", 10, 4.0, stages, cpu=2.2)
    named = by_key(through_queue.against_local("1mp", "1 MP", passage, Taken(20, 5.0, 4.0, [], [])))
    assert targets(named.values()) == {"1mp_cpu_ratio": (1.1, Target("at most", 1.15))}
    assert named["1mp_wall_ratio"].value == pytest.approx(1.6)
    assert named["1mp_images_per_second"].value == pytest.approx(2.5)
    assert named["1mp_store_cpu_ms"].value == pytest.approx(20)
    assert named["1mp_beside_cpu_ms"].value == pytest.approx(100)


def test_starting_is_held_against_the_clock_and_submitting_against_its_own_time():
    figures = start.figures_of({"worker": 4.0, "help": 0.2, "submit": 9.0}, {"worker": 0.0, "help": 0.1, "submit": 1.0})
    assert {key: value for key, (value, _) in targets(figures).items()} == {
        "worker_first_image_s": 4.0, "help_s": 0.2, "submit_cpu_s": 1.0,
    }  # fmt: skip


def test_the_batched_shape_is_held_against_the_devices_bound():
    measured = dict.fromkeys(simulated.LABELS, 1.0) | {"share_of_bound": 0.94}
    assert targets(simulated.figures_of(measured)) == {"share_of_bound": (0.94, Target("at least", 0.9))}


# ---- the document


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_the_tables_of_the_documents_are_those_of_what_was_measured(path):
    assert document(text := path.read_text()) == text, "python -m tests.benchmarks.document"
    assert "<!-- measured: " in text
    assert not json.loads(BENCH.read_text())["short"]


def test_a_figure_that_was_changed_by_hand_is_set_right():
    text = DOCUMENTS[0].read_text()
    [line] = [line for line in text.splitlines() if "| at least 20 |" in line]
    assert document(text.replace(line, line.replace(" times ", " times as many "))) == text


def test_a_table_that_nothing_makes_is_told():
    with pytest.raises(KeyError, match="unheard"):
        document("<!-- measured: unheard -->\n<!-- /measured -->")


def test_bounds_and_ratios_stand_below_the_stages_of_each_place(tmp_path, monkeypatch):
    stages = {stage: Spent(0.1, 0.05) for stage in STAGES}
    bare = {"network": Spent(0.1, 0.12), "codec": Spent(0.06, 0.05)}
    local = Passage("1 MP JPEG", 4, 0.8, stages, 0.8, bounds=bare)
    stack = Passage("1 MP JPEG", 12, 1.5, stages, 2.7, 2, bounds=bare | {"s3_client": Spent(0.5, 0.01)})
    file = tmp_path / "passages.json"
    file.write_text(json.dumps(Report("a machine", "a model", [local], [stack]).summary()))
    monkeypatch.setattr("tests.benchmarks.document.PASSAGES", file)
    made = document("<!-- measured: passages -->\n<!-- /measured -->")
    by_place = [
        dict([cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|")
        for part in made.split("**Through queue and S3")
    ]
    below = [list(rows.items())[-cut:] for rows, cut in zip(by_place, (4, 7), strict=True)]
    assert below[0] == [
        ("bare network", "100.0"), ("bare codec", "60.0"), ("images/s", "5.0"), ("images/s, of the bound", "0.80"),
    ]  # fmt: skip
    assert below[1] == [
        ("bare network, CPU", "120.0"), ("bare codec, CPU", "50.0"), ("bare S3 client, CPU", "10.0"),
        ("images/s", "8.0"), ("CPU, of the bound", "1.25"),
        ("CPU, of local files'", "1.12"), ("images/s a process, of local's", "0.80"),
    ]  # fmt: skip


# ---- capacity

MEASURED = {
    "worker_cpu_ms": 125.0, "network_cpu_ms": 100.0, "control_cpu_ms": 1.0, "source_bytes": 2.5e6,
    "result_bytes": 3.0e6, "redis_commands": 20.0, "redis_bytes": 4000.0,
}  # fmt: skip


def measured(*sizes):
    figures = {f"{size}mp_{name}": {"value": value} for size in sizes for name, value in MEASURED.items()}
    return {"machine": "a machine", "engine": "an engine", "sections": {"queue": {"figures": figures}}}


@pytest.fixture
def cost():
    return capacity.costs(measured(1), [1])[0]


def test_all_but_the_network_is_what_a_gpu_leaves_to_the_cores(cost):
    assert (cost.worker, cost.codec) == (0.125, pytest.approx(0.025))


@pytest.mark.parametrize(
    ("assumed", "gpus", "bound", "rate"),
    [
        (capacity.Assumed(cores=32, gigabits=25), 0, "cores", 256),
        (capacity.Assumed(cores=32, gigabits=25), 1, "GPU", 300),
        (capacity.Assumed(cores=4, gigabits=25), 1, "cores", 160),
        (capacity.Assumed(cores=32, gigabits=2.4), 1, "network link", 100),
        (capacity.Assumed(cores=64, gigabits=100), 2, "GPU", 600),
    ],
)
def test_a_machine_is_as_fast_as_its_slowest_part(cost, assumed, gpus, bound, rate):
    limit = capacity.machine_rate(cost, assumed, gpus)
    assert (limit.what, limit.images_per_second) == (bound, pytest.approx(rate))


def test_the_first_limit_that_all_machines_share_comes_first(cost):
    limits = capacity.shared_limits(cost, capacity.Assumed())
    assert [(limit.what, round(limit.images_per_second)) for limit in limits] == [
        ("S3, PUT of results", 3500),
        ("Redis, commands", 5000),
        ("S3, HEAD of results", 5500),
        ("S3, GET of sources", 5500),
        ("control, listing and enqueueing", 10_000),
    ]
    spread = capacity.shared_limits(cost, capacity.Assumed(s3_prefixes=4))
    assert spread[0].what == "Redis, commands"


def test_redis_holds_two_bits_an_image_and_the_window():
    assumed = capacity.Assumed(window=50_000, message_bytes=200)
    assert capacity.redis_megabytes(100_000_000, assumed) == pytest.approx(25 + 10)
    assert capacity.redis_megabytes(1000, assumed) == pytest.approx((250 + 200_000) / 1e6)


def rows(sheet, title):
    table = sheet.partition(f"### {title}\n\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_sheet_prints_every_assumption_and_what_follows(tmp_path, monkeypatch, capsys):
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(measured(1, 12)))
    monkeypatch.setattr("sys.argv", ["capacity", str(file), "--gpu-images-per-second", "400", "--days", "1.5"])
    capacity.main()
    sheet = capsys.readouterr().out
    assert "a machine; an engine" in sheet
    assumed = {row[1].partition("`")[2].strip("`)"): row[0] for row in rows(sheet, "Assumed")}
    assert assumed.keys() == {f"--{name.replace('_', '-')}" for name in capacity.MEANING}
    assert (assumed["--gpu-images-per-second"], assumed["--days"]) == ("400", "1.5")
    assert rows(sheet, "For each GPU kept busy")[0] == ["1 MP at 400 images/s", "10.0", "8.00", "9.60"]
    # 100 million in 1.5 days, 256 images/s a machine: 4.52 days of one, so 4
    machines = [row for row in rows(sheet, "Machines and days") if row[:3] == ["100,000,000", "1 MP", "32 cores"]]
    assert machines == [["100,000,000", "1 MP", "32 cores", "256", "cores", "4.52", "4"]]
    # 771.6 images/s; jobs of 26 by bytes
    asked = [row for row in rows(sheet, "What the fleet asks of the rest") if row[:2] == ["100,000,000", "1 MP"]]
    assert asked == [["100,000,000", "1 MP", "771.6", "15,432", "3.09", "32.5", "2,315", "33.95", "29.7", "0.77"]]


def test_a_run_that_did_not_measure_the_sizes_is_refused(tmp_path, monkeypatch, capsys):
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(measured(1)))
    monkeypatch.setattr("sys.argv", ["capacity", str(file)])
    with pytest.raises(SystemExit):
        capacity.main()
    assert "12mp_worker_cpu_ms' was not measured" in capsys.readouterr().err


def test_an_image_takes_the_requests_that_are_counted_on(store, ledger, aws, engine, photograph, settings):
    etag = store.put("archive", "in/1.png", photograph())
    task = Task(source="s3://archive/in", destination="s3://coloured/out", model="champion", epoch=1)
    job = Job(submission="one", task=task, images=(Image(ordinal=0, key="in/1.png", etag=etag),))
    ledger.activate("one")
    calls = []
    aws.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name), unique_id="counted")
    try:
        left = run_job(job, Resources(settings, store, ledger), lambda: True, lambda _: engine)
    finally:
        aws.meta.events.unregister("before-call.s3", unique_id="counted")
    assert (left.images, ledger.counts("one").done) == ([], 1)
    counted = tuple(calls.count(name) for name in ("GetObject", "PutObject", "HeadObject"))
    assert counted == (capacity.GETS, capacity.PUTS, capacity.HEADS)
    assert len(calls) == sum(counted)
