"""A job's images end one after another, each with exactly one outcome, and what cannot be finished comes back."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Picture

from photochrom.worker.coloring import runner
from photochrom.worker.coloring.runner import COMPANY, TRIES, Leftover
from photochrom.worker.coloring.runner import run_job as run_with
from photochrom.worker.errors import ImageFault, OutOfMemoryFault, RetryableError, UsageError, WorkerFault
from photochrom.worker.ledger.ledger import Counts
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError, Location


def run_job(job, held, may_go_on=lambda: True, **options):
    return run_with(job, held, may_go_on, **options)


def written(aws):
    return [item["Key"] for item in aws.list_objects_v2(Bucket="coloured").get("Contents", [])]


def record(store, ordinal):
    for listed in store.list(Location("photochrom-state", state_keys.quarantines("s"))):
        if state_keys.parse_quarantine(listed.key).ordinal == ordinal:
            return json.loads(store.get("photochrom-state", listed.key).data)
    return None


def no_record(store, ordinal):
    assert record(store, ordinal) is None


# ---- outcomes


def test_every_image_of_a_good_job_is_written_and_counted(held, make_job, aws, photograph):
    assert run_job(make_job(), held) == Leftover()
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


def test_what_is_to_be_known_of_a_result_is_noted_also_when_it_was_there_already(held, make_job):
    toned = io.BytesIO()
    Picture.new("RGB", (40, 30), (180, 120, 60)).save(toned, "JPEG")
    job = make_job(2, {1: toned.getvalue()})
    assert run_job(job, held) == Leftover()
    assert held.ledger.notes("s") == {1: "reencoded"}
    again = job.model_copy(update={"submission": "again"})
    held.ledger.activate("again")
    assert run_job(again, held) == Leftover()
    assert held.ledger.notes("again") == {1: "reencoded"}


def test_what_becomes_of_an_image_is_logged_with_the_version_that_served(held, make_job, caplog, engine):
    caplog.set_level("INFO")
    run_job(make_job(3, {1: b"no photograph", 2: None}), held)
    ends = [record for record in caplog.records if record.action in ("image_done", "image_quarantined")]
    assert [(record.ordinal, record.version) for record in ends] == [(each, engine.card.sha256) for each in range(3)]


def test_one_bad_image_is_quarantined_and_the_others_are_written(held, make_job, aws):
    job = make_job(3, {1: b"no photograph"})
    assert run_job(job, held) == Leftover()
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
        "size": 13,
        "error": "ImageFault",
        "reason": "not-a-photograph",
    }


@pytest.mark.parametrize(
    ("contents", "sizes", "reason"),
    [({1: None}, {}, "vanished"), ({1: b""}, {}, "empty"), ({}, {1: 10**12}, "too-large")],
)
def test_a_fault_of_the_image_is_its_reason(held, make_job, aws, contents, sizes, reason):
    assert run_job(make_job(3, contents, sizes), held) == Leftover()
    assert held.ledger.counts("s") == Counts(2, 1, {reason: 1})
    assert record(held.store, 1)["reason"] == reason
    assert written(aws) == ["out/0.png", "out/2.png"]


def test_what_was_listed_as_too_large_is_not_downloaded(held, make_job, failing):
    job = make_job(3, sizes={1: held.settings.max_bytes + 1})
    failing("fetch", _1=AssertionError("it was asked for"))
    run_job(job, held)
    assert record(held.store, 1)["reason"] == "too-large"


@pytest.mark.parametrize("place", [{"source": "s3://archive"}, {"destination": "s3://elsewhere/out"}])
def test_a_place_that_is_not_allowed_is_neither_read_nor_written(held, make_job, aws, monkeypatch, place):
    narrow = held.settings.model_copy(update={"read_from": ("s3://archive/in",), "write_to": ("s3://coloured/out",)})
    aws.create_bucket(Bucket="elsewhere")
    job = make_job(2, **place)
    monkeypatch.setattr(held.store, "fetch", lambda *_, **__: pytest.fail("it was read"))
    assert run_job(job, held._replace(settings=narrow)) == Leftover()
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
    run_job(job.only([second], sent=0), held)
    assert held.store.get("coloured", "out/0.tif") == first
    assert record(held.store, 1)["reason"] == "destination-taken"


def test_the_same_source_is_coloured_again_in_another_submission(held, make_job, engine):
    job = make_job(1)
    run_job(job, held)
    first = held.store.get("coloured", "out/0.png").data
    engine.blue, engine.card = -0.1, SimpleNamespace(name="better", sha256="6" * 64)
    later = job.task.model_copy(update={"epoch": job.task.epoch + 1})
    run_job(job.model_copy(update={"submission": "another", "task": later}), held)
    assert held.store.get("coloured", "out/0.png").data != first
    assert held.ledger.counts("another").done == 1


def test_a_job_names_its_model(held, make_job, engine):
    asked = []
    run_job(make_job(1, model="another"), held, engines=lambda model: asked.append(model) or engine)
    assert set(asked) == {"another"}


# ---- delivered again


def test_a_model_that_is_gone_quarantines_the_images_and_keeps_the_worker(held, make_job):
    def gone(model):
        raise ImageFault("model-gone", f"there is no version {model}")

    assert run_job(make_job(2, model="a" * 64), held, engines=gone) == Leftover()
    assert held.ledger.counts("s").reasons == {"model-gone": 2}


def test_an_image_with_an_outcome_is_skipped(held, make_job, aws, engine):
    held.ledger.record_done("s", 0)
    held.ledger.record_quarantined("s", 2, "damaged")
    assert run_job(make_job(), held) == Leftover()
    assert written(aws) == ["out/1.png"]
    assert held.ledger.counts("s") == Counts(2, 1, {"damaged": 1})
    assert len(engine.seen) == 1


def test_a_job_that_has_ended_needs_neither_model_nor_s3(held, make_job, monkeypatch):
    job = make_job()
    run_job(job, held)
    monkeypatch.setattr(held.store, "fetch", lambda *_, **__: pytest.fail("it was read"))
    engines = lambda _: pytest.fail("the model was asked for")  # noqa: E731
    assert run_job(job, held, engines=engines) == Leftover()
    assert held.ledger.counts("s").done == 3


# ---- faults


@pytest.mark.parametrize("method", ["fetch", "head", "put"])
def test_a_fault_that_may_pass_leaves_its_image_without_outcome_and_the_rest_goes_on(
    held, make_job, aws, failing, method
):
    job, error = make_job(), RetryableError("slow down")
    failing(method, _1=error)
    assert run_job(job, held) == Leftover([job.images[1]], error)
    assert written(aws) == ["out/0.png", "out/2.png"]
    assert held.ledger.ended("s", [0, 1, 2]) == {0, 2}
    no_record(held.store, 1)


def test_a_ledger_that_is_away_leaves_the_image_without_outcome(held, make_job, monkeypatch):
    job, error = make_job(2), RetryableError("Redis cannot be reached")

    def away(*_):
        raise error

    monkeypatch.setattr(held.ledger, "record_done", away)
    assert run_job(job, held) == Leftover(list(job.images), error)


@pytest.mark.parametrize("method", ["fetch", "put"])
def test_a_fault_of_the_worker_hands_back_the_rest_untouched(held, make_job, aws, failing, engine, method):
    job, error = make_job(4, {3: b"no photograph"}), WorkerFault("S3 denies access")
    failing(method, _1=error)
    assert run_job(job, held) == Leftover([*job.images[1:]], error)
    assert written(aws) == ["out/0.png"]
    assert held.ledger.counts("s") == Counts(1, 0, {})
    no_record(held.store, 3)
    assert len(engine.seen) <= 3  # the one after it was being coloured while it was stored


def test_a_passing_fault_before_one_of_the_worker_is_handed_back_as_well(held, make_job, failing):
    job = make_job(3)
    failing("fetch", _0=RetryableError("slow down"), _1=WorkerFault("denied"))
    left = run_job(job, held)
    assert left.images == list(job.images)
    assert isinstance(left.fault, WorkerFault)


def test_a_quarantine_that_cannot_be_recorded_is_not_counted(held, make_job, monkeypatch):
    job = make_job(1, {0: b"no photograph"})

    def away(*_, **__):
        raise RetryableError("slow down")

    monkeypatch.setattr(held.store, "put", away)
    left = run_job(job, held)
    assert (left.images, type(left.fault)) == (list(job.images), RetryableError)
    assert held.ledger.counts("s") == Counts(0, 0, {})
    assert held.ledger.starts("s", [0]) == {0: 0}


# ---- work that is there already


def test_the_same_work_is_not_done_again_and_its_source_not_even_downloaded(held, make_job, engine, failing):
    job = make_job(2)
    run_job(job, held)
    seen = len(engine.seen)
    failing("fetch", _0=AssertionError("it was read"), _1=AssertionError("it was read"))
    failing("put", _0=AssertionError("it was written"), _1=AssertionError("it was written"))
    assert run_job(job.model_copy(update={"submission": "again"}), held) == Leftover()
    assert held.ledger.counts("again") == Counts(2, 0, {})
    assert len(engine.seen) == seen


@pytest.mark.parametrize(("epoch", "replaced"), [(7, False), (8, True), (9, True)])
def test_later_work_replaces_earlier_and_never_the_other_way_round(held, make_job, engine, epoch, replaced):
    job = make_job(1, epoch=8)
    run_job(job, held)
    first = held.store.get("coloured", "out/0.png")
    engine.blue, engine.card = -0.1, SimpleNamespace(name="other", sha256="6" * 64)
    task = job.task.model_copy(update={"epoch": epoch})
    assert run_job(job.model_copy(update={"submission": "other", "task": task}), held) == Leftover()
    assert (held.store.get("coloured", "out/0.png") != first) is replaced
    assert held.ledger.counts("other").done == 1


@pytest.mark.parametrize(
    ("on_change", "counts"), [("quarantine", Counts(1, 1, {"changed": 1})), ("take", Counts(2, 0, {}))]
)
def test_a_source_that_changed_since_it_was_listed_is_quarantined_or_taken(
    held, make_job, photograph, on_change, counts
):
    job = make_job(2, on_change=on_change)
    etag = held.store.put("archive", "in/1.png", photograph(77))
    assert run_job(job, held) == Leftover()
    assert held.ledger.counts("s") == counts
    if on_change == "take":
        metadata = held.store.head("coloured", "out/1.png").metadata
        assert metadata["source-etag"] == etag.strip('"')
        assert metadata["source-size"] == str(len(photograph(77)))
    else:
        assert etag in record(held.store, 1)["message"]


def test_a_source_whose_etag_is_not_known_is_taken_as_it_is(held, make_job):
    job = make_job(1)
    job = job.only([job.images[0].model_copy(update={"etag": "", "size": 0})], sent=0)
    assert run_job(job, held) == Leftover()
    first = held.store.head("coloured", "out/0.png")
    assert run_job(job.model_copy(update={"submission": "again"}), held) == Leftover()
    assert held.store.head("coloured", "out/0.png") == first


# ---- stale work


BETTER = SimpleNamespace(name="better", sha256="6" * 64)


def stale(job, epoch=9, **task):
    """Another submission of the same images, for what another version of the model made."""
    task = job.task.model_copy(update={"stale": True, "epoch": epoch, **task})
    return job.model_copy(update={"submission": "stale", "task": task})


def results(held, count):
    return [held.store.get("coloured", f"out/{ordinal}.png") for ordinal in range(count)]


def test_only_what_another_version_made_is_coloured_again_and_the_rest_is_noted(held, make_job, engine, aws):
    job = make_job(4, epoch=8)
    run_job(job.only([*job.images[:2]], sent=0), held)
    engine.card, engine.blue = BETTER, -0.1
    later = job.task.model_copy(update={"epoch": 8, "format": "png"})
    run_job(job.only([job.images[2]], sent=0).model_copy(update={"task": later}), held)
    held.ledger.activate("stale")
    before, seen = results(held, 3), len(engine.seen)
    assert run_job(stale(job), held) == Leftover()
    after = results(held, 3)
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]
    assert {result.metadata["model-sha256"] for result in after} == {BETTER.sha256}
    assert written(aws) == ["out/0.png", "out/1.png", "out/2.png"]
    assert held.ledger.counts("stale") == Counts(4, 0, {})
    assert held.ledger.notes("stale") == {2: "left-current", 3: "left-uncoloured"}
    assert len(engine.seen) == seen + 2


def test_what_stale_work_leaves_is_not_even_downloaded(held, make_job, engine, failing):
    job = make_job(2, epoch=8)
    run_job(job.only([job.images[0]], sent=0), held)
    seen = len(engine.seen)
    failing("fetch", _0=AssertionError("it was read"), _1=AssertionError("it was read"))
    assert run_job(stale(job), held) == Leftover()
    assert held.ledger.notes("stale") == {0: "left-current", 1: "left-uncoloured"}
    assert len(engine.seen) == seen


def test_stale_work_takes_what_is_not_from_its_source_for_taken(held, make_job):
    held.store.put("coloured", "out/0.png", b"precious")
    run_job(stale(make_job(1)), held)
    assert held.store.get("coloured", "out/0.png").data == b"precious"
    assert held.ledger.counts("stale") == Counts(0, 1, {"destination-taken": 1})


def test_a_result_that_goes_while_stale_work_colours_it_again_is_left_away(held, make_job, engine, aws):
    job, predict = make_job(1, epoch=8), engine.predict
    run_job(job, held)

    def taken_away(gray, vividness=None):
        aws.delete_object(Bucket="coloured", Key="out/0.png")
        return predict(gray)

    engine.card, engine.predict = BETTER, taken_away
    assert run_job(stale(job), held) == Leftover()
    assert written(aws) == []
    assert held.ledger.notes("stale") == {0: "left-uncoloured"}


def test_after_a_rollback_stale_work_does_again_what_the_bad_model_made(held, make_job, engine):
    job, good, blue = make_job(3, epoch=8), engine.card, engine.blue
    run_job(job.only([job.images[0]], sent=0), held)
    engine.card, engine.blue, engine.promotion = BETTER, -0.1, 1
    run_job(job.only([*job.images[1:]], sent=0), held)
    kept = results(held, 1)
    engine.card, engine.blue, engine.promotion = good, blue, 2
    assert run_job(stale(job, promotion=2), held) == Leftover()
    assert {result.metadata["model-sha256"] for result in results(held, 3)} == {good.sha256}
    assert results(held, 1) == kept
    assert held.ledger.notes("stale") == {0: "left-current"}


def test_a_worker_that_still_serves_the_champion_before_leaves_stale_work_for_later(held, make_job, engine):
    """Else it would take what it made itself for what the new champion made."""
    job = make_job(1, epoch=8)
    run_job(job, held)
    engine.promotion = 2
    left = run_job(stale(job, promotion=3), held)
    assert (left.images, type(left.fault)) == (list(job.images), RetryableError)
    assert held.ledger.counts("stale") == Counts(0, 0, {})
    assert held.ledger.starts("stale", [0]) == {0: 0}
    engine.promotion = 3
    assert run_job(stale(job, promotion=3), held) == Leftover()
    assert held.ledger.counts("stale") == Counts(1, 0, {})


def test_a_worker_that_takes_over_the_champion_meanwhile_goes_on_with_stale_work(held, make_job, engine):
    job, asked = make_job(1, epoch=8), []
    run_job(job, held)

    def engines(model):
        asked.append(model)
        if len(asked) > 2:
            engine.card, engine.promotion = BETTER, 3
        return engine

    assert run_job(stale(job, promotion=3), held, engines=engines) == Leftover()
    assert results(held, 1)[0].metadata["model-sha256"] == BETTER.sha256


# ---- starts


def test_a_start_has_no_trace_once_the_image_has_its_outcome(held, make_job):
    run_job(make_job(2, {1: b"no photograph"}), held)
    assert held.ledger.starts("s", [0, 1]) == {0: 0, 1: 0}


@pytest.mark.parametrize(
    ("error", "counted"),
    [(RetryableError("slow down"), 0), (WorkerFault("denied"), 0), (OutOfMemoryFault("memory"), 1)],
)
def test_a_start_is_given_back_unless_the_image_may_be_to_blame(held, make_job, engine, monkeypatch, error, counted):
    def predict(*_):
        raise error

    monkeypatch.setattr(engine, "predict", predict)
    run_job(make_job(1), held)
    assert held.ledger.starts("s", [0]) == {0: counted}


@pytest.mark.parametrize("method", ["head", "fetch", "put"])
def test_a_start_lasts_only_while_the_image_is_decoded_computed_and_encoded(
    held, make_job, engine, monkeypatch, method
):
    """So that a worker that dies while S3 is asked leaves none."""
    call, predict, seen, computing = getattr(held.store, method), engine.predict, set(), []

    def instead(bucket, key, *arguments, **options):
        seen.update(held.ledger.starts("s", [0]).values())
        return call(bucket, key, *arguments, **options)

    monkeypatch.setattr(held.store, method, instead)
    monkeypatch.setattr(
        engine, "predict", lambda gray, _=None: computing.append(held.ledger.starts("s", [0])) or predict(gray)
    )
    assert run_job(make_job(1), held) == Leftover()
    assert (seen, computing) == ({0}, [{0: 1}])


def killed(held, ordinal, times=1):
    for _ in range(times):
        held.ledger.start("s", ordinal)


def test_an_image_that_was_started_too_often_is_poison_and_not_decoded(held, make_job, engine):
    killed(held, 0, held.settings.max_starts)
    assert run_job(make_job(1), held) == Leftover()
    assert held.ledger.counts("s") == Counts(0, 1, {"poison": 1})
    assert f"started {held.settings.max_starts} times" in record(held.store, 0)["message"]
    assert engine.seen == []


def test_an_image_has_its_last_start_too(held, make_job):
    killed(held, 0, held.settings.max_starts - 1)
    run_job(make_job(1), held)
    assert held.ledger.counts("s") == Counts(1, 0, {})


def test_a_job_in_which_an_image_was_started_comes_back_singly_and_nothing_is_begun(held, make_job, engine):
    killed(held, 1)
    held.ledger.record_done("s", 0)
    job = make_job(3)
    assert run_job(job, held) == Leftover([*job.images[1:]], None, singly=True)
    assert engine.seen == []
    assert held.ledger.starts("s", [1, 2]) == {1: 1, 2: 0}


# ---- stopping between two images


def test_nothing_of_a_cancelled_submission_is_started_and_nothing_comes_back(held, make_job, aws, engine):
    job, predict = make_job(3), engine.predict

    def cancel_meanwhile(gray, vividness=None):
        held.ledger.cancel("s")
        return predict(gray, vividness)

    engine.predict = cancel_meanwhile
    assert run_job(job, held) == Leftover()
    assert written(aws) == ["out/0.png"]
    assert held.ledger.counts("s") == Counts(1, 0, {})


def test_a_worker_that_is_to_stop_finishes_the_image_in_hand_and_gives_back_the_rest(held, make_job, aws, engine):
    job = make_job(4)
    assert run_job(job, held, lambda: len(engine.seen) < 2) == Leftover([*job.images[2:]])
    assert written(aws) == ["out/0.png", "out/1.png"]
    assert held.ledger.starts("s", [2, 3]) == {2: 0, 3: 0}


def test_a_worker_that_is_to_stop_tries_nothing_again(held, make_job, failing):
    job, error = make_job(2), RetryableError("slow down")
    failed = failing("fetch", _0=error)
    assert run_job(job, held, lambda: not failed).images == list(job.images)
    assert failed == ["in/0.png"]
    assert held.ledger.starts("s", [0, 1]) == {0: 0, 1: 0}


def watched(held, monkeypatch, look):
    """Let `look` see every key that is fetched, before it is."""
    fetch = held.store.fetch
    monkeypatch.setattr(held.store, "fetch", lambda bucket, key, *rest: look(key) or fetch(bucket, key, *rest))


def test_a_worker_that_is_to_stop_fetches_nothing_ahead(held, make_job, monkeypatch):
    job, fetched = make_job(3), []
    watched(held, monkeypatch, fetched.append)
    left = run_job(job, held, lambda: not fetched)
    assert fetched == ["in/0.png"]
    assert left.images[-2:] == [*job.images[1:]]


def test_a_worker_that_is_to_stop_does_not_wait_for_what_is_fetched_ahead(held, make_job, monkeypatch, engine):
    """The download of the next image hangs."""
    job, begun, go_on, ended = make_job(2), Event(), Event(), Event()
    predict = engine.predict
    monkeypatch.setattr(engine, "predict", lambda gray, _=None: begun.wait(30) and predict(gray))

    def hang(key):
        if key == "in/1.png":
            begun.set()
            go_on.wait(30)
            ended.set()

    watched(held, monkeypatch, hang)
    left = run_job(job, held, lambda: not begun.is_set())
    waited = ended.is_set()
    go_on.set()
    assert ended.wait(30)
    assert not waited
    assert left == Leftover([job.images[1]])


def test_a_fault_that_passes_at_once_is_not_seen_from_outside(held, make_job, failing):
    job = make_job(2)
    failed = failing("fetch", TRIES - 1, _1=RetryableError("slow down"))
    assert run_job(job, held) == Leftover()
    assert len(failed) == TRIES - 1
    assert held.ledger.counts("s").done == 2


def test_a_fault_that_stays_is_tried_some_times_only(held, make_job, failing):
    failed = failing("fetch", _0=RetryableError("slow down"))
    run_job(make_job(1), held)
    assert len(failed) == TRIES


# ---- storing, beside the colouring of the next image

PATIENCE = 30.0
"""Seconds; nothing waits so long unless it is broken."""

A_MOMENT = 0.2
"""Seconds in which what must not happen would have happened."""


@pytest.fixture
def put(held, monkeypatch):
    """Lets a function see each result's key before it is written: `put(look)`; gives the keys that were written."""
    original = held.store.put

    def let(look):
        written = []

        def instead(bucket, key, *arguments, **options):
            if bucket != "coloured":
                return original(bucket, key, *arguments, **options)
            look(key)
            etag = original(bucket, key, *arguments, **options)
            written.append(key)
            return etag

        monkeypatch.setattr(held.store, "put", instead)
        return written

    return let


@pytest.fixture
def predicting(engine, monkeypatch):
    """Lets a function see how many pictures were predicted before, each time."""
    predict = engine.predict

    def let(look):
        monkeypatch.setattr(engine, "predict", lambda gray, _=None: (look(len(engine.seen)), predict(gray))[1])

    return let


def test_the_next_image_is_coloured_while_a_result_is_stored(held, make_job, engine, put, predicting):
    next_in_hand, waited = Event(), []
    predicting(lambda before: next_in_hand.set() if before == 1 else None)
    put(lambda key: waited.append(next_in_hand.wait(PATIENCE)) if key == "out/0.png" else None)
    assert run_job(make_job(2), held) == Leftover()
    assert waited == [True]


def test_no_more_than_one_result_waits(held, make_job, put, predicting):
    at_each = []
    written = put(lambda _: None)
    predicting(lambda before: at_each.append(before - len(written)))
    assert run_job(make_job(6), held) == Leftover()
    assert max(at_each) <= 1


def test_a_large_result_is_stored_before_the_next_image_is_begun(held, make_job, monkeypatch, put, predicting):
    monkeypatch.setattr(runner, "MOST_BEHIND", 10)
    at_each = []
    written = put(lambda _: None)
    predicting(lambda before: at_each.append(before - len(written)))
    assert run_job(make_job(4), held) == Leftover()
    assert at_each == [0, 0, 0, 0]


def test_an_image_is_done_only_once_its_result_is_there(held, make_job, put):
    ended = []
    put(lambda key: ended.append(held.ledger.ended("s", [int(key[4])])))
    run_job(make_job(3), held)
    assert ended == [set(), set(), set()]
    assert held.ledger.counts("s").done == 3


def test_what_is_being_stored_is_waited_for_when_there_is_no_time_left(held, make_job, engine, put):
    job, over = make_job(4), Event()
    written = put(lambda key: over.set() if key == "out/1.png" else None)
    left = run_job(job, held, lambda: not over.is_set())
    assert set(written) >= {"out/0.png", "out/1.png"}
    assert left.images == list(job.images[len(written) :])
    assert held.ledger.ended("s", range(4)) == set(range(len(written)))
    assert held.ledger.starts("s", range(4)) == dict.fromkeys(range(4), 0)


def test_what_cannot_be_stored_is_not_coloured_again_to_be_stored(held, make_job, engine, failing):
    job = make_job(3)
    failed = failing("put", TRIES - 1, _1=RetryableError("slow down"))
    assert run_job(job, held) == Leftover()
    assert len(failed) == TRIES - 1
    assert len(engine.seen) == 3


def test_a_worker_that_cannot_write_says_nothing_of_the_next_image_either(held, make_job, failing):
    """The next one was read meanwhile, and seems to be no photograph; a worker in need may be wrong."""
    job, error = make_job(2, {1: b"no photograph"}), WorkerFault("the disk is full")
    failing("put", _0=error)
    assert run_job(job, held) == Leftover(list(job.images), error)
    assert held.ledger.counts("s") == Counts(0, 0, {})
    assert held.ledger.starts("s", [0, 1]) == {0: 0, 1: 0}


def test_a_passing_fault_does_not_hide_that_this_worker_cannot_work(held, make_job, failing):
    job, error = make_job(2), WorkerFault("S3 denies access")
    failing("put", _0=error)
    failing("fetch", _1=RetryableError("slow down"))
    assert run_job(job, held) == Leftover(list(job.images), error)


@pytest.mark.parametrize("method", ["head", "fetch", "put"])
def test_what_nobody_foresaw_while_s3_is_asked_passes_and_is_said(held, make_job, failing, caplog, method):
    job = make_job(3)
    failing(method, _1=RuntimeError("refreshed, but still expired"))
    left = run_job(job, held)
    assert (left.images, isinstance(left.fault, RetryableError)) == ([job.images[1]], True)
    assert held.ledger.ended("s", range(3)) == {0, 2}
    assert held.ledger.starts("s", range(3)) == {0: 0, 1: 0, 2: 0}
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]


@pytest.mark.parametrize(
    ("method", "error"),
    [("head", ConflictError("409")), ("fetch", ConflictError("412")), ("put", UsageError("no valid S3 name"))],
)
def test_so_does_an_answer_that_fits_nothing_that_was_asked(held, make_job, failing, method, error):
    job = make_job(3)
    failing(method, _1=error)
    left = run_job(job, held)
    assert (left.images, isinstance(left.fault, RetryableError)) == ([job.images[1]], True)
    assert held.ledger.ended("s", range(3)) == {0, 2}
    assert held.ledger.starts("s", range(3)) == {0: 0, 1: 0, 2: 0}


def test_what_nobody_foresaw_while_an_image_is_computed_counts_as_a_start(held, make_job, engine, monkeypatch):
    def predict(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(engine, "predict", predict)
    with pytest.raises(ZeroDivisionError):
        run_job(make_job(1), held)
    assert held.ledger.starts("s", [0]) == {0: 1}


# ---- beside other jobs of the process


def test_an_image_that_may_have_killed_a_worker_is_worked_on_alone(held, make_job, predicting, monkeypatch):
    job, others, fetched, predicted, beside = make_job(2), ThreadPoolExecutor(1), Event(), Event(), []
    killed(held, 0)
    watched(held, monkeypatch, lambda key: fetched.set() if key == "in/1.png" else None)

    def look(before):
        if before:
            predicted.set()
            return
        other = others.submit(run_job, job.only([job.images[1]], sent=0), held)
        assert fetched.wait(PATIENCE)
        beside.append((other, predicted.wait(A_MOMENT), held.ledger.starts("s", [1])))

    predicting(look)
    assert run_job(job.only([job.images[0]], sent=0), held) == Leftover()
    [(other, was_predicted, starts)] = beside
    assert (was_predicted, starts) == (False, {1: 0})
    assert other.result(PATIENCE) == Leftover()
    assert held.ledger.counts("s") == Counts(2, 0, {})


@pytest.mark.parametrize(
    "error", [None, RetryableError("slow down"), WorkerFault("denied"), ZeroDivisionError("a bug")]
)
@pytest.mark.parametrize("method", ["fetch", "put"])
def test_whatever_becomes_of_a_job_others_do_not_wait_for_it_for_ever(held, make_job, failing, method, error):
    job = make_job(3)
    if error:
        failing(method, _1=error)
    with suppress(ZeroDivisionError):
        run_job(job, held)
    with ThreadPoolExecutor(1) as pool:

        def alone():
            with COMPANY.alone():
                return True

        assert pool.submit(alone).result(PATIENCE)
