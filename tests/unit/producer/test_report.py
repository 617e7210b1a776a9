"""The completion report: one line an image, with what became of it."""

import json

import pytest

from producer.advance import advance
from producer.report import write_report
from worker.errors import UsageError
from worker.store import Location


def test_the_report_has_one_line_an_image_with_what_became_of_it(held, half):
    places = write_report(half.name, held)
    assert places == [f"s3://photochrom-state/submissions/{half.name}/report.{kind}" for kind in ("csv", "jsonl")]
    csv, lines = (held.store.get(*Location.parse(place)).data.decode() for place in places)
    etag = held.store.head("archive", "in/000.jpg").etag.strip('"')
    outcomes = ["done,", "quarantined,empty", "done,", "pending,", "quarantined,damaged", "pending,"]
    assert csv.splitlines() == [
        "ordinal,key,outcome,reason,etag,size",
        *(f"{number},in/{number:03d}.jpg,{outcome},{etag},2" for number, outcome in enumerate(outcomes)),
    ]
    told = [json.loads(line) for line in lines.splitlines()]
    assert told[4] == {
        "ordinal": 4,
        "key": "in/004.jpg",
        "outcome": "quarantined",
        "reason": "damaged",
        "etag": etag,
        "size": 2,
    }
    assert [f"{one['outcome']},{one['reason']}" for one in told] == outcomes


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
