"""How far along a submission is."""

import json

import pytest

from photochrom.producer.records.progress import Progress, progress, quarantined
from photochrom.worker.errors import ImageFault, UsageError
from photochrom.worker.jobs.messages import Image
from photochrom.worker.jobs.quarantine import record_quarantined


def at(**changes):
    plain = {"submission": "s", "listed": True, "total": 1000, "done": 0, "quarantined": 0, "seconds": 10.0}
    return Progress(**{**plain, **changes})


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (at(listed=False, total=0, images_per_second=0.0), "listing: 0 of 0+ done, 0.0 images/s"),
        (at(listed=False, total=2000, done=500, images_per_second=50), "listing: 500 of 2,000+ done, 50.0 images/s"),
        (
            at(done=200, quarantined=50, images_per_second=25.0),
            "running: 200 of 1,000 done, 50 quarantined, 25.0 images/s, 0:00:30 left",
        ),
        (at(images_per_second=0.0), "running: 0 of 1,000 done, 0.0 images/s"),
        (at(done=200), "running: 200 of 1,000 done"),
        (at(done=1000), "done: 1,000 of 1,000 done"),
        (at(done=998, quarantined=2), "done: 998 of 1,000 done, 2 quarantined"),
        (at(done=3, cancelled=True), "cancelled: 3 of 1,000 done"),
        (at(total=0), "done: no photographs were found; is the source right?"),
        (at(total=0, cancelled=True), "cancelled: no photographs were found; is the source right?"),
        (at(listed=False, total=0, cancelled=True), "cancelled: 0 of 0+ done"),
    ],
)
def test_the_line_for_people(now, line):
    assert now.line() == line
    assert now.state == line.partition(":")[0]


def test_what_is_listed_still_has_not_ended_even_if_nothing_is_in_flight():
    assert not at(listed=False, total=5, done=5).ended
    assert at(total=5, done=4, quarantined=1).ended


def test_in_flight_is_what_was_sent_and_has_no_outcome():
    assert at(total=10, done=4, quarantined=1).in_flight == 5


def test_the_summary_is_plain_json():
    summary = json.loads(json.dumps(at(done=999, quarantined=1, reasons={"empty": 1}).summary()))
    assert summary["state"] == "done"
    assert (summary["total"], summary["done"], summary["reasons"]) == (1000, 999, {"empty": 1})


def test_there_is_no_progress_of_an_unknown_submission(settings, aws):
    with pytest.raises(UsageError, match="no submission 'vienna'"):
        progress("vienna", settings)


def test_a_submission_that_control_has_not_seen_yet_is_being_listed(settings, submitted):
    now = progress(submitted().name, settings)
    assert (now.state, now.total, now.in_flight) == ("listing", 0, 0)
    assert 0 <= now.seconds < 3600


def test_quarantined_gives_the_records_in_the_order_of_the_source(settings, store, ledger):
    for ordinal, reason in [(10, "empty"), (9, "damaged")]:
        image = Image(ordinal=ordinal, key=f"in/{ordinal}.jpg", etag="e", size=1)
        record_quarantined("s", image, ImageFault(reason, f"it is {reason}"), store, ledger, settings)
    image = Image(ordinal=1, key="in/1.jpg", etag="e", size=1)
    record_quarantined("another", image, ImageFault("empty", "it is empty"), store, ledger, settings)
    assert [one.ordinal for one in quarantined("s", settings, "empty")] == [10]
    found = quarantined("s", settings)
    assert [(one.ordinal, one.key, one.reason, one.message) for one in found] == [
        (9, "in/9.jpg", "damaged", "it is damaged"),
        (10, "in/10.jpg", "empty", "it is empty"),
    ]
    assert ledger.counts("s").reasons == {"empty": 1, "damaged": 1}
