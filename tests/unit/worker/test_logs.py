"""Log lines: for people as they were, for machines one object each; a password stands in neither."""

import json
import logging
from io import StringIO

import pytest

from photochrom.worker.telemetry import logs


@pytest.fixture
def written():
    """Writes one line in a format, and gives it back."""

    def write(log_format, message, *arguments, level=logging.INFO, fault=None, **extra):
        lines = []
        logger = logging.getLogger("photochrom.test_logs")
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(handler.format(record))
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.DEBUG)
        for _ in range(2):  # Celery sets up its log twice in a child
            logs.dress(logger, log_format)
        logger.log(level, message, *arguments, extra=extra, exc_info=fault)
        [line] = lines
        return line

    return write


def test_for_people_a_line_is_what_it_was(written):
    assert written("people", "done %s", "a.jpg", action="image_done", submission="s") == "INFO: done a.jpg"


def test_for_machines_a_line_is_one_object(written):
    line = written("json", "done %s\nreally", "a.jpg", action="image_done", submission="s", ordinal=0, version=None)
    assert "\n" not in line
    said = json.loads(line)
    assert said.pop("time").endswith("+00:00")
    assert isinstance(said.pop("process"), int)
    assert said == {
        "level": "INFO", "logger": "photochrom.test_logs", "action": "image_done", "message": "done a.jpg\nreally",
        "submission": "s", "ordinal": 0,
    }  # fmt: skip


def test_a_line_without_an_action_says_so(written):
    assert json.loads(written("json", "hello"))["action"] is None


@pytest.mark.parametrize("log_format", ["people", "json"])
@pytest.mark.parametrize(
    "url", ["redis://worker:hunter2@redis:6379/0", "rediss://:hunter2@host", "https://me:hunter2@x@host/a"]
)
def test_a_password_stands_in_no_line(written, log_format, url):
    try:
        raise ConnectionError(f"no answer of {url}")
    except ConnectionError as fault:
        line = written(log_format, "cannot reach %s", url, level=logging.ERROR, fault=fault)
    assert "hunter2" not in line
    assert "no answer of" in line


@pytest.mark.parametrize("text", ["s3://archive/a:b/c@2.jpg", "at 12:30 by me@example.org", "http://host:80/@"])
def test_what_is_no_password_stays(text):
    assert logs.masked(text) == text


def test_an_object_that_json_does_not_know_is_written_as_text(written):
    assert json.loads(written("json", "m", reason=ValueError("why")))["reason"] == "why"


def test_what_was_foreseen_is_told_without_a_traceback():
    lines = StringIO()
    logger = logging.Logger("of a test")
    logger.addHandler(logging.StreamHandler(lines))
    logger.addFilter(logs.OneLine(KeyError))
    for kind in (KeyError, ValueError):
        try:
            raise kind("x")
        except kind:
            logger.warning("one %s", kind.__name__, exc_info=True)
    assert lines.getvalue().startswith("one KeyError\none ValueError\nTraceback")
