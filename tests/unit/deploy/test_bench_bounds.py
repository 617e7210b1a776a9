"""The bare parts that bound a photograph's way, and how what was measured is held against them: nothing is timed."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from photochrom.deploy.bench import bounds as bench_bounds
from photochrom.deploy.bench import through_stack as bench_stack
from photochrom.deploy.bench.bounds import BareParts, bare_s3_client, spent_by
from photochrom.deploy.bench.measurement import Passage
from photochrom.deploy.bench.photographs import Kind, Sample, gray_jpeg, gray_tiff
from photochrom.deploy.bench.ratios import on_local_files, through_stack
from photochrom.deploy.bench.run import Report
from photochrom.worker.coloring.colorize import colorize_file
from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.jpeg.source import GrayJpeg
from photochrom.worker.s3.store import Location
from photochrom.worker.settings import Settings
from photochrom.worker.telemetry.stages import STAGES, Spent

# ---- network and codec


@pytest.fixture
def engine(engine, monkeypatch):
    """The stand-in with chroma that differs from place to place, so that it matters which way up it is."""

    def predict(gray, vividness=None):
        engine.seen.append(gray)
        down, across = np.indices(gray.shape) / 20 - 0.2
        return np.stack([down, across]).astype(np.float32)

    monkeypatch.setattr(engine, "predict", predict)
    return engine


def two_pages():
    encoded = io.BytesIO()
    first, second = (Image.fromarray(np.full((20, 30), level, np.uint8)) for level in (90, 180))
    first.save(encoded, "TIFF", save_all=True, append_images=[second])
    return encoded.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = io.BytesIO()
    Image.open(io.BytesIO(gray_jpeg(0.01))).save(encoded, "JPEG", exif=exif)
    return encoded.getvalue()


PHOTOGRAPHS = pytest.mark.parametrize("data", [gray_jpeg(0.01), gray_tiff(0.01), two_pages(), turned()])


def pixels(written):
    image = Image.open(written.body)
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        yield np.asarray(image).tolist()


@PHOTOGRAPHS
def test_the_bare_codec_makes_what_the_story_makes_without_asking_the_network(data, engine):
    bare = BareParts(data, engine, Options())
    asked = len(engine.seen)
    made = bare.codec()
    assert len(engine.seen) == asked
    told = colorize_file(io.BytesIO(data), engine, Settings(), Options())
    assert list(pixels(made)) == list(pixels(told))


@PHOTOGRAPHS
def test_the_bare_network_gets_what_the_story_gives_it(data, engine):
    bare = BareParts(data, engine, Options())
    engine.seen.clear()
    bare.network()
    bare_seen = list(engine.seen)
    engine.seen.clear()
    colorize_file(io.BytesIO(data), engine, Settings(), Options())
    assert [gray.tolist() for gray in bare_seen] == [gray.tolist() for gray in engine.seen]


def test_the_bare_codec_makes_the_small_copy_that_the_story_reads(engine, monkeypatch):
    bare = BareParts(gray_jpeg(0.01), engine, Options())
    sizes = []
    gray = GrayJpeg.gray
    monkeypatch.setattr(GrayJpeg, "gray", lambda page, *size: sizes.append(size) or gray(page, *size))
    bare.codec()
    assert sizes == [(8, 8)]


def test_what_cannot_be_coloured_has_no_bound(engine):
    with pytest.raises(ImageFault):
        BareParts(b"no photograph", engine, Options())


# ---- the S3 client


def test_the_bare_s3_client_asks_what_a_worker_asks_for_each_image(store, aws):
    store.put("archive", "in/1.tif", b"source")
    store.put("coloured", "out/1.tif", b"result, which is longer")
    ask = bare_s3_client(
        store, Location("archive", "in/1.tif"), Location("coloured", "out/1.tif"), Location("coloured", "bare/")
    )
    calls, conditions = [], []
    events = aws.meta.events
    events.register("before-call.s3", lambda model, **_: calls.append(model.name), unique_id="counted")
    events.register(
        "provide-client-params.s3.PutObject",
        lambda params, **_: conditions.append(params["IfNoneMatch"]),
        unique_id="seen",
    )
    try:
        ask()
        ask()
    finally:
        events.unregister("before-call.s3", unique_id="counted")
        events.unregister("provide-client-params.s3.PutObject", unique_id="seen")
    assert calls == ["HeadObject", "GetObject", "PutObject"] * 2
    assert conditions == ["*", "*"]
    results = [store.get("coloured", listed.key).data for listed in store.list(Location("coloured", "bare/"))]
    assert results == [b"result, which is longer"] * 2


def test_the_stacks_s3_client_is_that_of_the_last_passages_sources_and_results(store, monkeypatch):
    measured = bench_stack.Measured.__new__(bench_stack.Measured)
    measured.store, measured._last = store, ("s3://archive/2/", "s3://coloured/2/")
    for number in range(3):
        store.put("archive", f"2/{number:05d}.webp", b"source")
        store.put("coloured", f"2/{number:05d}.png", b"result")
    store.put("archive", "20/00000.jpg", b"another passage's")
    asked = []
    monkeypatch.setattr(bench_stack, "bare_s3_client", lambda store, *places: asked.append(places))
    assert len(list(measured.bare_s3_clients(2))) == 2
    assert [(str(source), str(result)) for source, result, _ in asked] == [
        (f"s3://archive/2/{number:05d}.webp", f"s3://coloured/2/{number:05d}.png") for number in range(2)
    ]
    targets = {target for _, _, target in asked}
    assert len(targets) == 2
    assert all(Location.parse(bench_stack.WRITE).contains(target) for target in targets)


@pytest.mark.parametrize(("photographs", "calls", "mean"), [(1, 5, 3), (2, 6, 3.5), (200, 200, 100.5)])
def test_of_each_kind_the_s3_client_is_asked_a_few_times(monkeypatch, photographs, calls, mean):
    found = []

    class Measured:
        stack = type("Stack", (), {"workers": [1]})
        bare_s3_clients = staticmethod(lambda images: [None] * images)

        def passage(self, kind, images):
            return passage(kind.name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def spent(ways):
        found.append(len(ways))
        return Spent(float(len(found)), 0.25)

    monkeypatch.setattr(bench_stack, "measured_stack", lambda workers: Measured())
    monkeypatch.setattr(bench_stack, "spent_by", spent)
    kind = Kind("1 MP", (Sample(".jpg", b""),) * photographs)
    [one] = bench_stack.measure([kind], 1, lambda _: 1, lambda _: None)
    assert found == [1] * calls
    assert one.bounds == {"s3_client": Spent(mean, 0.25)}


# ---- what is made of it


def passage(kind="1 MP", images=1, seconds=1.0, cpu=1.0, processes=1, **bounds):
    stages = {stage: Spent(0.1, 0.05) for stage in STAGES}
    return Passage(kind, images, seconds, stages, cpu, processes, overlapping=processes > 1, bounds=bounds)


NETWORK, CODEC, S3 = Spent(0.1, 0.12), Spent(0.06, 0.05), Spent(0.5, 0.01)


def test_what_is_spent_is_that_of_one_on_average(monkeypatch):
    wall, cpu = iter([10.0, 16.0]), iter([1.0, 2.5])
    monkeypatch.setattr(bench_bounds.time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(bench_bounds.time, "process_time", lambda: next(cpu))
    asked = []
    assert spent_by([lambda: asked.append(1)] * 3) == Spent(2.0, 0.5)
    assert len(asked) == 3


def test_the_story_is_held_against_network_and_codec_by_the_clock():
    story = passage(images=5, seconds=1.0, network=NETWORK, codec=CODEC)
    assert on_local_files(story) == {"images_per_second_of_bound": pytest.approx(5 * 0.16)}
    assert on_local_files(passage()) == {}


def test_a_worker_is_held_against_local_files_and_its_bound_by_cpu_and_by_images_for_each_process():
    local = passage(images=4, seconds=0.8, cpu=0.8, network=NETWORK, codec=CODEC)
    worker = passage(images=12, seconds=1.5, cpu=2.7, processes=2, network=NETWORK, codec=CODEC, s3_client=S3)
    assert through_stack(worker, local) == {
        "cpu_of_bound": pytest.approx(0.225 / 0.18),
        "cpu_of_local_files": pytest.approx(0.225 / 0.2),
        "images_per_second_a_process_of_local_files": pytest.approx(4 / 5),
    }


@pytest.fixture
def report():
    local = [
        passage(kind, images=4, seconds=0.8, cpu=0.8, network=NETWORK, codec=CODEC)
        for kind in ("1 MP JPEG", "12 MP JPEG", "24 MP JPEG", "12 MP TIFF, 16 bit")
    ]
    stack = [passage(one.kind, 12, 1.5, 2.7, 2, **one.bounds, s3_client=S3) for one in local]
    return Report("a machine", "a model", local, stack)


def rows(table, width=100):
    page = io.StringIO()
    Console(file=page, width=width).print(table)
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    return {row[0]: row[1:] for row in cells}


def test_tables_have_bounds_and_ratios_for_every_kind_at_the_width_of_a_terminal(report):
    local, stack = map(rows, report.tables())
    assert local["bare network"] == ["100.0"] * 4
    assert local["bare codec"] == ["60.0"] * 4
    assert local["images/s, of the bound"] == ["0.80"] * 4
    assert not [row for row in local if "S3" in row or "local" in row]
    assert stack["bare network, CPU"] == ["120.0"] * 4
    assert stack["bare codec, CPU"] == ["50.0"] * 4
    assert stack["bare S3 client, CPU"] == ["10.0"] * 4
    assert stack["CPU, of the bound"] == ["1.25"] * 4
    assert stack["CPU, of local files'"] == ["1.12"] * 4
    assert stack["images/s a process, of local's"] == ["0.80"] * 4
    assert "images/s, of the bound" not in stack


def test_machines_get_bounds_and_ratios(report):
    told = json.loads(json.dumps(report.summary()))
    assert told["local"][0]["bounds"] == {
        "network": {"seconds": 0.1, "cpu_seconds": 0.12}, "codec": {"seconds": 0.06, "cpu_seconds": 0.05},
    }  # fmt: skip
    assert told["local"][0]["ratios"] == {"images_per_second_of_bound": pytest.approx(0.8)}
    assert told["stack"][3]["bounds"]["s3_client"] == {"seconds": 0.5, "cpu_seconds": 0.01}
    assert set(told["stack"][3]["ratios"]) == {
        "cpu_of_bound", "cpu_of_local_files", "images_per_second_a_process_of_local_files",
    }  # fmt: skip


def test_what_was_not_measured_has_no_row(report):
    report.stack[0].bounds.pop("s3_client")
    _, stack = map(rows, report.tables())
    assert "bare S3 client, CPU" not in stack
    assert "bare codec, CPU" in stack
