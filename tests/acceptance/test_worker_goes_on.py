"""A worker that cannot ask S3, or cannot load a model, blames no image for it, and goes on by itself."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from photochrom.deploy.stack.process import Process
from photochrom.deploy.stack.stack import HOUSE, Stack
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import submit
from photochrom.worker.models.registry import Promotion, sha256_of_starter
from photochrom.worker.queue.app import READY_FILE
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings
from tests.acceptance.conftest import DESTINATION, SOURCE, gray_jpeg
from tests.acceptance.test_submission import wait_until

pytestmark = pytest.mark.integration

IMAGES = 60
PROFILE = "archivist"
HASTE = {
    "PHOTOCHROM_MODEL": "autoencoder",
    "PHOTOCHROM_CONTROL_INTERVAL": "0.2",
    "PHOTOCHROM_RECONCILE_INTERVAL": "1",
    "PHOTOCHROM_JOB_IMAGES": "4",
    "PHOTOCHROM_MAX_STARTS": "1",
}


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, environment=HASTE) as running:
        yield running


@contextmanager
def started(folder: Path, **environment: str) -> Iterator[Process]:
    """A worker that nobody waits for until it is ready; its log and its file `ready` lie in the folder."""
    command = [sys.executable, "-m", "photochrom.deploy.cli", "worker", "--concurrency", "1"]
    process = Process("worker", command, folder, folder / "log")
    process.start(os.environ | {READY_FILE: str(folder / "ready"), "PYTHONPATH": str(HOUSE)} | environment)
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def from_profile(stack: Stack, settings: Settings, tmp_path: Path) -> Iterator[Process]:
    """A worker that finds its credentials by a profile of `config`, and nowhere else."""
    none = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
    places = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    with started(tmp_path, AWS_PROFILE=PROFILE, **none, **places) as process:
        yield process


def await_(stack: Stack, process: Process, condition: Callable[[], bool]) -> None:
    def holds() -> bool:
        process.check()
        return condition()

    wait_until(stack, holds)


def give_credentials(stack: Stack, folder: Path, left: timedelta) -> None:
    """What the profile's program gives: credentials that are valid for so long."""
    assert stack.s3
    keys = {"AccessKeyId": stack.s3.access_key, "SecretAccessKey": stack.s3.secret_key}
    until = (datetime.now(UTC) + left).isoformat()
    (folder / "new").write_text(json.dumps({"Version": 1, "Expiration": until, **keys}))
    (folder / "new").replace(folder / "given")


def write_profile(folder: Path) -> None:
    (folder / "new").write_text(f"[profile {PROFILE}]\ncredential_process = /bin/cat {folder / 'given'}\n")
    (folder / "new").replace(folder / "config")


def test_a_profile_that_is_missing_and_credentials_that_expire_cost_no_image(
    stack: Stack, settings: Settings, store: Store, from_profile: Process, tmp_path: Path
) -> None:
    for number in range(IMAGES):
        store.put("archive", f"scans/{number:03d}.jpg", gray_jpeg(number))
    submission = submit(SOURCE, DESTINATION, settings=settings)
    (tmp_path / "config").write_text("[default]\n")
    words = f"not ready: no S3 credentials: The config profile ({PROFILE}) could not be found"
    await_(stack, from_profile, lambda: words in from_profile.log.read_text())
    assert not (tmp_path / "ready").exists()

    give_credentials(stack, tmp_path, timedelta(minutes=5))  # so few that they are asked for again before every call
    write_profile(tmp_path)
    await_(stack, from_profile, lambda: 10 <= progress(submission, settings).done < IMAGES)

    give_credentials(stack, tmp_path, timedelta(minutes=-5))
    await_(stack, from_profile, lambda: from_profile.log.read_text().count("still expired") >= 10)
    give_credentials(stack, tmp_path, timedelta(minutes=5))
    await_(stack, from_profile, lambda: progress(submission, settings).ended)
    now = progress(submission, settings)
    assert (now.done, now.quarantined) == (IMAGES, 0)
    assert "Traceback" not in from_profile.log.read_text()


def test_a_champion_that_cannot_be_loaded_blocks_no_job_of_another_model(
    stack: Stack, settings: Settings, store: Store, tmp_path: Path
) -> None:
    for number in range(4):
        store.put("archive", f"scans/{number}.jpg", gray_jpeg(number))
    broken = Promotion(sequence=1, sha256="0" * 64, name="broken")
    etag = store.put_record(state_keys.CHAMPION, broken)
    with started(tmp_path, PHOTOCHROM_MODEL="champion") as worker:
        await_(stack, worker, lambda: "not ready: there is no version" in worker.log.read_text())
        waiting = submit(SOURCE, DESTINATION, settings=settings, model="champion")
        await_(stack, worker, lambda: "gave back" in worker.log.read_text())
        pinned = submit(SOURCE, DESTINATION + "-pinned", settings=settings, model="autoencoder")
        await_(stack, worker, lambda: progress(pinned, settings).ended)
        assert progress(pinned, settings).done == 4
        assert progress(waiting, settings).done == 0
        assert not (tmp_path / "ready").exists()

        good = Promotion(sequence=2, sha256=sha256_of_starter("autoencoder"), name="autoencoder")
        store.put_record(state_keys.CHAMPION, good, if_match=etag)
        await_(stack, worker, lambda: progress(waiting, settings).ended)
        assert progress(waiting, settings).done == 4
        await_(stack, worker, (tmp_path / "ready").exists)
