"""`photochrom restore` and `photochrom verify` on files of this machine."""

import json

import pytest

from photochrom.worker.cli.local.fidelity import restore_file, verify_file
from photochrom.worker.errors import UsageError
from photochrom.worker.verify.finding import Finding
from tests.unit.photo.generate.jpeg import gray_jpeg, with_everything
from tests.unit.photo.test_fidelity import coloured


@pytest.fixture
def pair(tmp_path):
    """A coloured JPEG and its original, as files."""
    made, original = tmp_path / "coloured.jpg", tmp_path / "original.jpg"
    original.write_bytes(gray_jpeg(with_everything()))
    made.write_bytes(coloured(original.read_bytes())[1])
    return made, original


def test_the_original_is_written_where_it_is_wanted(pair, tmp_path):
    made, original = pair
    restore_file(made, tmp_path / "back.jpg")
    assert (tmp_path / "back.jpg").read_bytes() == original.read_bytes()


def test_a_file_that_is_there_is_not_written_over(pair):
    made, original = pair
    with pytest.raises(UsageError, match="there already"):
        restore_file(made, original)


@pytest.mark.parametrize("name", ["original.jpg", "nowhere.jpg"])
def test_what_cannot_be_restored_is_one_clear_line_and_leaves_no_file(pair, tmp_path, name):
    with pytest.raises(UsageError, match=name):
        restore_file(tmp_path / name, tmp_path / "back.jpg")
    assert not (tmp_path / "back.jpg").exists()


def test_a_result_agrees_with_its_original(pair, capsys):
    assert verify_file(*pair, as_json=True)
    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"luma", "original bytes", "provenance"} <= {finding["what"] for finding in findings if finding["ok"]}


def test_a_result_of_another_original_does_not(pair, tmp_path, capsys):
    other = tmp_path / "other.jpg"
    other.write_bytes(gray_jpeg(with_everything(seed=1)))
    assert not verify_file(pair[0], other, as_json=False)
    assert "WRONG" in capsys.readouterr().out


def test_a_finding_is_shown_as_it_is_without_control_characters(pair, capsys, monkeypatch):
    finding = Finding("metadata: tags", True, "Artist is '[red]Ann[/red]\x1b[2J'")
    monkeypatch.setattr("photochrom.worker.cli.local.fidelity.verify", lambda *_: [finding])
    assert verify_file(*pair, as_json=False)
    assert r"Artist is '[red]Ann[/red]\x1b[2J'" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_one_clear_line(pair, tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        verify_file(pair[0], tmp_path / "nowhere.jpg", as_json=False)
