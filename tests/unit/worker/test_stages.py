"""Every second belongs to one stage, whatever lies within what."""

import io
from types import SimpleNamespace

import pytest

from photochrom.worker.coloring.colorize import colorize_file
from photochrom.worker.photo.base.options import Options
from photochrom.worker.telemetry import stages
from photochrom.worker.telemetry.stages import spent, stage, staged


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so; the CPU works for a tenth of them."""
    now = SimpleNamespace(seconds=100.0)
    fake = SimpleNamespace(perf_counter=lambda: now.seconds, thread_time=lambda: now.seconds / 10)
    monkeypatch.setattr(stages, "time", fake)
    return now


@pytest.fixture
def gained(clock):
    before = spent()
    return lambda: {name: round(now.seconds - before[name].seconds, 6) for name, now in spent().items()}


def test_a_stage_within_another_takes_its_time_from_it(clock, gained):
    with stage("write"):
        clock.seconds += 1
        with stage("compose"):
            clock.seconds += 20
        clock.seconds += 300
    clock.seconds += 4000
    assert gained() == {"fetch": 0, "read": 0, "predict": 0, "compose": 20, "write": 301, "store": 0}


def test_making_items_counts_and_using_them_does_not(clock, gained):
    def items():
        for number in range(3):
            clock.seconds += 1
            yield number

    taken = []
    for item in staged("read", items()):
        clock.seconds += 50
        taken.append(item)
    assert taken == [0, 1, 2]
    assert gained()["read"] == 3


def test_a_stage_that_fails_is_left(clock, gained):
    with pytest.raises(ValueError, match="broken"), stage("write"):
        clock.seconds += 1
        with stage("read"):
            clock.seconds += 2
            raise ValueError("broken")
    clock.seconds += 1000
    assert gained()["write"] == 1
    assert gained()["read"] == 2


def test_a_function_can_be_a_stage(clock, gained):
    @stage("predict")
    def predict():
        clock.seconds += 7

    predict()
    predict()
    assert gained()["predict"] == 14


def test_cpu_time_is_counted_apart(clock):
    before = spent()["fetch"].cpu
    with stage("fetch"):
        clock.seconds += 10
    assert spent()["fetch"].cpu - before == pytest.approx(1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_a_photograph_spends_time_in_every_stage_between_its_bytes(photograph, engine, settings, kind):
    before = spent()
    colorize_file(io.BytesIO(photograph(1, kind)), engine, settings, Options()).body.close()
    assert [name for name, now in spent().items() if now.seconds > before[name].seconds] == [
        "read",
        "predict",
        "compose",
        "write",
    ]
