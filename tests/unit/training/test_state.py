"""The state of a run: replaced whole, safe from other writers, and passed over where it cannot be read."""

import copy
import json
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from photochrom.training.fit import state as module
from photochrom.training.fit.state import ABANDONED_SECONDS, FILE, State, read_position, read_state, write_state
from photochrom.training.recipe import Recipe
from photochrom.worker.errors import DiskFullFault, OutOfMemoryFault, UsageError, WorkerFault
from photochrom.worker.models import checkpoint

RECIPE = Recipe(architecture="autoencoder", config={"side": 16, "kernel": 3, "filters": [4, 4], "dense": 4})


@pytest.fixture
def network():
    torch.manual_seed(1)
    return checkpoint.build(RECIPE.architecture, RECIPE.config)


@pytest.fixture
def write(network, tmp_path):
    """Writes a state into the test's folder."""
    optimizer = torch.optim.AdamW(network.parameters())
    averaged = copy.deepcopy(network)

    def make(**position):
        write_state(tmp_path, RECIPE, State(**position), network, averaged, optimizer)

    return make


def refuse(*_):
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_a_state_is_read_as_it_was_written(write, network, tmp_path):
    history = [{"epoch": 1.0, "psnr": 20.5}]
    write(epoch=1, step=7, loss_sum=3.5, history=history)
    saved = read_state(tmp_path, RECIPE)
    expected = State(epoch=1, step=7, loss_sum=3.5, history=history)
    assert saved.state == read_position(tmp_path / FILE) == expected
    assert saved.config == network.config.model_dump(mode="json")
    for name, tensor in network.state_dict().items():
        assert torch.equal(saved.tensors[f"network.{name}"], tensor)


def test_where_there_is_none_none_is_read(tmp_path):
    assert read_state(tmp_path, RECIPE) is None
    assert read_position(tmp_path / FILE) is None


def test_a_state_of_another_recipe_is_refused(write, tmp_path):
    write()
    with pytest.raises(UsageError, match="holds a run with another recipe"):
        read_state(tmp_path, RECIPE.model_copy(update={"rate": 1e-4}))


def test_a_state_of_a_version_with_more_settings_is_read(write, tmp_path):
    write(step=3)
    with safe_open(tmp_path / FILE, "pt") as file:
        metadata = file.metadata()
    metadata["recipe"] = json.dumps({**json.loads(metadata["recipe"]), "of_the_next_version": 1})
    save_file(load_file(tmp_path / FILE), tmp_path / FILE, metadata)
    assert read_state(tmp_path, RECIPE).state == State(step=3)


def spoilt(data):
    yield b""
    yield b"garbage, and more of it"
    yield data[: len(data) // 2]
    yield data[:-1]


def test_a_state_that_is_cut_off_counts_as_none_and_is_told(write, tmp_path, caplog):
    write(step=3)
    for data in spoilt((tmp_path / FILE).read_bytes()):
        (tmp_path / FILE).write_bytes(data)
        caplog.clear()
        assert read_state(tmp_path, RECIPE) is None
        assert "is passed over" in caplog.text
        assert read_position(tmp_path / FILE) is None


@pytest.mark.parametrize("metadata", [None, {"recipe": "{}"}, {"recipe": RECIPE.model_dump_json(), "state": "null"}])
def test_a_file_of_tensors_that_is_no_state_counts_as_none(tmp_path, metadata):
    save_file({"network.a": torch.zeros(2)}, tmp_path / FILE, metadata)
    assert read_state(tmp_path, RECIPE) is None
    assert read_position(tmp_path / FILE) is None


def test_a_state_is_on_the_disk_before_it_takes_the_old_ones_place(write, tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor):
        done.append("folder" if Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path else "state")
        sync(descriptor)

    monkeypatch.setattr(module.os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", lambda path, to: done.append("replaced") or replace(path, to))
    write()
    assert done == ["state", "replaced", "folder"]


def test_a_write_that_fails_leaves_the_old_state_and_nothing_else(write, tmp_path, monkeypatch):
    write(step=1)
    monkeypatch.setattr(module, "save_file", refuse)
    with pytest.raises(DiskFullFault, match="no room on the disk"):
        write(step=2)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert read_position(tmp_path / FILE).step == 1


def test_a_system_that_refuses_to_write_is_told_in_one_line(write, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(WorkerFault, match=r"cannot be written to .*File too large"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_cannot_be_made_is_told_in_one_line(network, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    optimizer = torch.optim.AdamW(network.parameters())
    with pytest.raises(WorkerFault, match="cannot be written to"):
        write_state(tmp_path / "file" / "run", RECIPE, State(), network, network, optimizer)


def test_a_state_for_which_memory_does_not_suffice_is_told(write, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(OutOfMemoryFault):
        write()


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_now_is_not(write, tmp_path):
    for name, age in (("killed", 2 * ABANDONED_SECONDS), ("at work", 0)):
        left = tmp_path / f"{FILE}.{name}.partial"
        left.mkdir()
        (left / FILE).write_bytes(b"half of it")
        then = left.stat().st_mtime - age
        os.utime(left, (then, then))
    write()
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, f"{FILE}.at work.partial"]


def test_two_that_write_at_once_leave_a_whole_state(write, tmp_path):
    def work(step):
        write(step=step)
        return read_state(tmp_path, RECIPE).state.step

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(60))) <= set(range(60))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
