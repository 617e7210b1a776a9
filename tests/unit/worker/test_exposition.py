"""The page of metrics: of one process, and of a parent and its children, the killed ones included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from photochrom.worker.errors import UsageError
from photochrom.worker.telemetry import exporter

HOUSE = Path(__file__).parents[3]

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture(autouse=True)
def nothing_beside(monkeypatch):
    monkeypatch.delenv(exporter.FOLDER, raising=False)
    monkeypatch.setattr(exporter, "_beside", [])
    monkeypatch.setattr(exporter, "_server", [])


def page(role="colorize"):
    text = generate_latest(exporter.registry(role)).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_process_says_its_role_memory_and_room():
    found = page("control")
    [info] = [key for key in found if key[0] == "photochrom_process_info"]
    assert "control" in info
    assert found["photochrom_resident_bytes", "main"] > 10_000_000
    assert 0 < found["photochrom_disk_free_bytes", "temporary"] <= found["photochrom_disk_bytes", "temporary"]


def test_what_is_told_also_is_found_out_each_time_and_may_come_late():
    class Growing:
        value = 0

        def collect(self):
            self.value += 1
            yield GaugeMetricFamily("photochrom_test", "A test's", self.value)

    registry = exporter.registry("control")
    exporter.tell_also(Growing())
    assert "photochrom_test 1.0" in generate_latest(registry).decode()
    assert "photochrom_test 2.0" in generate_latest(registry).decode()


def test_a_port_that_is_taken_is_told_in_one_line(closed_port):
    with pytest.raises(UsageError, match=f"PHOTOCHROM_METRICS_PORT {closed_port} cannot be listened on"):
        exporter.serve(closed_port, "control")


FAMILY = """
import os, signal, sys
from photochrom.worker.telemetry import exporter as exposition
exposition.prepare(several=True)
from photochrom.worker.telemetry import metrics
children = []
for number in range(2):
    pid = os.fork()
    if not pid:
        metrics.IMAGES.labels("done", "").inc(10)
        metrics.IN_HAND.inc()
        os.kill(os.getpid(), signal.SIGKILL if number else signal.SIGSTOP)
    children.append(pid)
os.waitpid(children[0], os.WUNTRACED)
os.waitpid(children[1], 0)
from prometheus_client import generate_latest
try:
    print(generate_latest(exposition.registry("colorize")).decode())
finally:
    os.kill(children[0], signal.SIGKILL)
    os.waitpid(children[0], 0)
for number in range(3):
    pid = os.fork()
    if not pid:
        metrics.IMAGES.labels("done", "").inc(1)
        metrics.BATCH.observe(4)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    last = generate_latest(exposition.registry("colorize")).decode()
print("LAST", last)
print("FOLDER", os.environ[exposition.FOLDER])
"""


def family(**environment):
    named = os.environ | {"PYTHONPATH": str(HOUSE)} | environment
    done = subprocess.run([sys.executable, "-c", FAMILY], env=named, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_children_add_up_and_what_is_true_only_of_the_living_is_not_told_of_the_dead():
    told = family()
    assert 'photochrom_images_total{outcome="done",reason=""} 20.0' in told
    assert "photochrom_images_in_hand 1.0" in told
    assert not Path(told.rpartition("FOLDER ")[2].strip()).exists(), "the folder is left behind"


def test_what_children_counted_is_kept_when_they_have_ended_and_their_files_are_not(tmp_path):
    told = family(PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    last = told.rpartition("LAST ")[2]
    assert 'photochrom_images_total{outcome="done",reason=""} 23.0' in last
    assert 'photochrom_batch_images_bucket{le="4.0"} 3.0' in last
    assert "photochrom_batch_images_sum 12.0" in last
    assert "photochrom_images_in_hand 1.0" not in last
    of_the_dead = sorted(path.name for path in tmp_path.glob("*_0.db"))
    assert of_the_dead == ["counter_0.db", "histogram_0.db"]
    living = [path for path in tmp_path.glob("*.db") if path.name not in of_the_dead]
    assert len({path.stem.rpartition("_")[2] for path in living}) <= 1, "files of dead children"


def test_a_file_that_was_just_begun_does_no_harm(monkeypatch, tmp_path):
    monkeypatch.setenv(exporter.FOLDER, str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / f"counter_{ended.pid}.db").write_bytes(b"\1")
    list(exporter.Counted().collect())
    assert not list(tmp_path.glob("*.db"))


def test_a_folder_that_was_named_is_kept_and_begun_anew(tmp_path):
    folder = tmp_path / "metrics"
    (tmp_path / "metrics").mkdir()
    (folder / "of somebody else").touch()
    for _ in range(2):
        told = family(PROMETHEUS_MULTIPROC_DIR=str(folder))
        assert 'photochrom_images_total{outcome="done",reason=""} 20.0' in told
    assert (folder / "of somebody else").exists()


def test_a_child_lets_go_of_the_port(closed_port):
    class Server:
        class socket:  # noqa: N801  # as the server has it
            closed = 0

            @classmethod
            def close(cls):
                cls.closed += 1

    exporter._server.append(Server)
    exporter._leave_to_the_parent()
    exporter._leave_to_the_parent()
    assert Server.socket.closed == 1
