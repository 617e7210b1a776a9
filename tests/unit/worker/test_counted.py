"""What a worker counts: each image once, as its submission's report has it, and what it gives back."""

from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from photochrom.worker.coloring import runner, tasks
from photochrom.worker.coloring.tasks import colorize_job
from photochrom.worker.errors import RetryableError, WorkerFault
from photochrom.worker.process import shutdown
from photochrom.worker.telemetry import metrics


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setattr(tasks, "send_job", lambda job: None)
    monkeypatch.setattr(shutdown, "stop_this_worker", lambda: None)
    monkeypatch.setattr(shutdown, "is_draining", lambda: False)


@pytest.fixture
def gained():
    """By how much a metric has grown since the test began."""

    def now():
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
        }

    before = now()
    return lambda name, *labels: now().get((name, *sorted(labels)), 0) - before.get((name, *sorted(labels)), 0)


def test_images_are_counted_as_the_ledger_counts_them(held, make_job, gained):
    colorize_job(make_job(4, {2: b"no photograph", 3: None}).message())
    counts = held.ledger.counts("s")
    assert (counts.done, counts.quarantined) == (2, 2)
    assert gained("photochrom_images_total", "done", "") == counts.done
    for reason, number in counts.reasons.items():
        assert gained("photochrom_images_total", "quarantined", reason) == number
    assert gained("photochrom_jobs_total", "ended") == 1
    assert gained("photochrom_images_in_hand") == 0


def test_an_image_that_ended_elsewhere_meanwhile_is_not_counted_again(held, make_job, gained, monkeypatch):
    job = make_job(1)
    store_result = runner.store_result

    def late(*arguments):
        held.ledger.record_done("s", 0)
        return store_result(*arguments)

    monkeypatch.setattr(runner, "store_result", late)
    colorize_job(job.message())
    assert held.ledger.counts("s").done == 1
    assert gained("photochrom_images_total", "done", "") == 0


def test_a_job_that_comes_twice_counts_its_images_once(held, make_job, gained):
    job = make_job(2, {1: b"no photograph"})
    for _ in range(2):
        colorize_job(job.message())
    assert gained("photochrom_images_total", "done", "") == 1
    assert gained("photochrom_images_total", "quarantined", "not-a-photograph") == 1
    assert gained("photochrom_jobs_total", "ended") == 2


def test_images_are_in_hand_while_they_are_worked_on_and_not_after_a_fault(held, make_job, gained, engine, monkeypatch):
    seen = []

    def predict(*_):
        seen.append(gained("photochrom_images_in_hand"))
        raise MemoryError

    monkeypatch.setattr(engine, "predict", predict)
    colorize_job(make_job(1).message())
    assert seen == [1]
    assert gained("photochrom_images_in_hand") == 0


def test_tries_after_the_first_are_counted(held, make_job, gained, failing):
    failing("fetch", times=2, _0=RetryableError("slow down"))
    colorize_job(make_job(1).message())
    assert gained("photochrom_image_retries_total") == 2
    assert gained("photochrom_images_total", "done", "") == 1


@pytest.mark.parametrize(
    ("fault", "why"), [(RetryableError("slow down"), "passing"), (WorkerFault("denied"), "worker")]
)
def test_what_is_given_back_is_counted_by_why(held, make_job, gained, failing, fault, why):
    failing("fetch", _0=fault)
    colorize_job(make_job(1).message())
    assert gained("photochrom_images_given_back_total", why) == 1


def test_images_for_which_there_is_no_time_and_suspects_are_given_back_for_that(held, make_job, gained, monkeypatch):
    job = make_job(3)
    monkeypatch.setattr(shutdown, "is_draining", lambda: True)
    colorize_job(job.message())
    assert gained("photochrom_images_given_back_total", "time") == 3
    held.ledger.start("s", 1)
    colorize_job(job.message())
    assert gained("photochrom_images_given_back_total", "singly") == 3


def test_the_version_that_is_served_is_told_and_the_one_before_no_more(gained):
    before, now = (
        SimpleNamespace(card=SimpleNamespace(name="m", sha256=digit * 64), promotion=number)
        for digit, number in (("a", 3), ("b", 4))
    )
    metrics.served(before, None, "champion")
    metrics.served(now, before, "champion")
    assert gained("photochrom_model_served", "m", "a" * 12, "champion") == 0
    assert gained("photochrom_model_served", "m", "b" * 12, "champion") == 1
    assert REGISTRY.get_sample_value("photochrom_model_promotion") == 4
    metrics.served(before, None, "pinned")
    assert REGISTRY.get_sample_value("photochrom_model_promotion") == 4, "what a job pins is no promotion"
