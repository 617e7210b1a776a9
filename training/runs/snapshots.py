"""A run's state in S3: what another machine needs to go on, in one object, in one of two places in turn.

The position names a copy by its SHA-256. A process that came too late may have written over one of the two: then it is
not what the position names, and the other one is taken.
"""

from __future__ import annotations

import hashlib
import logging
import tarfile
from pathlib import Path

from photochrom.training.fit.state import FILE, State, read_position
from photochrom.training.runs.records import Copy, Run
from photochrom.worker.process.exhaustion import shortages_translated
from photochrom.worker.process.scratch import scratch
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import NotFoundError, Store
from photochrom.worker.settings import Settings

log = logging.getLogger("photochrom.training")

KEPT = (FILE, "best.safetensors", "best.json")
PLACES = ("a", "b")
MOST_BYTES = 2**40


def save(run: Run, folder: Path, store: Store, settings: Settings) -> tuple[Copy, ...]:
    """Copy the state that lies in `folder` to S3; gives back what the run's position is to say of its copies.

    A state that is not beyond the newest copy makes none.
    """
    state, last = read_position(folder / FILE), run.position.copies[:1]
    if state is None or (last and (state.epoch, state.step) <= (last[0].epoch, last[0].step)):
        return run.position.copies
    place = next(place for place in PLACES if not last or place != last[0].place)
    with shortages_translated(), scratch() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name in KEPT:
                if (folder / name).exists():
                    archive.add(folder / name, name)
        packed.seek(0)
        sha256 = hashlib.file_digest(packed, "sha256").hexdigest()  # type: ignore[arg-type]
        store.put(settings.state_bucket, _key(run, place), packed)
    return (Copy(place=place, sha256=sha256, epoch=state.epoch, step=state.step), *last)


def bring(run: Run, folder: Path, store: Store, settings: Settings) -> None:
    """Let `folder` hold the furthest state of a run that is to be had: the one there, or the newest whole copy."""
    here = read_position(folder / FILE) or State()
    for copy in run.position.copies:
        if (copy.epoch, copy.step) <= (here.epoch, here.step):
            return
        if _fetch(run, copy, folder, store, settings):
            return


def _fetch(run: Run, copy: Copy, folder: Path, store: Store, settings: Settings) -> bool:
    with shortages_translated(), scratch() as packed:
        try:
            store.download(settings.state_bucket, _key(run, copy.place), packed, MOST_BYTES)
        except NotFoundError:
            return False
        packed.seek(0)
        if hashlib.file_digest(packed, "sha256").hexdigest() != copy.sha256:  # type: ignore[arg-type]
            said = "copy %s of run %s is not the one that was noted"
            log.warning(said, copy.place, run.name, extra={"action": "copy_passed_over", "run": run.name})
            return False
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            members = {member.name: member for member in archive}
            for name in reversed(KEPT):  # the state last: where it is, the best checkpoint is
                if name in members:
                    archive.extract(members[name], folder, filter="data")
    return True


def _key(run: Run, place: str) -> str:
    return state_keys.run(run.name, f"state-{place}.tar")
