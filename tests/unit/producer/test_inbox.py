"""A file in the inbox becomes a submission, exactly once, and its answer stands beside it."""

import json

import pytest

from photochrom.producer.control import inbox, tasks
from photochrom.producer.control.inbox import take_inbox
from photochrom.producer.records.submission import load
from photochrom.worker.errors import RetryableError
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import NotFoundError

GOOD = {"source": "s3://archive/in", "destination": "s3://coloured/out", "filters": {"glob": "*1*"}, "priority": 3}


@pytest.fixture
def put(store):
    def put(value, name="vienna.json"):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        store.put("photochrom-state", state_keys.INBOX + name, data)

    return put


def answer(store, kind, name="vienna.json"):
    try:
        return json.loads(store.get("photochrom-state", f"{state_keys.INBOX}{name}.{kind}").data)
    except NotFoundError:
        return None


def objects(aws):
    return {item["Key"]: item["ETag"] for item in aws.list_objects_v2(Bucket="photochrom-state").get("Contents", [])}


def test_a_file_becomes_a_submission_exactly_once(held, store, put, aws):
    put(GOOD)
    tasks.inbox()
    [name] = held.ledger.active()
    assert answer(store, "accepted") == {"submission": name}
    record = load(name, store, held.settings)
    assert (record.task.source, record.filters.glob, record.task.priority) == ("s3://archive/in", "*1*", 3)
    held.ledger.retire(name)
    before = objects(aws)
    tasks.inbox()
    assert (held.ledger.active(), objects(aws)) == ([], before)


@pytest.mark.parametrize("own", [{}, {"name": "vienna"}, {"name": None}])
def test_a_tick_that_was_cut_off_before_its_answer_makes_the_same_submission_again(held, put, aws, monkeypatch, own):
    put({**GOOD, **own})
    with monkeypatch.context() as killed:
        killed.setattr(inbox, "_answer", lambda *_: (_ for _ in ()).throw(RetryableError("killed")))
        with pytest.raises(RetryableError):
            take_inbox(held)
    names = held.ledger.active()
    take_inbox(held)
    assert held.ledger.active() == names
    assert sum(key.endswith("/submission.json") for key in objects(aws)) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (["s3://archive/in"], "not a JSON object"),
        ({"source": "s3://archive/in"}, "destination"),
        ({**GOOD, "surplus": 1}, "surplus"),
        ({**GOOD, "destination": "s3://archive/in/out"}, "inside one another"),
        ({**GOOD, "model": "rembrandt"}, "rembrandt"),
        ({**GOOD, "name": "inbox"}, "no name for a submission"),
        (b" " * 1_000_001, "too many"),
    ],
)
def test_what_is_no_request_is_rejected_once_with_its_reason(held, store, put, aws, value, words):
    put(value)
    put(GOOD, "good.json")
    take_inbox(held)
    assert words in answer(store, "rejected")["error"]
    assert answer(store, "accepted") is None
    assert held.ledger.active() == [answer(store, "accepted", "good.json")["submission"]]
    before = objects(aws)
    take_inbox(held)
    assert objects(aws) == before


def test_a_fault_that_may_pass_leaves_the_file_for_the_next_tick(held, store, put, monkeypatch):
    put(GOOD)
    with monkeypatch.context() as away:
        away.setattr(inbox, "make", lambda *_: (_ for _ in ()).throw(RetryableError("slow down")))
        take_inbox(held)
    assert (answer(store, "accepted"), answer(store, "rejected")) == (None, None)
    take_inbox(held)
    assert answer(store, "accepted")


def test_stale_work_can_be_asked_for(held, store, put):
    put({**GOOD, "stale": True})
    take_inbox(held)
    assert load(held.ledger.active()[0], store, held.settings).task.stale


def test_other_files_are_left_alone(held, put, aws):
    put(GOOD, "notes.txt")
    take_inbox(held)
    assert held.ledger.active() == []
    assert list(objects(aws)) == [state_keys.INBOX + "notes.txt"]
