"""Watching a submission: what a terminal shows of it, until it has ended."""

import re

import pytest

import photochrom.producer.client.watch
from photochrom.producer.client.watch import watch
from photochrom.producer.records.progress import Progress
from photochrom.worker.errors import RetryableError


def at(**changes):
    plain = {"submission": "s", "listed": True, "total": 4000, "done": 0, "quarantined": 0}
    return Progress(**{**plain, **changes})


END = at(done=3990, quarantined=10)


@pytest.fixture
def watched(settings, monkeypatch, capsys):
    """Watches what is found at one look after the other on a terminal; gives the result, what was seen, and stderr."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(photochrom.producer.client.watch, "LOOK_SECONDS", 0)

    def run(*looks, **options):
        coming, seen = iter(looks), []

        def look(*_):
            found = next(coming)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(photochrom.producer.client.watch, "progress", look)
        result = watch("s", settings, each=seen.append, **options)
        out, errors = capsys.readouterr()
        assert out == ""
        return result, seen, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", errors)

    return run


def test_every_look_is_handed_on_until_the_end(watched):
    looks = [at(listed=False, total=2000), at(done=5), END]
    result, seen, _ = watched(*looks)
    assert (result, seen) == (END, looks)


@pytest.mark.parametrize(
    ("now", "words", "counts"),
    [
        (END, "done, 10 quarantined", "4000/4000"),
        (at(done=5, cancelled=True), "cancelled", "5/4000"),
        (at(listed=False, done=5, cancelled=True), "cancelled, 4,000 found so far", "5/?"),
    ],
)
def test_words_say_what_the_bar_does_not(watched, now, words, counts):
    said, *bar = re.split("━+|╸|╺", watched(now)[2].splitlines()[-1])
    assert said.strip() == words
    assert bar[-1].split()[0] == counts


@pytest.mark.parametrize("error", [RetryableError("Redis cannot be reached"), RetryableError("S3 cannot be reached")])
def test_a_server_that_is_away_is_waited_out(watched, error):
    result, seen, _ = watched(at(done=5), error, error, END)
    assert (result, seen) == (END, [at(done=5), END])


def test_for_machines_nothing_is_shown(watched):
    assert watched(at(done=5), END, show=False) == (END, [at(done=5), END], "")
