"""What those rely on who only submit, control and promote: all of that works on an installation without extras."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.stack import Stack
from photochrom.producer.records.progress import progress
from photochrom.training.evaluation.evaluation_set import EvaluationSet
from photochrom.worker.errors import ImageFault
from photochrom.worker.jobs.messages import Image
from photochrom.worker.jobs.quarantine import record_quarantined
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.models.registry import sha256_of_starter
from photochrom.worker.queue.app import READY_FILE
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings
from tests.acceptance.conftest import DESTINATION, SOURCE, gray_jpeg
from tests.acceptance.test_submission import wait_until
from tests.installation import Installation

pytestmark = pytest.mark.integration

DEADLINE = 120.0
"""Seconds; only what is broken takes so long."""

Photochrom = Callable[..., str]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("plain") / "installation")


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Servers alone: whatever else runs, runs in the installation."""
    environment = {"PHOTOCHROM_CONTROL_INTERVAL": "0.2"}
    where = {"read": ["s3://archive/"], "write": ["s3://coloured/"]}
    with Stack(**where, workers=0, control=False, environment=environment) as running:
        yield running


@pytest.fixture
def photochrom(installation: Installation, stack: Stack) -> Photochrom:
    """Runs a command there; gives what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        done = installation.photochrom(*arguments, environment=stack.environment)
        assert (done.returncode, done.stderr) == (code, "")
        return done.stdout

    return run


@pytest.fixture
def control(installation: Installation, stack: Stack, tmp_path: Path) -> Iterator[Process]:
    """The control process of the installation, ready."""
    process = Process("control", installation.command("control"), tmp_path, tmp_path / "log")
    process.start(installation.environment | stack.environment | {READY_FILE: str(tmp_path / "ready")})
    try:
        process.wait_until((tmp_path / "ready").exists, DEADLINE)
        yield process
    finally:
        process.stop(patience=30.0)


def test_models_are_promoted_and_rolled_back(photochrom: Photochrom) -> None:
    first, second = sha256_of_starter("vgg16-yuv"), sha256_of_starter("autoencoder")
    assert json.loads(photochrom("models", "promote", "autoencoder", "--why", "to try it"))["sha256"] == second
    assert json.loads(photochrom("models", "rollback", "--why", "in a hurry"))["sha256"] == first
    told = [line.split() for line in photochrom("models", "history").splitlines()]
    assert [(number, sha256) for number, sha256, *_ in told] == [("1", second[:12]), ("2", first[:12])]
    [served] = (line for line in photochrom("models", "list").splitlines() if "*" in line)
    assert served.split()[:2] == [first[:12], "vgg16-yuv"]
    assert json.loads(photochrom("models", "show", "autoencoder"))["card"]["sha256"] == second
    assert f"sha256: {first} -> {second}" in photochrom("models", "diff", "vgg16-yuv", "autoencoder")
    assert photochrom("models", "clean") == ""


def test_evaluation_sets_are_listed_and_shown(photochrom: Photochrom, store: Store) -> None:
    made = EvaluationSet(
        name="frozen",
        source="s3://archive/colour/",
        created="today",
        side=224,
        most=None,
        share=1,
        left_out={},
        entries=(),
    )
    store.put_record(state_keys.evaluation_set("frozen"), made)
    assert photochrom("evaluation", "list").startswith("frozen: 0 photographs ")
    assert json.loads(photochrom("evaluation", "show", "frozen", "--json"))["source"] == made.source


def test_photographs_are_submitted_listed_and_quarantined_ones_tried_again(
    photochrom: Photochrom, control: Process, stack: Stack, store: Store, settings: Settings
) -> None:
    for number in range(2):
        store.put("archive", f"scans/{number}.jpg", gray_jpeg(number))
    name = photochrom("submit", SOURCE, "--to", DESTINATION).strip()
    wait_until(stack, lambda: progress(name, settings).listed)
    control.check()
    fault, ledger = ImageFault("empty", "it is empty"), Ledger(settings)
    record_quarantined(name, Image(ordinal=1, key="scans/1.jpg"), fault, store, ledger, settings)
    assert json.loads(photochrom("status", name, "--json", code=1))["reasons"] == {"empty": 1}
    assert photochrom("quarantine", "list", name).split() == ["1", "empty", "scans/1.jpg"]
    assert json.loads(photochrom("quarantine", "show", name, "1"))["message"] == "it is empty"
    assert len(photochrom("report", name).splitlines()) == 2
    assert b"scans/1.jpg,quarantined,empty" in store.get(settings.state_bucket, state_keys.report(name, "csv")).data
    again = photochrom("redrive", name).strip()
    assert again.startswith(f"{name}-redrive-")
    assert "cancelled" in photochrom("cancel", name)
    assert "goes on" in photochrom("resume", name)
    assert photochrom("reconcile", name).endswith("images put back\n")
    assert photochrom("runs", "list") == ""
