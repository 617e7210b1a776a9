"""The task: what is left of a job comes back, and a worker that cannot work takes no more."""

import errno
import json
from types import SimpleNamespace

import pytest
from celery import signals
from celery.exceptions import Reject

from photochrom.worker.coloring import runner, tasks
from photochrom.worker.coloring.jobend import Meter
from photochrom.worker.coloring.tasks import MOST_RETRY_SECONDS, RETRY_SECONDS, colorize_job
from photochrom.worker.errors import CheckpointError, RetryableError, WorkerFault
from photochrom.worker.jobs.messages import Job
from photochrom.worker.ledger.ledger import Counts
from photochrom.worker.process import shutdown
from photochrom.worker.settings import Settings
from photochrom.worker.telemetry.stages import spent, stage


@pytest.fixture
def again(monkeypatch, held):
    """The jobs that were sent back, each with its wait."""
    sent = []

    def send_job(job):
        sent.append((Job.parse(json.loads(json.dumps(job.message()))), 0))

    def put_off(submission, text, wait):
        job = Job.parse(json.loads(text))
        assert job.submission == submission
        sent.append((job, wait))
        return True

    monkeypatch.setattr(tasks, "send_job", send_job)
    monkeypatch.setattr(tasks, "UNSERVED_SECONDS", 0)
    monkeypatch.setattr(held.ledger, "put_off", put_off)
    return sent


@pytest.fixture(autouse=True)
def stops(monkeypatch):
    asked = []
    monkeypatch.setattr(shutdown, "stop_this_worker", lambda: asked.append(1))
    monkeypatch.setattr(shutdown, "is_draining", lambda: False)
    return asked


def ordinals(again):
    return [[image.ordinal for image in job.images] for job, _ in again]


def test_a_job_that_was_finished_does_not_come_back(held, make_job, again, stops):
    colorize_job(make_job().message())
    assert held.ledger.counts("s").done == 3
    assert (again, stops) == ([], [])


def test_only_what_is_unfinished_comes_back_as_a_job_of_its_own(held, make_job, again, failing, stops):
    job = make_job()
    failing("fetch", _1=RetryableError("slow down"))
    colorize_job(job.message())
    [(back, wait)] = again
    assert back == job.only([job.images[1]], sent=back.sent, attempt=1)
    assert wait == RETRY_SECONDS
    assert abs(back.sent - held.ledger.now()) < 60
    assert held.ledger.sent("s") == {1: back.sent}
    assert stops == []


def test_a_job_comes_back_later_each_time_but_never_very_late(held, make_job, again, failing):
    job = make_job(1)
    failing("fetch", _0=RetryableError("slow down"))
    for attempt in (0, 1, 2, 5, 6, 1000):
        colorize_job(job.model_copy(update={"attempt": attempt}).message())
    assert [wait for _, wait in again] == [5, 10, 20, 160, MOST_RETRY_SECONDS, MOST_RETRY_SECONDS]
    assert [back.attempt for back, _ in again] == [1, 2, 3, 6, 7, 1001]


def test_when_time_is_up_the_rest_comes_back_at_once_and_no_attempt_is_counted(held, make_job, again, monkeypatch):
    job = make_job(3).model_copy(update={"attempt": 2})
    hurried = held._replace(settings=held.settings.model_copy(update={"job_seconds": 1e-9}))
    monkeypatch.setattr(tasks, "resources", lambda: hurried)
    colorize_job(job.message())
    assert ordinals(again) == [[0, 1, 2]]
    assert [(back.attempt, wait) for back, wait in again] == [(2, 0)]


def test_a_worker_that_drains_starts_nothing(held, make_job, again, monkeypatch, engine):
    monkeypatch.setattr(shutdown, "is_draining", lambda: True)
    colorize_job(make_job(3).message())
    assert ordinals(again) == [[0, 1, 2]]
    assert engine.seen == []


def test_a_worker_that_is_told_to_stop_drains_within_the_time_that_is_set(monkeypatch, exported):
    told = []
    monkeypatch.setattr(shutdown, "start_draining", lambda: told.append("drain"))
    monkeypatch.setattr(shutdown, "end_within", told.append)
    monkeypatch.setenv("PHOTOCHROM_DRAIN_SECONDS", "77")
    signals.worker_shutting_down.send(sender=None, sig="SIGTERM", how="Warm", exitcode=0)
    assert told == ["drain", 77.0]


def test_images_next_to_one_that_was_started_come_back_each_in_a_job_of_its_own(held, make_job, again):
    job = make_job(3)
    held.ledger.start("s", 1)
    colorize_job(job.message())
    assert ordinals(again) == [[0], [1], [2]]
    assert {wait for _, wait in again} == {0}
    for back, _ in again:
        colorize_job(back.message())
    assert held.ledger.counts("s") == Counts(3, 0, {})
    assert len(again) == 3


def test_a_worker_that_cannot_work_gives_back_the_rest_and_takes_no_more(held, make_job, again, failing, stops):
    failing("fetch", _1=WorkerFault("S3 denies access"))
    colorize_job(make_job(3, {2: b"no photograph"}).message())
    assert ordinals(again) == [[1, 2]]
    assert [(back.attempt, wait) for back, wait in again] == [(0, 0)]
    assert stops == [1]
    assert held.ledger.counts("s") == Counts(1, 0, {})


SHORTAGES = {
    "memory": (MemoryError(), 1),
    "disk": (OSError(errno.ENOSPC, "No space left on device"), 0),
    "quota": (OSError(errno.EDQUOT, "Disk quota exceeded"), 0),
}


@pytest.mark.parametrize("method", ["head", "fetch", "put"])
@pytest.mark.parametrize("shortage", SHORTAGES)
def test_a_worker_without_memory_or_disk_quarantines_nothing_and_takes_no_more(
    held, make_job, again, failing, stops, method, shortage
):
    error, _ = SHORTAGES[shortage]
    job = make_job(3, {2: b"no photograph"})
    failing(method, _1=error)
    colorize_job(job.message())
    assert ordinals(again) == [[1, 2]]
    assert stops == [1]
    assert held.ledger.counts("s") == Counts(1, 0, {})
    assert held.ledger.starts("s", [0, 1, 2]) == {0: 0, 1: 0, 2: 0}


@pytest.mark.parametrize("shortage", SHORTAGES)
def test_a_shortage_while_predicting_is_the_workers_too(held, make_job, again, engine, monkeypatch, stops, shortage):
    error, starts = SHORTAGES[shortage]

    def predict(*_):
        raise error

    monkeypatch.setattr(engine, "predict", predict)
    colorize_job(make_job(1).message())
    assert (ordinals(again), stops) == ([[0]], [1])
    assert held.ledger.counts("s") == Counts(0, 0, {})
    assert held.ledger.starts("s", [0]) == {0: starts}


def test_a_shortage_while_a_model_is_loaded_gives_back_the_whole_job(held, make_job, again, monkeypatch, stops):
    def load(_):
        raise MemoryError

    monkeypatch.setattr(runner.run_job, "__defaults__", (load,))
    with pytest.raises(Reject) as back:
        colorize_job(make_job(2).message())
    assert (back.value.requeue, again, stops) == (True, [], [1])


def test_a_job_that_could_not_even_begin_comes_back_whole(held, make_job, again, monkeypatch, stops):
    def broken(*_):
        raise RetryableError("Redis cannot be reached")

    monkeypatch.setattr(held.ledger, "ended", broken)
    with pytest.raises(Reject) as back:
        colorize_job(make_job(2).message())
    assert back.value.requeue is True
    assert (again, stops) == ([], [])
    assert held.ledger.counts("s") == Counts(0, 0, {})


@pytest.mark.parametrize("error", [CheckpointError("altered"), RetryableError("S3 is away")])
def test_a_model_that_cannot_be_loaded_keeps_no_worker_from_jobs_of_another(
    held, make_job, again, monkeypatch, engine, error, stops
):
    def engines(model):
        if model == "champion":
            raise error
        return engine

    monkeypatch.setattr(runner.run_job, "__defaults__", (engines,))
    job = make_job(2)
    colorize_job(job.message())
    assert [(back.images, back.attempt, wait) for back, wait in again] == [(job.images, 1, RETRY_SECONDS)]
    assert stops == []
    assert held.ledger.counts("s") == Counts(0, 0, {})
    pinned = job.task.model_copy(update={"model": "5" * 64})
    colorize_job(job.model_copy(update={"task": pinned}).message())
    assert held.ledger.counts("s") == Counts(2, 0, {})


def test_what_waits_for_another_try_waits_in_redis_and_goes_at_once_where_too_many_do(
    held, make_job, monkeypatch, failing
):
    sent = []
    monkeypatch.setattr(tasks, "send_job", sent.append)
    job = make_job(2)
    failing("fetch", _1=RetryableError("slow down"))
    colorize_job(job.message())
    [text] = held.ledger.put_off_jobs("s")
    assert Job.parse(json.loads(text)).images == (job.images[1],)
    assert held.ledger.due("s", 10) == []
    assert sent == []
    monkeypatch.setattr("photochrom.worker.ledger.ledger.MOST_DUE", 1)
    colorize_job(job.model_copy(update={"attempt": 5}).message())
    assert [back.images for back in sent] == [(job.images[1],)]
    assert held.ledger.put_off_jobs("s") == [text]


def test_what_is_no_job_is_refused_for_good(held, make_job, again):
    message = make_job(1).message()
    message["images"][0]["key"] = "secret/1.png"
    with pytest.raises(Reject) as refused:
        colorize_job(message)
    assert refused.value.requeue is False
    assert again == []
    assert held.ledger.counts("s") == Counts(0, 0, {})


def test_the_task_is_found_under_its_public_name():
    assert colorize_job.name == "photochrom.colorize"
    assert colorize_job.app.conf.task_acks_late


# ---- what people see


def test_the_end_of_a_job_is_one_line_with_its_images_and_the_seconds_by_stage(held, make_job, again, failing, caplog):
    caplog.set_level("INFO", logger="photochrom.worker")
    job = make_job(3)
    failing("fetch", _1=RetryableError("slow down"))
    colorize_job(job.message())
    [line] = [record for record in caplog.records if getattr(record, "action", "") == "job_done"]
    assert (line.submission, line.images, line.left) == ("s", 2, 1)
    assert list(line.stages) == ["fetch", "read", "predict", "compose", "write", "store"]
    assert line.seconds > 0
    assert all(name in line.getMessage() for name in line.stages)


def test_all_lines_together_say_all_that_was_spent():
    before, meter = spent(), Meter()
    meter.look()
    looks = []
    for _ in range(3):
        with stage("write"):
            list(range(10_000))
        looks.append(meter.look()["write"])
    assert sum(looks) == pytest.approx(spent()["write"].seconds - before["write"].seconds, abs=0.002)


def test_images_that_are_sent_out_singly_are_not_told_as_out_of_time(held, make_job, again, caplog):
    caplog.set_level("INFO", logger="photochrom.worker")
    job = make_job(2)
    held.ledger.start("s", 0)  # and was killed
    colorize_job(job.message())
    [line] = [record for record in caplog.records if getattr(record, "action", "") == "images_given_back"]
    assert "one may have killed a worker" in line.getMessage()
    assert "no time left" not in line.getMessage()


# ---- the start


@pytest.fixture
def started(monkeypatch, held, engine):
    """What the start of a process did, in order."""
    did = []
    monkeypatch.setattr(tasks, "prepare_process", lambda threads: did.append(f"{threads} threads"))
    monkeypatch.setattr(tasks, "engine_for", lambda model: did.append("model"))
    monkeypatch.setattr(tasks, "ready_once", lambda reach, load: did.append("ready"))
    monkeypatch.setattr(tasks, "ready_later", lambda reach, load: did.append("ready"))
    monkeypatch.setattr(
        "photochrom.worker.queue.readiness._in_thread", lambda *_: None
    )  # by which other roles hear of the signals, too
    monkeypatch.setattr(shutdown, "outlive_the_group", lambda: did.append("child"))
    monkeypatch.setattr(shutdown, "work_in_threads", lambda _: did.append("threads"))
    return did


@pytest.mark.parametrize(
    ("pool", "at_start"),
    [("prefork", ["child", "1 threads", "model", "ready"]), ("threads", ["threads", "1 threads", "model", "ready"])],
)
def test_the_model_is_loaded_where_it_is_used_before_a_worker_is_ready(started, monkeypatch, pool, at_start):
    monkeypatch.setattr(tasks, "settings", lambda: Settings(pool=pool))
    signals.celeryd_after_setup.send(sender="w", instance=SimpleNamespace(hub=None), conf=None)
    if pool == "prefork":
        assert started == [], "torch was used before the fork"
        signals.worker_process_init.send(sender=None)
    signals.worker_ready.send(sender=None)
    assert started == at_start


def test_a_worker_whose_model_cannot_be_had_yet_goes_on_and_looks_again(started, monkeypatch):
    def refuse(model):
        raise RetryableError("S3 is away")

    monkeypatch.setattr(tasks, "engine_for", refuse)
    follow = SimpleNamespace(follow=lambda interval: started.append("follows"))
    monkeypatch.setattr(tasks, "serving", lambda: follow)
    signals.worker_process_init.send(sender=None)
    assert started[-2:] == ["follows", "ready"]
    with pytest.raises(RetryableError, match="S3 is away"):
        tasks._have_model()


def test_ready_takes_an_s3_that_answers(started, held):
    tasks._ask_s3()

    def get(bucket, key, most=None):
        raise RetryableError("S3 is away")

    held.store.get = get
    with pytest.raises(RetryableError, match="S3 is away"):
        tasks._ask_s3()


def test_what_threads_have_in_hand_goes_back_and_is_waited_for(monkeypatch):
    said = []
    requests = [SimpleNamespace(reject=lambda requeue, name=name: said.append((name, requeue))) for name in "ab"]
    monkeypatch.setattr(tasks.state, "reserved_requests", requests)
    tasks._give_back_all(SimpleNamespace(close=lambda: said.append("done")))
    assert said == [("a", True), ("b", True), "done"]
