"""What people see of a command: names that cannot harm the terminal, and how far work is, with and without one."""

import pytest

from photochrom.worker.cli import terminal
from photochrom.worker.cli.terminal import ProgressDisplay, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Straße 7, été 1911.jpg", "Straße 7, été 1911.jpg"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\udcff.jpg", r"\udcff.jpg"),
        ("\x9b31m", r"\x9b31m"),
        (ValueError("bad\x07"), r"bad\x07"),
    ],
)
def test_what_could_move_the_cursor_is_shown_as_an_escape(text, shown):
    assert printable(text) == shown


@pytest.fixture
def at_once(monkeypatch):
    """A line of progress every time that something is done."""
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0.0)


@pytest.fixture
def on_a_terminal(monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("at_once")
def test_without_a_terminal_progress_is_lines_of_n_of_many_rate_and_time_left(capsys):
    with ProgressDisplay("coloring") as display:
        for done in (1, 2, 3):
            display.update(done, 12_000)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("coloring: 1 of 12,000")
    assert last.startswith("coloring: 3 of 12,000, ")
    assert " images/s, " in last
    assert last.endswith(" left")


def test_a_short_work_says_nothing_where_there_is_no_terminal(capsys):
    with ProgressDisplay("coloring") as display:
        display.update(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("at_once")
def test_a_total_that_is_not_known_is_not_that_of_the_work_before(capsys):
    with ProgressDisplay("fetching", "files") as display:
        display.update(5, 10)
        display.update(1, 0, "sorting")
        display.update(2, None)
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in told] == ["fetching: 5 of 10", "sorting: 1 of ?", "sorting: 2 of ?"]


@pytest.mark.usefixtures("at_once")
def test_nothing_is_shown_where_progress_is_not_wanted(capsys):
    with ProgressDisplay("coloring", show=False) as display:
        display.update(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("on_a_terminal")
def test_on_a_terminal_a_bar_shows_n_of_many(capsys):
    with ProgressDisplay("coloring") as display:
        display.update(3, 10)
    assert "3/10" in capsys.readouterr().err


@pytest.mark.usefixtures("on_a_terminal")
@pytest.mark.parametrize("show", ["description", "update", "print"])
def test_neither_control_characters_nor_markup_of_a_text_reach_the_terminal(capsys, show):
    hostile = "\x1b[7m[red]name[/red]"
    with ProgressDisplay(hostile if show == "description" else "coloring") as display:
        display.update(1, 2, hostile if show == "update" else None)
        if show == "print":
            display.print(hostile)
    told = capsys.readouterr().err
    assert r"\x1b[7m[red]name[/red]" in told
    assert "\x1b[7m" not in told


@pytest.mark.usefixtures("at_once")
def test_a_line_of_its_own_goes_to_stderr_however_long_it_is(capsys):
    with ProgressDisplay("learning") as display:
        display.print("figure " * 40)
    assert capsys.readouterr() == ("", "figure " * 40 + "\n")
