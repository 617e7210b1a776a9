"""The completion report: one line an image, with what became of it."""

import json

import pytest

from photochrom.producer.client.report import rows, write_report
from photochrom.producer.control.advance import close_pages
from photochrom.worker.errors import UsageError
from photochrom.worker.s3.store import Location
from tests.ticks import advance


def test_the_report_has_one_line_an_image_with_what_became_of_it(held, half):
    places = write_report(half.name, held)
    assert places == [f"s3://photochrom-state/submissions/{half.name}/report.{kind}" for kind in ("csv", "jsonl")]
    csv, lines = (held.store.get(*Location.parse(place)).data.decode() for place in places)
    etag = held.store.head("archive", "in/000.jpg").etag.strip('"')
    outcomes = ["done,,", "quarantined,empty,", "done,,", "pending,,", "quarantined,damaged,", "pending,,"]
    assert csv.splitlines() == [
        "ordinal,key,outcome,reason,notes,etag,size",
        *(f"{number},in/{number:03d}.jpg,{outcome},{etag},2" for number, outcome in enumerate(outcomes)),
    ]
    told = [json.loads(line) for line in lines.splitlines()]
    assert told[4] == {
        "ordinal": 4,
        "key": "in/004.jpg",
        "outcome": "quarantined",
        "reason": "damaged",
        "notes": "",
        "etag": etag,
        "size": 2,
    }
    assert [f"{one['outcome']},{one['reason']},{one['notes']}" for one in told] == outcomes


def noted(name, held):
    (place,) = (place for place in write_report(name, held) if place.endswith("jsonl"))
    lines = held.store.get(*Location.parse(place)).data.decode().splitlines()
    return {one["ordinal"]: one["notes"] for one in map(json.loads, lines) if one["notes"]}


def test_what_is_to_be_known_of_a_result_stands_in_the_report_before_and_after_its_page_is_finished(
    held, sent, fill, submitted
):
    fill(2)
    advance(submission := submitted(), held)
    held.ledger.record_done(submission.name, 1, ["reencoded", "c2pa-invalid"])
    assert noted(submission.name, held) == {1: "reencoded c2pa-invalid"}
    held.ledger.record_done(submission.name, 0)
    advance(submission, held)
    assert held.ledger.notes(submission.name) == {}
    assert noted(submission.name, held) == {1: "reencoded c2pa-invalid"}


def test_the_report_tells_what_stale_work_did_again_from_what_it_left(held, sent, fill, submitted):
    fill(3)
    advance(submission := submitted(stale=True), held)
    held.ledger.record_done(submission.name, 0)
    held.ledger.record_done(submission.name, 1, ["left-current", "reencoded"])
    held.ledger.record_done(submission.name, 2, ["left-uncoloured"])
    advance(submission, held)
    assert noted(submission.name, held) == {1: "left-current reencoded", 2: "left-uncoloured"}


def test_what_ends_while_the_report_is_written_stands_in_it_as_it_ended(
    held, sent, fill, submitted, with_pages_of, quarantine
):
    held = with_pages_of(2, window=6)
    fill(6)
    submission = submitted()
    for _ in range(3):
        advance(submission, held)
    assert [page.images for page in held.ledger.pages(submission.name)] == [2, 2, 2]
    for ordinal in (0, 1):
        held.ledger.record_done(submission.name, ordinal)
    lines = rows(submission.name, held)
    told = [next(lines)]
    held.ledger.record_done(submission.name, 2, ["reencoded"])
    quarantine(submission.name, 3, "damaged")
    close_pages(submission.name, held)  # the second page's, too
    quarantine(submission.name, 4, "damaged")
    told += lines
    assert [f"{outcome},{reason},{said}" for _, _, outcome, reason, said, *_ in told] == [
        "done,,",
        "done,,",
        "done,,reencoded",
        "quarantined,damaged,",
        "quarantined,damaged,",
        "pending,,",
    ]


def test_the_report_of_an_ended_submission_needs_no_redis(held, sent, fill, submitted, quarantine):
    fill(2)
    advance(submission := submitted(), held)
    held.ledger.record_done(submission.name, 0)
    quarantine(submission.name, 1)
    advance(submission, held)
    held.ledger._redis.flushall()
    _, lines = write_report(submission.name, held)
    told = [json.loads(line) for line in held.store.get(*Location.parse(lines)).data.splitlines()]
    assert [one["outcome"] for one in told] == ["done", "quarantined"]


def test_there_is_no_report_of_an_unknown_submission(held):
    with pytest.raises(UsageError, match="no submission"):
        write_report("vienna", held)
