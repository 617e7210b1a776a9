"""The deployment of compose.yaml as a whole: TLS, a user for each role, two workers, control, training, metrics."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.conftest import gray_jpeg
from tests.acceptance.topology import ARCHIVE, DEADLINE, OUTPUT, STATE, Topology, topology
from tests.benchmarks.turns import standing_still

pytestmark = pytest.mark.integration

IMAGES = 150
BROKEN = {"scans/empty.jpg": b"", "scans/letter.jpg": b"To whom it may concern: this is not a photograph."}
DONE_BEFORE_THE_DRAIN = 20

CHANGES = {
    "PHOTOCHROM_MODEL": "autoencoder",  # the small one: this is about the way of the images
    "PHOTOCHROM_CONCURRENCY": "1",
    "PHOTOCHROM_CONTROL_INTERVAL": "0.2",
    "PHOTOCHROM_JOB_IMAGES": "4",
    "PHOTOCHROM_LOG_FORMAT": "json",
}


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Topology]:
    with topology(tmp_path, CHANGES) as made:
        client = made.s3.client()
        for number in range(IMAGES):
            client.put_object(Bucket=ARCHIVE, Key=f"scans/{number:03d}.jpg", Body=gray_jpeg(number))
        for key, body in BROKEN.items():
            client.put_object(Bucket=ARCHIVE, Key=key, Body=body)
        for service, name in (
            ("control", "control"),
            ("training", "training"),
            ("worker", "worker1"),
            ("worker", "worker2"),
        ):
            made.start(service, name)
        yield made


def wait_until(deployed: Topology, condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        for process in deployed.running.values():
            process.check()
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def page(deployed: Topology, name: str) -> list[Metric]:
    """What Prometheus would read of a process now."""
    url = f"http://127.0.0.1:{deployed.metrics_port(name)}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return list(text_string_to_metric_families(answer.read().decode()))


def of_the_dead(deployed: Topology, name: str) -> Iterable[Metric]:
    """What a process that has ended had counted."""
    return MultiProcessCollector(None, str(deployed.metrics_folder(name))).collect()


def images(metrics: Iterable[Metric]) -> Counter[tuple[str, str]]:
    """Images by outcome and reason."""
    samples = [s for metric in metrics for s in metric.samples if s.name == "photochrom_images_total"]
    return Counter({(s.labels["outcome"], s.labels["reason"]): int(s.value) for s in samples})


def value(metrics: Iterable[Metric], name: str, **labels: str) -> float:
    [found] = [s.value for m in metrics for s in m.samples if s.name == name and s.labels == labels]
    return found


def report(deployed: Topology, submission: str) -> list[dict[str, str]]:
    asked = deployed.ask("report", submission)
    [place] = [line for line in asked.stdout.split() if line.endswith(".jsonl")]
    key = place.removeprefix(f"s3://{STATE}/")
    body = deployed.s3.client().get_object(Bucket=STATE, Key=key)["Body"].read()
    return [json.loads(line) for line in body.splitlines()]


def log_lines(deployed: Topology, action: str) -> list[dict[str, object]]:
    lines = [line for path in deployed.folder.glob("worker?.log") for line in path.read_text().splitlines()]
    told = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in told if line["action"] == action]


def test_a_submission_passes_while_a_worker_is_drained_and_replaced(deployed: Topology) -> None:
    asked = deployed.ask("submit", f"s3://{ARCHIVE}/scans", "--to", f"s3://{OUTPUT}/scans", "--json")
    assert asked.returncode == 0, asked.stderr
    submission = json.loads(asked.stdout)["submission"]

    wait_until(deployed, lambda: images(page(deployed, "worker1")).total() >= DONE_BEFORE_THE_DRAIN)
    with standing_still([deployed.running["worker2"].pid]):
        drained = deployed.stop("worker1")
    assert drained.exit_code == 0
    left = IMAGES - images(of_the_dead(deployed, "worker1")).total() - images(page(deployed, "worker2")).total()
    assert left > 0, "the worker was drained too late to prove anything"
    wait_until(deployed, lambda: all(deployed.is_healthy(name) for name in ("control", "training", "worker2")))
    deployed.start("worker", "worker3")

    watched = deployed.ask("status", submission, "--watch", "--json")
    assert watched.returncode == 1, watched.stderr  # some are quarantined
    now = json.loads(watched.stdout)
    assert (now["state"], now["total"], now["done"], now["quarantined"]) == ("done", IMAGES + 2, IMAGES, 2)

    counted = (
        images(of_the_dead(deployed, "worker1")) + images(page(deployed, "worker2")) + images(page(deployed, "worker3"))
    )
    assert counted == Counter((row["outcome"], row["reason"]) for row in report(deployed, submission))
    assert counted == {("done", ""): IMAGES, ("quarantined", "empty"): 1, ("quarantined", "not-a-photograph"): 1}
    assert Counter(line["key"] for line in log_lines(deployed, "image_done")) == Counter(
        f"scans/{number:03d}.jpg" for number in range(IMAGES)
    )
    listed = deployed.s3.client().list_objects_v2(Bucket=OUTPUT)["Contents"]
    assert [found["Key"] for found in listed] == [f"scans/{number:03d}.jpg" for number in range(IMAGES)]
    wait_until(deployed, lambda: value(page(deployed, "control"), "photochrom_submissions_active") == 0)
    the_queue_is_empty(page(deployed, "control"))
    assert value(page(deployed, "training"), "photochrom_process_info", role="training", version="0.1.0") == 1
    nothing_secret_is_in_the_logs(deployed)


def the_queue_is_empty(metrics: list[Metric]) -> None:
    assert value(metrics, "photochrom_redis_up") == 1
    assert value(metrics, "photochrom_submissions_active") == 0
    for priority in ("urgent", "high", "normal", "low"):
        assert value(metrics, "photochrom_queue_jobs", priority=priority) == 0


def nothing_secret_is_in_the_logs(deployed: Topology) -> None:
    urls = [path.read_text() for path in deployed.secrets.glob("redis_url_*")]
    passwords = [url.partition("@")[0].rpartition(":")[2] for url in urls]
    keys = [path.read_text().split()[-1] for path in deployed.secrets.glob("aws_credentials_*")]
    logs = "".join(path.read_text() for path in deployed.folder.glob("*.log"))
    assert len(logs) > 1000
    assert not [secret for secret in passwords + keys if secret in logs]
