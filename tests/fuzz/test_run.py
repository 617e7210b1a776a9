"""The fuzzer's own eyes: it sees every way in which a file can go wrong, and goes on."""

from __future__ import annotations

import pytest

from tests.fuzz import run as run_module
from tests.fuzz.cases import Case
from tests.fuzz.run import Child, Tally
from tests.unit.photo.generate.jpeg import Kind, gray_jpeg

GOOD = gray_jpeg(Kind(width=8, height=8))


@pytest.fixture(scope="module")
def child():
    child = Child("tests.fuzz.misbehaving")
    yield child
    child.stop()


def tried(child, data):
    return child.try_out(Case("jpeg", "by hand", data))


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"crash", "CRASH: SIGABRT"),
        (b"exit", "CRASH: exit 3"),
        (b"grow", "MEMORY"),
        (b"too much", "ERROR: MemoryError"),
        (b"error", "ERROR: ZeroDivisionError"),
        (GOOD, "WRONG: coloured with another luma"),
    ],
)
def test_what_must_not_be_is_a_finding_and_the_next_file_is_tried(child, data, end):
    outcome = tried(child, data)
    assert (outcome.end, outcome.is_finding) == (end, True)
    after = tried(child, b"fault")
    assert (after.end, after.is_finding, after.detail) == ("fault: damaged", False, "as it should be")


def test_a_hang_is_a_finding_and_the_next_file_is_tried(child, monkeypatch):
    tried(child, b"fault")
    monkeypatch.setattr(run_module, "HANGS", 1.0)
    assert tried(child, b"hang").end == "HANG"
    assert tried(child, b"fault").end == "fault: damaged"


def test_processor_time_is_limited(child, monkeypatch):
    monkeypatch.setattr(run_module, "SLOW", 0.2)
    assert tried(child, b"slow").end == "SLOW"
    assert tried(child, b"fault").end == "fault: damaged"


def test_outcomes_are_counted_by_kind(child):
    tally = Tally()
    for data in (b"fault", b"fault", b"error"):
        tally.add(tried(child, data))
    assert tally.counts == {("jpeg", "fault: damaged"): 2, ("jpeg", "ERROR: ZeroDivisionError"): 1}
    assert [finding.case.data for finding in tally.findings] == [b"error"]
    assert "by nothing" in tally.findings[0].detail
