"""Where a result goes, and what it never replaces."""

import dataclasses
import io

import pytest

from photochrom.worker.coloring.results import put_result, result_there
from photochrom.worker.errors import ImageFault, RetryableError
from photochrom.worker.jobs.provenance import Provenance
from photochrom.worker.photo.write import Written
from photochrom.worker.s3.store import ConflictError, Location, NotFoundError

PLACE = Location("coloured", "out/1.png")
OURS = Provenance("ours", "1", 10, "stand-in", "5" * 64, "{}", "000000000000002.000000000")
EARLIER = dataclasses.replace(OURS, model_sha256="4" * 64, order="000000000000001.000000000")
LATER = dataclasses.replace(OURS, model_sha256="6" * 64, order="000000000000003.000000000")
THEIRS = dataclasses.replace(OURS, source="theirs").metadata()


def fault(call, *arguments, **options):
    with pytest.raises(ImageFault) as told:
        call(*arguments, **options)
    return told.value.reason


def put(store, data=b"new", provenance=OURS, stale=False, notes=()):
    seen = result_there(store, PLACE)
    return put_result(store, PLACE, seen, Written(io.BytesIO(data), "png", "exact", notes), provenance, stale)


def there(store):
    return store.get(*PLACE).data


@pytest.mark.parametrize("change", [{}, {"model_sha256": OURS.model_sha256, "options": '{"format":"tiff"}'}])
def test_an_earlier_result_of_the_same_source_is_replaced(store, change):
    put(store, b"old", dataclasses.replace(EARLIER, **change))
    put(store, b"new")
    assert there(store) == b"new"


def test_the_same_result_and_a_later_one_are_left_as_they_are(store):
    put(store, b"old")
    put(store, b"new")
    assert there(store) == b"old"
    put(store, b"later", LATER)
    put(store, b"new")
    assert there(store) == b"later"


@pytest.mark.parametrize("metadata", [THEIRS, {}, None])
def test_what_did_not_come_from_the_same_source_is_never_replaced(store, metadata):
    store.put(*PLACE, b"precious", metadata=metadata)
    assert fault(put, store) == "destination-taken"
    assert there(store) == b"precious"


def after_the_look(store, monkeypatch, action, times=1):
    """Somebody else does something between our look at the place and our write."""
    look, left = store.head, [times]

    def head(bucket, key):
        try:
            return look(bucket, key)
        finally:
            if left[0]:
                left[0] -= 1
                action()

    monkeypatch.setattr(store, "head", head)


def test_somebody_elses_object_that_came_since_we_looked_is_not_replaced(store, monkeypatch):
    after_the_look(store, monkeypatch, lambda: store.put(*PLACE, b"precious", metadata=THEIRS))
    assert fault(put, store) == "destination-taken"
    assert there(store) == b"precious"


def test_somebody_elses_object_that_took_the_place_of_ours_is_not_replaced(store, monkeypatch):
    put(store, b"old", EARLIER)
    after_the_look(store, monkeypatch, lambda: store.put(*PLACE, b"precious", metadata=THEIRS))
    assert fault(put, store) == "destination-taken"
    assert there(store) == b"precious"


@pytest.mark.parametrize(("work", "left"), [(EARLIER, b"new"), (OURS, b"faster"), (LATER, b"faster")])
def test_whoever_was_faster_is_replaced_only_by_later_work(store, monkeypatch, work, left):
    after_the_look(store, monkeypatch, lambda: store.put(*PLACE, b"faster", metadata=work.metadata()))
    put(store)
    assert there(store) == left


def test_a_result_that_was_taken_away_since_we_looked_is_written_again(store, monkeypatch, aws):
    put(store, b"old", EARLIER)
    after_the_look(store, monkeypatch, lambda: aws.delete_object(Bucket=PLACE.bucket, Key=PLACE.prefix))
    put(store)
    assert there(store) == b"new"


@pytest.mark.parametrize("error", [ConflictError, NotFoundError])
def test_a_place_that_is_written_all_the_time_is_tried_again_later(store, monkeypatch, error):
    tries = []

    def conflict(*_, **__):
        tries.append(1)
        raise error("somebody was faster")

    monkeypatch.setattr(store, "put", conflict)
    with pytest.raises(RetryableError):
        put(store)
    assert 1 < len(tries) < 20


def test_the_notes_are_those_on_what_lies_there_in_the_end(store):
    assert put(store, b"old", EARLIER, notes=("reencoded",)) == ("reencoded",)
    assert put(store, notes=("c2pa-invalid", "alpha-dropped")) == ("c2pa-invalid", "alpha-dropped")
    assert put(store, b"older", EARLIER) == ("c2pa-invalid", "alpha-dropped")


# ---- stale work


def stale(store, notes=()):
    return put(store, stale=True, notes=notes)


def test_stale_work_replaces_what_another_version_made(store):
    put(store, b"old", EARLIER)
    assert stale(store, notes=("reencoded",)) == ("reencoded",)
    assert there(store) == b"new"


def test_stale_work_makes_nothing_where_nothing_was(store):
    assert stale(store) == ("left-uncoloured",)
    with pytest.raises(NotFoundError):
        there(store)


OURS_BEFORE = dataclasses.replace(EARLIER, model_sha256=OURS.model_sha256)


@pytest.mark.parametrize(
    ("work", "note"),
    [
        (OURS_BEFORE, "left-current"),
        (dataclasses.replace(OURS_BEFORE, options='{"format":"png"}', source_etag="0"), "left-current"),
        (dataclasses.replace(LATER, model_sha256=OURS.model_sha256), "left-current"),
        (LATER, "left-newer"),
    ],
)
def test_stale_work_leaves_what_its_own_version_or_later_work_made_and_says_so(store, work, note):
    put(store, b"old", work, notes=("reencoded",))
    assert stale(store) == (note, "reencoded")
    assert there(store) == b"old"


@pytest.mark.parametrize("metadata", [THEIRS, {}])
def test_stale_work_never_replaces_what_did_not_come_from_the_same_source(store, metadata):
    store.put(*PLACE, b"precious", metadata=metadata)
    assert fault(stale, store) == "destination-taken"
    assert there(store) == b"precious"


def test_what_stale_work_wrote_itself_does_not_count_as_left_when_it_is_delivered_again(store):
    put(store, b"old", EARLIER)
    stale(store, ("reencoded",))
    assert stale(store) == ("reencoded",)
    same_by_another_worker = dataclasses.replace(OURS, options='{"jpeg_quality":1}')
    assert put(store, b"again", same_by_another_worker, stale=True) == ("reencoded",)
    assert there(store) == b"new"


def test_a_result_that_was_taken_away_since_we_looked_is_not_made_by_stale_work(store, monkeypatch, aws):
    put(store, b"old", EARLIER)
    after_the_look(store, monkeypatch, lambda: aws.delete_object(Bucket=PLACE.bucket, Key=PLACE.prefix))
    assert stale(store) == ("left-uncoloured",)
    with pytest.raises(NotFoundError):
        there(store)


@pytest.mark.parametrize(
    ("work", "note", "left"),
    [(OURS_BEFORE, ("left-current",), b"faster"), (LATER, ("left-newer",), b"faster"), (EARLIER, (), b"new")],
)
def test_whoever_was_faster_than_stale_work_is_replaced_only_by_another_version(store, monkeypatch, work, note, left):
    put(store, b"old", EARLIER)
    after_the_look(store, monkeypatch, lambda: store.put(*PLACE, b"faster", metadata=work.metadata()))
    assert stale(store) == note
    assert there(store) == left
