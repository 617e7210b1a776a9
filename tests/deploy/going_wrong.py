"""The roles where something is missing, denied or asked twice: what they then ask of S3 beside what `acting` shows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager

from photochrom.producer.client.commands import _dry_run
from photochrom.producer.control import tasks
from photochrom.producer.records import outcomes
from photochrom.producer.records.submission import load, parse_request, submit
from photochrom.training.cli import runs as run_commands
from photochrom.training.data.source import fetch, list_source
from photochrom.training.evaluation import evaluation_set
from photochrom.training.runs.records import Runs
from photochrom.training.runs.request import Request
from photochrom.training.runs.snapshots import bring
from photochrom.worker.coloring.runner import run_job
from photochrom.worker.errors import AccessDeniedFault, PhotochromError, RefusedError
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.state_keys import QuarantinedImage
from photochrom.worker.s3.store import Store
from tests.deploy.acting import TINY, Acting, refused, sent_jobs
from tests.ticks import advance


def go_wrong(acting: Acting) -> None:
    """All of it, after `acting.play`, whose submission "first", run "run" and evaluation set "frozen" are there."""
    acting.patch.setattr(tasks, "resources", lambda: acting.held)
    with acting.as_role("control"):
        tasks._ask_s3()
    _two_reasons_for_one_image(acting)
    _an_inventory(acting)
    faults: tuple[PhotochromError, ...] = (AccessDeniedFault("not this one"), RefusedError("not this name"))
    for fault in faults:
        for method in ("fetch", "head", "put"):  # of the image, and of the place of its result
            _refused_images(fault, method, acting)
        _refused_photographs(fault, acting)
    _a_run_asked_for_in_vain(acting)
    _a_run_on_another_machine(acting)


def _two_reasons_for_one_image(acting: Acting) -> None:
    held = acting.held
    page = next(page for page in outcomes.outcomes("first", held).finished if page.quarantined)
    [image, *_] = outcomes.quarantined_images("first", held)
    second = state_keys.quarantine("first", QuarantinedImage(image, "truncated"))
    held.store.put(held.settings.state_bucket, second, b"{}")
    for role in ("control", "submit"):
        with acting.as_role(role):
            assert page in outcomes.outcomes("first", held).finished


def _an_inventory(acting: Acting) -> None:
    store, key = acting.held.store, "manifests/inventory/data/1.csv.gz"
    store.put("archive", key, gzip.compress(b'"archive","in/good-0.png"\n'))
    inventory = {"fileFormat": "CSV", "fileSchema": "Bucket, Key", "files": [{"key": key}]}
    inventory["destinationBucket"] = "arn:aws:s3:::archive"
    store.put("archive", "manifests/inventory/manifest.json", json.dumps(inventory).encode())
    asked = {"source": "s3://archive/in", "destination": "s3://coloured/out"}
    asked["manifest"] = "s3://archive/manifests/inventory/manifest.json"
    with acting.as_role("submit"):
        _dry_run(parse_request(asked), as_json=True)
    with acting.as_role("control"):
        _begun(acting, **asked, name="of-inventory")


def _begun(acting: Acting, **asked: str) -> None:
    held = acting.held
    advance(load(submit(**asked, settings=held.settings), held.store, held.settings), held)


@contextmanager
def _failing(fault: PhotochromError, method: str, acting: Acting) -> Iterator[None]:
    def fail(_: Store, bucket: str, key: str, *__: object, **___: object) -> None:
        if isinstance(fault, RefusedError):
            fault.url = f"s3://{bucket}/{key}"
        raise fault

    with acting.patch.context() as patch:
        patch.setattr(Store, method, fail)
        yield


def _refused_images(fault: PhotochromError, method: str, acting: Acting) -> None:
    with acting.patch.context() as patch:
        jobs = sent_jobs(patch)
        name = f"{type(fault).__name__.lower()}-{method}"
        _begun(acting, source="s3://archive/in", destination="s3://coloured/out/refused", name=name)
    for job in jobs:
        often = job.model_copy(update={"attempt": acting.held.settings.refused_attempts})
        with _failing(fault, method, acting), acting.as_role("worker"):
            run_job(often, acting.held, lambda: True, lambda model: acting.engine)


def _refused_photographs(fault: PhotochromError, acting: Acting) -> None:
    source, store = "s3://photographs/colour/learnt/", acting.held.store
    [photograph, *_] = list_source(source, store)
    for role in ("training", "promoter"):
        with _failing(fault, "get", acting), acting.as_role(role):
            refused(fetch, source, photograph, store)


def _a_run_asked_for_in_vain(acting: Acting) -> None:
    """A name that another run has, an evaluation set that is not there."""
    settings, store = acting.held.settings, acting.held.store
    another = Request(
        name="run", model="autoencoder", recipe=TINY, encoder="", source="s3://photographs/other/", evaluation="frozen"
    )
    for role in ("control", "promoter"):
        with acting.as_role(role):
            refused(Runs(store, settings).start, another)
            refused(evaluation_set.load, "missing", store, settings)


def _a_run_on_another_machine(acting: Acting) -> None:
    """It is looked at, and goes on from its last copy."""
    settings, store = acting.held.settings, acting.held.store
    runs = Runs(store, settings)
    acting.patch.setattr(run_commands, "_tools", lambda: (runs, settings, store))
    with acting.as_role("promoter"):
        run_commands.show("run", acting.folder / "shown")
    empty = acting.folder / "another-machine"
    empty.mkdir()
    with acting.as_role("training"):
        bring(runs.load("run"), empty, store, settings)
    assert any(empty.iterdir())
