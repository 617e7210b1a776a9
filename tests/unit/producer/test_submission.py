"""Asking for photographs to be coloured: what is written, what is refused, and asking twice."""

import json
import time

import pytest

from photochrom.producer.records import submission
from photochrom.producer.records.submission import load, parse_request, plan, submit
from photochrom.worker.errors import PhotochromError, RetryableError, UsageError, WorkerFault
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.models.registry import Promotion
from photochrom.worker.s3 import state_keys
from photochrom.worker.settings import Settings


def ask(settings, source="s3://archive/in", destination="s3://coloured/out", **options):
    return submit(source, destination, settings=settings, **options)


def keys(aws):
    return [item["Key"] for item in aws.list_objects_v2(Bucket="photochrom-state").get("Contents", [])]


def test_a_submission_is_one_record_and_lies_before_the_control_process(settings, store, ledger, aws):
    name = ask(settings, format="tiff")
    assert keys(aws) == [state_keys.submission(name)]
    assert ledger.active() == [name]
    task = load(name, store, settings).task.model_dump()
    assert abs(task.pop("epoch") / 1000 - time.time()) < 60
    assert task == {
        "source": "s3://archive/in",
        "destination": "s3://coloured/out",
        "model": "champion",
        "format": "tiff",
        "jpeg": None,
        "on_change": "quarantine",
        "priority": 6,
        "stale": False,
        "promotion": 0,
    }


def test_names_made_for_submissions_differ_and_sort_by_their_time(settings, aws):
    first, second = ask(settings), ask(settings)
    assert first != second
    assert first[:8].isdigit()
    assert len(keys(aws)) == 2


def test_asking_twice_under_a_name_of_ones_own_is_asking_once(settings, store, ledger, aws):
    assert ask(settings, name="vienna-1901") == "vienna-1901"
    before = store.get("photochrom-state", state_keys.submission("vienna-1901"))
    assert ask(settings, name="vienna-1901") == "vienna-1901"
    assert store.get("photochrom-state", state_keys.submission("vienna-1901")) == before
    assert keys(aws) == [state_keys.submission("vienna-1901")]
    assert ledger.active() == ["vienna-1901"]


OTHERS = [
    {"format": "png"},
    {"jpeg": "reencode"},
    {"destination": "s3://coloured/b"},
    {"model": "vgg16-yuv"},
    {"manifest": "s3://archive/keys.txt"},
    {"filters": {"glob": "*1*"}},
    {"on_change": "take"},
    {"priority": 3},
    {"stale": True},
]


@pytest.mark.parametrize("other", OTHERS)
def test_the_same_name_for_something_else_is_refused(settings, store, other):
    ask(settings, name="vienna-1901")
    before = store.get("photochrom-state", state_keys.submission("vienna-1901"))
    with pytest.raises(UsageError, match="asks for something else"):
        ask(settings, name="vienna-1901", **other)
    assert store.get("photochrom-state", state_keys.submission("vienna-1901")) == before


def test_asking_again_puts_a_submission_before_the_control_process_that_redis_forgot(settings, ledger, aws):
    ask(settings, name="vienna-1901")
    ledger._redis.flushall()
    ask(settings, name="vienna-1901")
    assert ledger.active() == ["vienna-1901"]


def test_a_record_is_there_even_where_redis_is_away(settings, aws, closed_port):
    away = Settings(
        redis_url=f"redis://127.0.0.1:{closed_port}/0", read_from=settings.read_from, write_to=settings.write_to
    )
    with pytest.raises(RetryableError, match="Redis"):
        ask(away, name="vienna-1901")
    assert keys(aws) == [state_keys.submission("vienna-1901")]


REFUSED = {
    "unknown model": ({"model": "rembrandt"}, UsageError, "no model 'rembrandt'"),
    "a path as model": ({"model": "../vgg16-yuv"}, UsageError, "no model"),
    "unknown format": ({"format": "gif"}, UsageError, "jpeg"),
    "no URL": ({"source": "archive/in"}, UsageError, "not s3://bucket/prefix"),
    "missing bucket": ({"source": "s3://nowhere/in"}, WorkerFault, "no bucket"),
    "source not allowed": ({"source": "s3://coloured/x"}, UsageError, "PHOTOCHROM_READ_FROM"),
    "destination not allowed": ({"destination": "s3://archive/out"}, UsageError, "PHOTOCHROM_WRITE_TO"),
    "destination in the source": ({"destination": "s3://archive/in/out"}, UsageError, "inside one another"),
    "source in the destination": ({"destination": "s3://archive"}, UsageError, "inside one another"),
    "source as destination": ({"destination": "s3://archive/in/"}, UsageError, "inside one another"),
    "a name with a slash": ({"name": "../state"}, UsageError, "pattern"),
    "a name with a space": ({"name": "vienna 1901"}, UsageError, "pattern"),
    "an unknown option": ({"colour": "red"}, UsageError, "colour"),
    "an unknown priority": ({"priority": 5}, UsageError, "priority"),
    "an unknown filter": ({"filters": {"colour": "red"}}, UsageError, "filters.colour"),
    "the inbox's own name": ({"name": "inbox"}, UsageError, "no name for a submission"),
    "a long name": ({"name": "x" * 101}, UsageError, "pattern"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_told_in_one_line_and_nothing_is_written(settings, ledger, aws, case):
    options, error, words = REFUSED[case]
    if case == "missing bucket":
        settings = settings.model_copy(update={"read_from": ("s3://nowhere",)})
    with pytest.raises(PhotochromError) as told:
        ask(settings, **options)
    assert isinstance(told.value, error)
    assert words in str(told.value)
    assert "\n" not in str(told.value)
    assert keys(aws) == []
    assert ledger.active() == []


def test_a_plan_writes_nothing(settings, ledger, aws):
    task = plan(parse_request({"source": "s3://archive/in", "destination": "s3://coloured/out"}), settings)
    assert task.source == "s3://archive/in"
    assert (keys(aws), ledger.active()) == ([], [])


@pytest.fixture
def promote(store):
    """Lets workers serve a version from now on, so many promotions after the first."""

    def promote(sequence):
        store.put_record(state_keys.CHAMPION, Promotion(sequence=sequence, sha256="6" * 64, name="better"))

    return promote


def test_stale_work_names_the_promotion_that_workers_have_to_serve(settings, store, promote):
    assert load(ask(settings, stale=True), store, settings).task.promotion == 0
    promote(3)
    task = load(ask(settings, stale=True), store, settings).task
    assert (task.model, task.stale, task.promotion) == ("champion", True, 3)
    pinned = load(ask(settings, stale=True, model="autoencoder"), store, settings).task
    assert (pinned.model, pinned.stale, pinned.promotion) == ("autoencoder", True, 0)
    assert load(ask(settings), store, settings).task.promotion == 0


def test_asking_twice_for_stale_work_is_asking_once_whatever_is_promoted_between(settings, store, promote):
    ask(settings, name="weekly", stale=True)
    promote(1)
    ask(settings, name="weekly", stale=True)
    assert load("weekly", store, settings).task.promotion == 0


def test_a_record_of_a_version_that_knew_no_stale_work_is_still_understood(settings, store, submitted):
    record = json.loads(submitted(name="s").model_dump_json())
    for field in ("stale", "promotion"):
        del record["task"][field]
    store.put("photochrom-state", state_keys.submission("old"), json.dumps(record).encode())
    assert load("old", store, settings).task == load("s", store, settings).task


def test_there_is_no_submission_of_an_unknown_name(settings, store):
    with pytest.raises(UsageError, match="no submission 'vienna'"):
        load("vienna", store, settings)


@pytest.mark.parametrize("record", [b"", b"{}", b'{"name": "x"}', b"\xff"])
def test_a_malformed_record_is_told_in_one_line(settings, store, record):
    store.put("photochrom-state", state_keys.submission("broken"), record)
    with pytest.raises(WorkerFault, match=r"submissions/broken/submission\.json is malformed") as told:
        load("broken", store, settings)
    assert "\n" not in str(told.value)


def test_a_record_of_a_later_version_with_more_in_it_is_not_half_understood(settings, store, submitted):
    record = json.loads(submitted(name="s").model_dump_json()) | {"deadline": 3}
    store.put("photochrom-state", state_keys.submission("later"), json.dumps(record).encode())
    with pytest.raises(WorkerFault, match="malformed"):
        load("later", store, settings)


def test_the_record_comes_before_the_control_process_is_told(settings, store, monkeypatch):
    def activate(self, name):
        assert store.head("photochrom-state", state_keys.submission(name))
        told.append(name)

    told = []
    monkeypatch.setattr(Ledger, "activate", activate)
    assert [ask(settings)] == told
    assert submission.Ledger is Ledger
