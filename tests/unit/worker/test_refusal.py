"""What S3 refuses for an unknown reason passes at first, and is one image's own where others are given out."""

import pytest

from photochrom.worker.coloring.refusal import DAY_OF_ATTEMPTS
from photochrom.worker.coloring.runner import Leftover, run_job
from photochrom.worker.coloring.tasks import MOST_RETRY_SECONDS
from photochrom.worker.errors import RefusedError, RetryableError
from photochrom.worker.ledger.ledger import Counts
from photochrom.worker.s3.store import Location

CODE = "400 KMS.DisabledException"


def refused(bucket, key):
    return RefusedError(f"S3 refuses the request: {CODE}", f"s3://{bucket}/{key}")


def run(job, held, attempt):
    return run_job(job.model_copy(update={"attempt": attempt}), held, lambda: True)


@pytest.fixture
def refusing(held, monkeypatch):
    """Lets S3 refuse what is asked for some keys of a bucket."""

    def let(bucket, is_refused):
        for method in ("head", "fetch", "get", "put", "try_to_write"):
            call = getattr(held.store, method)

            def instead(where, key, *arguments, call=call, **options):
                if where == bucket and is_refused(key):
                    raise refused(bucket, key)
                return call(where, key, *arguments, **options)

            monkeypatch.setattr(held.store, method, instead)

    return let


def only_the_second(key):
    return key.endswith("/1.png")


@pytest.mark.parametrize("bucket", ["archive", "coloured"])
def test_it_passes_at_first_and_no_worker_stops(held, make_job, refusing, bucket):
    job = make_job(3)
    refusing(bucket, only_the_second)
    left = run(job, held, held.settings.refused_attempts - 1)
    assert (left.images, type(left.fault)) == ([job.images[1]], RefusedError)
    assert isinstance(left.fault, RetryableError)
    assert held.ledger.counts("s") == Counts(2, 0, {})


@pytest.mark.parametrize("bucket", ["archive", "coloured"])
def test_what_alone_is_refused_time_and_again_is_quarantined_with_the_code(held, make_job, refusing, bucket):
    job = make_job(3)
    refusing(bucket, only_the_second)
    assert run(job, held, held.settings.refused_attempts) == Leftover()
    assert held.ledger.counts("s") == Counts(2, 1, {"denied": 1})
    [record] = held.store.list(Location("photochrom-state", "submissions/s/quarantine/"))
    assert CODE in held.store.get("photochrom-state", record.key).data.decode()


@pytest.mark.parametrize("bucket", ["archive", "coloured"])
def test_where_all_are_refused_no_image_is_to_blame(held, make_job, refusing, bucket):
    job = make_job(3)
    held.store.put("coloured", "out/written-long-ago.png", b"")
    refusing(bucket, lambda key: True)
    left = run(job, held, held.settings.refused_attempts)
    assert (left.images, type(left.fault)) == (list(job.images), RefusedError)
    assert held.ledger.counts("s") == Counts(0, 0, {})


@pytest.mark.parametrize("there", [[], ["out/written-long-ago.png"]])
def test_where_nothing_may_be_written_no_image_is_to_blame(held, make_job, monkeypatch, there):
    """What can be read there, and that nothing lies there, say nothing of what may be written."""
    job = make_job(3)
    for key in there:
        held.store.put("coloured", key, b"")
    for method in ("put", "put_parts"):
        call = getattr(held.store, method)

        def instead(bucket, key, *arguments, call=call, **options):
            if bucket == "coloured":
                raise refused(bucket, key)
            return call(bucket, key, *arguments, **options)

        monkeypatch.setattr(held.store, method, instead)
    left = run(job, held, held.settings.refused_attempts)
    assert (left.images, type(left.fault)) == (list(job.images), RefusedError)
    assert held.ledger.counts("s") == Counts(0, 0, {})


def test_whether_results_may_be_written_is_tried_without_a_trace(held, make_job, failing, aws):
    job = make_job(2)
    failing("put", _1=refused("coloured", "out/1.png"))
    assert run(job, held, held.settings.refused_attempts) == Leftover()
    assert held.ledger.counts("s") == Counts(1, 1, {"denied": 1})
    assert [item.key for item in held.store.list(Location("coloured", ""))] == ["out/0.png"]
    assert not aws.list_multipart_uploads(Bucket="coloured").get("Uploads")


def test_a_refusal_of_another_bucket_is_no_images_own(held, make_job, failing):
    job = make_job(2)
    failing("fetch", _1=refused("photochrom-state", "models/a.safetensors"))
    left = run(job, held, held.settings.refused_attempts)
    assert (left.images, type(left.fault)) == ([job.images[1]], RefusedError)


def test_after_a_day_it_is_quarantined_in_any_case(held, make_job, refusing):
    job = make_job(2)
    refusing("archive", lambda key: True)
    assert run(job, held, DAY_OF_ATTEMPTS) == Leftover()
    assert held.ledger.counts("s") == Counts(0, 2, {"denied": 2})
    assert DAY_OF_ATTEMPTS * MOST_RETRY_SECONDS == 24 * 3600


def test_a_result_that_may_not_be_written_for_an_unknown_reason_passes_too(held, make_job, failing):
    job = make_job(2)
    failing("put", _1=refused("coloured", "out/1.png"))
    left = run(job, held, 0)
    assert (left.images, type(left.fault)) == ([job.images[1]], RefusedError)


@pytest.mark.parametrize("bucket", ["archive", "coloured"])
def test_a_name_with_control_characters_ends_alone_and_at_once(held, make_job, refusing, bucket):
    held.store.put("archive", "in/\x01.png", b"")
    job = make_job(1)
    odd = job.images[0].model_copy(update={"key": "in/\x01.png"})
    refusing(bucket, lambda key: "\x01" in key)
    assert run(job.only([odd], sent=0), held, 0) == Leftover()
    assert held.ledger.counts("s") == Counts(0, 1, {"denied": 1})


def test_unless_s3_refuses_its_neighbours_too(held, make_job, refusing, monkeypatch):
    job = make_job(1)
    odd = job.images[0].model_copy(update={"key": "in/\x01.png"})
    refusing("coloured", lambda key: True)

    def no_listing(location, after=""):
        raise refused(*location)

    monkeypatch.setattr(held.store, "list", no_listing)
    left = run(job.only([odd], sent=0), held, 0)
    assert (left.images, type(left.fault)) == ([odd], RefusedError)
