"""What is believed of a message, and how large and how odd a job may be."""

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from celery import Celery
from kombu import compression
from kombu.message import Message
from kombu.utils import json

from photochrom.worker.coloring import tasks
from photochrom.worker.coloring.runner import Leftover
from photochrom.worker.errors import ImageFault, RetryableError, UsageError
from photochrom.worker.jobs.messages import MOST_ATTEMPTS, MOST_IMAGES, Job, Task
from photochrom.worker.queue import message_guard
from photochrom.worker.queue.message_guard import MOST_BYTES, MOST_RETRIES, believed, enduring
from photochrom.worker.telemetry import logs
from tests.integration import hostile

QUEUE, TASK = "photochrom.control", "photochrom.submit"


def message(body=None, *, kind="application/json", delivery_info=None, properties=None, **headers):
    said = {"task": TASK, "id": "an-id", "lang": "py", **headers}
    return Message(
        body=body if isinstance(body, (str, bytes)) else json.dumps([["a"], {"b": 1}, {}] if body is None else body),
        delivery_tag="tag",
        content_type=kind,
        content_encoding="utf-8",
        delivery_info={"exchange": "", "routing_key": QUEUE} if delivery_info is None else delivery_info,
        properties=properties or {"reply_to": "x", "priority": 3},
        headers=said,
    )


def read(*arguments, **options):
    return believed(message(*arguments, **options), {TASK, "celery.starmap"}, {QUEUE})


def refused(*arguments, **options):
    with pytest.raises(UsageError) as told:
        read(*arguments, **options)
    assert "\n" not in str(told.value)
    return str(told.value)


# ---- the gate


def test_of_a_message_its_task_its_arguments_and_its_times_are_left():
    soon, later = datetime.now(UTC) + timedelta(minutes=10), datetime.now(UTC) + timedelta(days=400)
    there = read(eta=soon.isoformat(), expires=later.isoformat(), retries=3)
    assert json.loads(there.body) == [["a"], {"b": 1}, {}]
    said = there.headers
    assert (said["task"], said["id"], said["retries"]) == (TASK, "an-id", 3)
    assert (datetime.fromisoformat(said["eta"]), datetime.fromisoformat(said["expires"])) == (soon, later)
    assert (there.delivery_tag, there.properties["priority"]) == ("tag", 3)


def test_what_celery_would_do_beside_the_task_is_gone():
    asked = {name: [hostile.signature()] for name in ("callbacks", "errbacks", "chain", "chord")}
    more = {"shadow": "a name\nof two lines", "timelimit": [0.001, None], "ignore_result": False, "stamps": {"a": 1}}
    there = read([["a"], {}, asked], **asked, **more, group="g", replaced_task_nesting=9, argsrepr="x\ny")
    assert json.loads(there.body) == [["a"], {}, {}]
    assert set(there.headers) & {*asked, *more} == set()
    assert (there.headers["group"], there.headers["parent_id"], there.headers["root_id"]) == (None, None, "an-id")
    assert "\n" not in there.headers["argsrepr"]
    assert "reply_to" not in there.properties


def test_clients_that_speak_the_older_protocol_are_understood():
    body = {
        "task": TASK,
        "id": "own",
        "args": ["a"],
        "kwargs": {"b": 1},
        "retries": 0,
        "callbacks": [hostile.signature()],
    }
    there = believed(message(body), {TASK}, {QUEUE})
    assert (json.loads(there.body), there.headers["id"]) == ([["a"], {"b": 1}, {}], "own")
    assert "callbacks" not in there.headers


def test_a_count_of_tries_makes_no_wait_of_its_power():
    assert read(retries=10**9).headers["retries"] == MOST_RETRIES


@pytest.mark.parametrize(
    "name", [None, 5, ["x"], "", "photochrom.colorize", "celery.starmap", "x" * 1000, "two\nlines"]
)
def test_a_task_of_another_process_or_of_celery_is_refused(name):
    assert refused(task=name)


@pytest.mark.parametrize("body", ["", "5", "[]", "[1, {}, {}]", "[[], [], {}]", "[[], {}]", "{", b"\xff", "[" * 10**5])
def test_a_body_of_another_form_is_refused(body):
    assert refused(body)


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "application/data", "text/plain", None, 5, ""])
def test_only_json_is_read(kind):
    assert "content type" in refused(kind=kind)


def test_a_body_has_its_size():
    assert "more than" in refused([["x" * MOST_BYTES], {}, {}])
    assert read([["x" * (MOST_BYTES - 100)], {}, {}])


def test_the_largest_job_goes_through():
    images = [{"ordinal": n, "key": "in/" + "\x01" * 1021, "etag": "é" * 200, "size": 2**53} for n in range(32)]
    Job.parse(hostile.job(images=images))
    assert len(json.dumps([[hostile.job(images=images)], {}, {}])) < MOST_BYTES / 2


@pytest.mark.parametrize(
    "headers", [{"eta": "soon"}, {"eta": []}, {"expires": {}}, {"retries": -1}, {"retries": "many"}]
)
def test_headers_of_another_kind_are_refused(headers):
    assert next(iter(headers)) in refused(**headers)


@pytest.mark.parametrize("eta", ["9999-12-31T23:59:59", "9999-12-31T23:59:59+00:00", 10**10])
def test_a_long_wait_is_refused_and_a_time_that_is_over_is_none(eta):
    assert "to wait until" in refused(eta=eta)
    assert "to wait until" in refused(eta=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert read(eta="0001-01-02T00:00:00+00:00")


@pytest.mark.parametrize(
    "info",
    [{}, {"exchange": "", "routing_key": "photochrom.training"}, {"exchange": "e", "routing_key": QUEUE}, "text"],
)
def test_a_message_that_would_go_back_to_another_queue_is_refused(info):
    assert "another queue" in refused(delivery_info=info)


@pytest.mark.parametrize("kind", compression.encoders())
def test_nothing_is_unpacked(kind):
    there = Message(body=b"x", headers={"compression": kind})
    assert "compressed" in str(there.errors[0][1])


def test_what_celery_itself_sends_is_believed(valkey, no_settings):
    """By a plain client, as the README shows it."""
    with Celery(broker=valkey.url, set_as_current=False) as sender:
        sender.send_task(TASK, ("s3://a/b", "s3://c/d"), {"name": "n"}, queue=QUEUE, countdown=5, expires=60)
        with sender.connection_for_read() as connection:
            there = connection.SimpleQueue(QUEUE).get(timeout=10)
            there.ack()
    assert json.loads(believed(there, {TASK}, {QUEUE}).body) == [["s3://a/b", "s3://c/d"], {"name": "n"}, {}]


@pytest.mark.parametrize("error", message_guard.MALFORMED)
def test_reading_goes_on_behind_what_cannot_be_read(error, caplog):
    def read():
        raise error("no message")

    assert enduring(read)() is None
    assert [record.action for record in caplog.records] == ["message_refused"]
    assert enduring(lambda: True)() is True


def test_a_lost_connection_is_not_taken_for_a_message():
    def read():
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        enduring(read)()


def test_what_is_refused_is_told_and_thrown_away(caplog):
    rejected = []
    there = SimpleNamespace(reject_log_error=lambda log, errors: rejected.append(errors))
    consumer = SimpleNamespace(connection_errors=(OSError,))
    message_guard.GuardedConsumer.refuse(consumer, there, UsageError("x" * 10_000))
    assert rejected == [(OSError,)]
    assert len(caplog.records[0].getMessage()) < 300


# ---- jobs


@pytest.mark.parametrize("job", [job for words, job in hostile.jobs() if words == "job refused"])
def test_what_is_no_job_is_refused_in_one_short_line(job):
    with pytest.raises(UsageError) as told:
        Job.parse(job)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 600


@pytest.mark.parametrize("key", ["in/a..b/..c.jpg", "in/.../x.jpg", "in/two\nlines.jpg", "in/" + "x" * 1021])
def test_an_odd_key_is_a_key_all_the_same(key):
    assert Job.parse(hostile.job(image={"key": key})).images[0].key == key


def test_the_last_ordinal_and_attempt_are_some():
    Job.parse(hostile.job(image={"ordinal": MOST_IMAGES - 1}, attempt=MOST_ATTEMPTS))


@pytest.mark.parametrize("key", ["in/../other/x.jpg", "in/.."])
def test_a_key_that_leads_out_of_the_source_has_no_result(key):
    task = Task(source="s3://archive/in", destination="s3://coloured/out", model="champion")
    assert not task.has_below(key)
    with pytest.raises(ImageFault, match="not below"):
        task.output(key)


# ---- what such names do to the log


@pytest.fixture
def line():
    """Writes a line for people, and gives back what is written."""

    def write(*arguments, fault=None):
        formatter = logs.Masking(logging.Formatter("%(levelname)s: %(message)s"))
        record = logging.LogRecord("n", logging.INFO, "f", 1, arguments[0], arguments[1:], fault)
        return formatter.format(record)

    return write


def test_a_name_makes_no_line_of_its_own(line):
    assert line("done %s", "a\nERROR: all is lost\r\n\x1b[2J\x00\x9b.jpg") == (
        "INFO: done a\n    ERROR: all is lost\n    \\x1b[2J\\x00\\x9b.jpg"
    )


def test_neither_does_the_text_of_an_error(line):
    try:
        raise ValueError("no\nERROR: all is lost\x1b")
    except ValueError as error:
        written = line("failed", fault=(ValueError, error, error.__traceback__))
    assert all(text.startswith("    ") for text in written.splitlines()[1:])
    assert "\x1b" not in written
    assert "test_hostile_messages.py" in written


def test_a_job_that_was_tried_most_often_is_still_a_job_when_it_comes_back(held, make_job, monkeypatch):
    sent = []
    monkeypatch.setattr(held.ledger, "put_off", lambda submission, text, wait: sent.append(json.loads(text)) or True)
    job = make_job(1).model_copy(update={"attempt": MOST_ATTEMPTS})
    tasks.send_back(job, Leftover(list(job.images), RetryableError("slow down")), held)
    assert Job.parse(sent[0]).attempt == MOST_ATTEMPTS
