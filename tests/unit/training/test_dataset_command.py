"""`photochrom dataset`, as people and machines call it."""

import json

import pytest

from photochrom.training.cli.dataset import dataset
from photochrom.training.data.cache import FILE
from photochrom.worker.errors import UsageError


def test_people_get_a_table_and_hear_where_the_pictures_lie(folder, tmp_path, training_folder, capsys):
    dataset(str(folder), tmp_path)
    said = capsys.readouterr().out
    assert "| photographs | 30 |" in said
    assert f"Pictures: {tmp_path / 'dataset.png'}" in said
    assert (tmp_path / "dataset.png").exists()
    assert (training_folder / FILE).exists()


def test_machines_get_one_line_of_json(folder, tmp_path, store, exported, capsys):
    for path in folder.iterdir():
        store.put("archive", f"in/cats/{path.name}", path.read_bytes())
    dataset("s3://archive/in", tmp_path, json=True)
    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads((tmp_path / "dataset.json").read_text())
    assert figures["folders"] == {"cats": 30}


def test_a_source_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        dataset(str(tmp_path / "nowhere"), tmp_path)
