"""Requests, files of the inbox and manifests that are too large, too deep or too odd: each ends alone."""

import gzip
import json
import tracemalloc

import pytest

from photochrom.producer.control import inbox, tasks
from photochrom.producer.control.inbox import take_inbox
from photochrom.producer.records.filters import Filters
from photochrom.producer.records.sources import MOST_INVENTORY_BYTES, MOST_RECORD_LETTERS, entries
from photochrom.producer.records.submission import Submission, parse_request
from photochrom.worker.errors import UsageError
from photochrom.worker.jobs.messages import Task
from photochrom.worker.s3 import state_keys
from tests.ticks import advance_all

GOOD = {"source": "s3://archive/in", "destination": "s3://coloured/out"}
DEEP = b"[" * 100_000
TASK = Task(source="s3://archive/in", destination="s3://coloured/out", model="champion")


@pytest.mark.parametrize(
    "asked",
    [
        {"source": "s3://archive/" + "x" * 2000},
        {"destination": "s3://coloured/" + "x" * 2000},
        {"manifest": "s3://archive/" + "x" * 2000},
        {"model": "x" * 1000},
        {"name": "x" * 101},
        {"name": "two\nlines"},
        {"filters": {"glob": "*" * 2000}},
        {"filters": {"suffixes": ["x"] * 1000}},
        {"filters": {"suffixes": ["x" * 1000]}},
    ],
)
def test_a_request_has_its_size(asked):
    with pytest.raises(UsageError) as told:
        parse_request({**GOOD, **asked})
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("source", ["s3://archive/in/../elsewhere", "s3://archive/.."])
def test_a_source_that_leads_elsewhere_is_refused(held, source):
    with pytest.raises(UsageError, match="between its slashes"):
        inbox.make(parse_request({**GOOD, "source": source}), held.settings)


# ---- the inbox


@pytest.mark.parametrize("data", [DEEP, b'{"a":' * 50_000, b'"' + b"\\ud800" * 10 + b'"', b"1" * 5000, b"NaN"])
def test_a_file_that_cannot_be_read_is_answered_and_keeps_no_other_waiting(held, store, data):
    store.put("photochrom-state", state_keys.INBOX + "a.json", data)
    store.put("photochrom-state", state_keys.INBOX + "b.json", json.dumps(GOOD).encode())
    take_inbox(held)
    assert b"not " in store.get("photochrom-state", state_keys.INBOX + "a.json.rejected").data
    assert store.head("photochrom-state", state_keys.INBOX + "b.json.accepted")


def test_a_file_whose_answer_could_have_no_name_keeps_no_other_waiting(held, store, caplog):
    name = "a" * (1024 - len(state_keys.INBOX) - len(".json")) + ".json"
    store.put("photochrom-state", state_keys.INBOX + name, json.dumps(GOOD).encode())
    store.put("photochrom-state", state_keys.INBOX + "b.json", json.dumps(GOOD).encode())
    take_inbox(held)
    assert store.head("photochrom-state", state_keys.INBOX + "b.json.accepted")
    assert len(held.ledger.active()) == 1
    assert "too long" in caplog.text


def test_a_file_that_nobody_foresaw_keeps_no_other_waiting(held, store, monkeypatch, caplog):
    def make(request, settings):
        if request.name == "odd":
            raise ZeroDivisionError
        return made(request, settings)

    made = inbox.make
    monkeypatch.setattr(inbox, "make", make)
    for name, said in (("a.json", {**GOOD, "name": "odd"}), ("b.json", GOOD)):
        store.put("photochrom-state", state_keys.INBOX + name, json.dumps(said).encode())
    take_inbox(held)
    assert store.head("photochrom-state", state_keys.INBOX + "b.json.accepted")
    assert "not foreseen" in caplog.text


# ---- manifests


def keys_of(store, name, data):
    store.put("archive", name, data)
    submission = Submission(name="s", task=TASK, manifest=f"s3://archive/{name}", filters=Filters())
    return [entry.listed.key for entry in entries(submission, store)]


LONG = b"x" * (MOST_RECORD_LETTERS + 1)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", b"in/1.jpg\n" + LONG),
        ("a.csv", b"key\nin/1.jpg\n" + LONG),
        ("a.csv", b"key\nin/1.jpg\n" + b'"\n",' * MOST_RECORD_LETTERS),
        ("a.jsonl", b'{"key": "in/1.jpg"}\n{"key": "' + LONG),
        ("a.jsonl", b'{"key": "in/1.jpg"}\n' + DEEP[:60_000]),
        ("a.jsonl", b'{"key": "in/1.jpg"}\n{"key": "in/2.jpg", "size": 1e400}'),
        ("a.jsonl", b'{"key": "in/1.jpg"}\n{"key": "in/2.jpg", "size": ' + b"9" * 5000 + b"}"),
        ("a.jsonl", b'{"key": "in/1.jpg"}\n{"key": "in/2.jpg", "size": ' + b"9" * 40 + b"}"),
        ("a.jsonl", b'{"key": "in/1.jpg"}\n{"key": "in/2.jpg", "etag": "' + b"e" * 300 + b'"}'),
        ("a.jsonl", b'{"key": "in/1.jpg"}\n{"key": "in/\\ud800.jpg"}'),
        ("a.json", DEEP),
    ],
)
def test_a_manifest_is_read_as_far_as_it_is_one(store, name, data):
    with pytest.raises(UsageError) as told:
        keys_of(store, name, data)
    assert "a.js" in str(told.value) or "line " in str(told.value)
    assert len(str(told.value)) < 300


def test_an_inventory_has_its_size(store):
    with pytest.raises(UsageError, match="too many"):
        keys_of(store, "a.json", b" " * (MOST_INVENTORY_BYTES + 1))


def test_records_of_several_lines_are_counted_one_by_one(store):
    lines = 3 * MOST_RECORD_LETTERS // 1000
    data = b"key,note\n" + b"".join(b'in/%d.jpg,"%s\n%s"\n' % (n, b"a" * 500, b"b" * 500) for n in range(lines))
    assert len(keys_of(store, "a.csv", data)) == lines


def test_a_manifest_that_unpacks_to_gigabytes_takes_no_memory(store):
    submission = Submission(name="s", task=TASK, manifest="s3://archive/m.json", filters=Filters())
    inventory = {"fileFormat": "CSV", "fileSchema": "Bucket, Key", "destinationBucket": "arn:aws:s3:::archive"}
    inventory["files"] = [{"key": "bomb.csv.gz"}]
    store.put("archive", "m.json", json.dumps(inventory).encode())
    store.put("archive", "bomb.csv.gz", gzip.compress(bytes(200_000_000), 9))
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match="longer than"):
            list(entries(submission, store))
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_key_that_leads_out_of_the_source_is_quarantined_and_not_sent(held, sent, store, submitted):
    store.put("archive", "keys.txt", b"in/1.jpg\nin/../secret/2.jpg\n")
    submission = submitted(manifest="s3://archive/keys.txt")
    advance_all()
    assert [image.key for job in sent for image in job.images] == ["in/1.jpg"]
    assert held.ledger.counts(submission.name).reasons == {"outside-source": 1}


def test_a_submission_that_nobody_foresaw_keeps_no_other_waiting(held, monkeypatch, submitted, caplog):
    names, seen = [submitted(name=name).name for name in ("a", "b", "c")], []

    def work(submission, held):
        seen.append(submission.name)
        if submission.name == "b":
            raise ZeroDivisionError

    monkeypatch.setattr(tasks, "_advance", work)
    advance_all()
    assert seen == names
    assert "not foreseen" in caplog.text
