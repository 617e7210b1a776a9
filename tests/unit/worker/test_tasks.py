"""A job's images end one after another, each with exactly one outcome, and what cannot be finished comes back."""

import io
import json

import numpy as np
import pytest
from celery.exceptions import Reject
from PIL import Image as Picture

import worker.tasks
from worker import paths
from worker.errors import CheckpointError, RetryableError, WorkerFault
from worker.job import Job
from worker.ledger import Counts
from worker.store import NotFoundError
from worker.tasks import MOST_RETRY_SECONDS, RETRY_SECONDS, Resources, colorize_job, run_job


@pytest.fixture
def held(settings, store, ledger, engine, monkeypatch):
    held = Resources(settings, store, ledger)
    monkeypatch.setattr(worker.tasks, "engine_for", lambda model: engine)
    monkeypatch.setattr(worker.tasks, "resources", lambda: held)
    return held


@pytest.fixture
def make_job(held, photograph):
    """A job of so many good images in the archive; `contents` replaces the bytes of some (None: not there)."""

    def make(count=3, contents=None, sizes=None, **task):
        images = []
        for ordinal in range(count):
            key, data = f"in/{ordinal}.png", (contents or {}).get(ordinal, photograph(ordinal))
            etag = held.store.put("archive", key, data) if data is not None else '"gone"'
            size = (sizes or {}).get(ordinal, len(data or b""))
            images.append({"ordinal": ordinal, "key": key, "etag": etag, "size": size})
        task = {"source": "s3://archive/in", "destination": "s3://coloured/out", "model": "champion", **task}
        return Job.parse({"submission": "s", "task": task, "images": images})

    return make


def written(aws):
    return [item["Key"] for item in aws.list_objects_v2(Bucket="coloured").get("Contents", [])]


def record(store, ordinal):
    return json.loads(store.get("photochrom-state", paths.quarantine("s", ordinal)).data)


def no_record(store, ordinal):
    with pytest.raises(NotFoundError):
        record(store, ordinal)


def failing(store, monkeypatch, method, **errors):
    """Let calls for keys that end in a name fail: `_1=error` for in/1.png and out/1.png."""
    call = getattr(store, method)

    def instead(bucket, key, *arguments, **options):
        for name, error in errors.items():
            if key.endswith(f"/{name.removeprefix('_')}.png"):
                raise error
        return call(bucket, key, *arguments, **options)

    monkeypatch.setattr(store, method, instead)


# ---- outcomes


def test_every_image_of_a_good_job_is_written_and_counted(held, make_job, aws, photograph):
    assert run_job(make_job(), held) == ([], None)
    assert written(aws) == ["out/0.png", "out/1.png", "out/2.png"]
    assert held.ledger.counts("s") == Counts(3, 0, {})
    for ordinal in range(3):
        result = held.store.get("coloured", f"out/{ordinal}.png")
        luma = np.asarray(Picture.open(io.BytesIO(result.data)).convert("L"))
        np.testing.assert_array_equal(luma, np.asarray(Picture.open(io.BytesIO(photograph(ordinal)))))
        assert result.metadata["model"] == "stand-in"


def test_the_archive_is_left_as_it_was(held, make_job, aws):
    job = make_job(3, {1: b"no photograph"})
    before = [held.store.get("archive", image.key) for image in job.images]
    run_job(job, held)
    after = [held.store.get("archive", image.key) for image in job.images]
    assert after == before
    assert len(aws.list_objects_v2(Bucket="archive")["Contents"]) == 3


def test_one_bad_image_is_quarantined_and_the_others_are_written(held, make_job, aws):
    job = make_job(3, {1: b"no photograph"})
    assert run_job(job, held) == ([], None)
    assert written(aws) == ["out/0.png", "out/2.png"]
    assert held.ledger.counts("s") == Counts(2, 1, {"not-a-photograph": 1})
    told = record(held.store, 1)
    assert told.pop("time")
    assert told.pop("message")
    assert told == {
        "submission": "s",
        "ordinal": 1,
        "key": "in/1.png",
        "etag": job.images[1].etag,
        "reason": "not-a-photograph",
    }


@pytest.mark.parametrize(
    ("contents", "sizes", "reason"),
    [({1: None}, {}, "vanished"), ({1: b""}, {}, "empty"), ({}, {1: 10**12}, "too-large")],
)
def test_a_fault_of_the_image_is_its_reason(held, make_job, aws, contents, sizes, reason):
    assert run_job(make_job(3, contents, sizes), held) == ([], None)
    assert held.ledger.counts("s") == Counts(2, 1, {reason: 1})
    assert record(held.store, 1)["reason"] == reason
    assert written(aws) == ["out/0.png", "out/2.png"]


def test_what_was_listed_as_too_large_is_not_downloaded(held, make_job, monkeypatch):
    job = make_job(3, sizes={1: held.settings.max_bytes + 1})
    failing(held.store, monkeypatch, "get", _1=AssertionError("it was asked for"))
    run_job(job, held)
    assert record(held.store, 1)["reason"] == "too-large"


@pytest.mark.parametrize("place", [{"source": "s3://archive"}, {"destination": "s3://elsewhere/out"}])
def test_a_place_that_is_not_allowed_is_neither_read_nor_written(held, make_job, aws, monkeypatch, place):
    narrow = held.settings.model_copy(update={"read_from": ("s3://archive/in",), "write_to": ("s3://coloured/out",)})
    aws.create_bucket(Bucket="elsewhere")
    job = make_job(2, **place)
    monkeypatch.setattr(held.store, "get", lambda *_, **__: pytest.fail("it was read"))
    assert run_job(job, held._replace(settings=narrow)) == ([], None)
    assert held.ledger.counts("s") == Counts(0, 2, {"not-allowed": 2})
    assert written(aws) == []
    assert "Contents" not in aws.list_objects_v2(Bucket="elsewhere")


def test_a_destination_that_is_taken_is_not_written_over(held, make_job):
    held.store.put("coloured", "out/1.png", b"precious", metadata={"source": "another"})
    run_job(make_job(), held)
    assert held.store.get("coloured", "out/1.png").data == b"precious"
    assert held.ledger.counts("s") == Counts(2, 1, {"destination-taken": 1})


def test_two_sources_that_would_have_one_result_do_not_replace_each_other(held, make_job):
    job = make_job(1, format="tiff")
    held.store.put("archive", "in/0.jpg", held.store.get("archive", "in/0.png").data)
    second = job.images[0].model_copy(update={"key": "in/0.jpg", "ordinal": 1})
    run_job(job, held)
    first = held.store.get("coloured", "out/0.tif")
    run_job(job.only([second]), held)
    assert held.store.get("coloured", "out/0.tif") == first
    assert record(held.store, 1)["reason"] == "destination-taken"


def test_the_same_source_is_coloured_again_in_another_submission(held, make_job, engine):
    job = make_job(1)
    run_job(job, held)
    first = held.store.get("coloured", "out/0.png").data
    engine.blue = -0.1
    run_job(job.model_copy(update={"submission": "another"}), held)
    assert held.store.get("coloured", "out/0.png").data != first
    assert held.ledger.counts("another").done == 1


def test_a_job_names_its_model(held, make_job, engine, monkeypatch):
    asked = []
    monkeypatch.setattr(worker.tasks, "engine_for", lambda model: asked.append(model) or engine)
    run_job(make_job(1, model="another"), held)
    assert asked == ["another"]


# ---- delivered again


def test_an_image_with_an_outcome_is_skipped(held, make_job, aws, engine):
    held.ledger.record_done("s", 0)
    held.ledger.record_quarantined("s", 2, "damaged")
    assert run_job(make_job(), held) == ([], None)
    assert written(aws) == ["out/1.png"]
    assert held.ledger.counts("s") == Counts(2, 1, {"damaged": 1})
    assert len(engine.seen) == 1


def test_a_job_that_has_ended_needs_neither_model_nor_s3(held, make_job, monkeypatch):
    job = make_job()
    run_job(job, held)
    monkeypatch.setattr(worker.tasks, "engine_for", lambda _: pytest.fail("the model was asked for"))
    monkeypatch.setattr(held.store, "get", lambda *_, **__: pytest.fail("it was read"))
    assert run_job(job, held) == ([], None)
    assert held.ledger.counts("s").done == 3


# ---- faults


@pytest.mark.parametrize("method", ["get", "head", "put"])
def test_a_fault_that_may_pass_leaves_its_image_without_outcome_and_the_rest_goes_on(
    held, make_job, aws, monkeypatch, method
):
    job, error = make_job(), RetryableError("slow down")
    failing(held.store, monkeypatch, method, _1=error)
    assert run_job(job, held) == ([job.images[1]], error)
    assert written(aws) == ["out/0.png", "out/2.png"]
    assert held.ledger.ended("s", [0, 1, 2]) == {0, 2}
    no_record(held.store, 1)


def test_a_ledger_that_is_away_leaves_the_image_without_outcome(held, make_job, monkeypatch):
    job, error = make_job(2), RetryableError("Redis cannot be reached")

    def away(*_):
        raise error

    monkeypatch.setattr(held.ledger, "record_done", away)
    assert run_job(job, held) == (list(job.images), error)


@pytest.mark.parametrize("method", ["get", "put"])
def test_a_fault_of_the_worker_hands_back_the_rest_untouched(held, make_job, aws, monkeypatch, engine, method):
    job, error = make_job(4, {3: b"no photograph"}), WorkerFault("S3 denies access")
    failing(held.store, monkeypatch, method, _1=error)
    assert run_job(job, held) == ([*job.images[1:]], error)
    assert written(aws) == ["out/0.png"]
    assert held.ledger.counts("s") == Counts(1, 0, {})
    no_record(held.store, 3)
    assert len(engine.seen) <= 2


def test_a_passing_fault_before_one_of_the_worker_is_handed_back_as_well(held, make_job, monkeypatch):
    job = make_job(3)
    failing(held.store, monkeypatch, "get", _0=RetryableError("slow down"), _1=WorkerFault("denied"))
    unfinished, fault = run_job(job, held)
    assert unfinished == list(job.images)
    assert isinstance(fault, WorkerFault)


def test_a_quarantine_that_cannot_be_recorded_is_not_counted(held, make_job, monkeypatch):
    job = make_job(1, {0: b"no photograph"})

    def away(*_, **__):
        raise RetryableError("slow down")

    monkeypatch.setattr(held.store, "put", away)
    with pytest.raises(RetryableError):
        run_job(job, held)
    assert held.ledger.counts("s") == Counts(0, 0, {})


# ---- the task


class Again(Exception):
    """In place of Celery's own: what was asked to come back, and when."""


@pytest.fixture
def again(monkeypatch):
    asked = []

    def retry(args, countdown):
        asked.append((Job.parse(json.loads(json.dumps(args[0]))), countdown))
        return Again()

    monkeypatch.setattr(colorize_job, "retry", retry)
    return asked


def tried_before(times, job):
    colorize_job.push_request(retries=times)
    try:
        with pytest.raises(Again):
            colorize_job.run(job.message())
    finally:
        colorize_job.pop_request()


def test_a_job_that_was_finished_does_not_come_back(held, make_job, again):
    colorize_job(make_job().message())
    assert held.ledger.counts("s").done == 3
    assert again == []


def test_only_what_is_unfinished_comes_back_as_a_job_of_its_own(held, make_job, again, monkeypatch):
    job = make_job()
    failing(held.store, monkeypatch, "get", _1=RetryableError("slow down"))
    with pytest.raises(Again):
        colorize_job(job.message())
    assert again == [(job.only([job.images[1]]), RETRY_SECONDS)]


def test_a_job_comes_back_later_each_time_but_never_very_late(held, make_job, again, monkeypatch):
    job = make_job(1)
    failing(held.store, monkeypatch, "get", _0=RetryableError("slow down"))
    for times in (0, 1, 2, 5, 6, 1000):
        tried_before(times, job)
    assert [wait for _, wait in again] == [5, 10, 20, 160, MOST_RETRY_SECONDS, MOST_RETRY_SECONDS]


@pytest.mark.parametrize("error", [CheckpointError("no model"), RetryableError("Redis cannot be reached")])
def test_a_job_that_could_not_even_begin_comes_back_whole(held, make_job, again, monkeypatch, error):
    job = make_job(2)

    def broken(*_):
        raise error

    target = (worker.tasks, "engine_for") if isinstance(error, CheckpointError) else (held.ledger, "ended")
    monkeypatch.setattr(*target, broken)
    with pytest.raises(Again):
        colorize_job(job.message())
    assert again == [(job, RETRY_SECONDS)]
    assert held.ledger.counts("s") == Counts(0, 0, {})


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
    assert colorize_job.acks_late
    assert colorize_job.max_retries is None
