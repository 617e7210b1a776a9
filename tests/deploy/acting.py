"""Every role at its work, on S3 in memory: what each asks of S3 in the course of it is recorded."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import moto.s3.models
import numpy as np
from PIL import Image

import photochrom.worker.s3.store
from photochrom.producer.client import lifecycle
from photochrom.producer.client.commands import _dry_run
from photochrom.producer.client.report import write_report
from photochrom.producer.control import turn
from photochrom.producer.control.inbox import take_inbox
from photochrom.producer.control.rebuild import ensure_epoch
from photochrom.producer.control.reconcile import reconcile
from photochrom.producer.records.progress import progress, quarantined
from photochrom.producer.records.submission import load, parse_request, submit
from photochrom.training.cli.models import _card, _known
from photochrom.training.evaluation.creation import create
from photochrom.training.promotion import Promotions
from photochrom.training.recipe import Recipe
from photochrom.training.runs import schedule
from photochrom.training.runs.context import Desk
from photochrom.training.runs.records import Runs
from photochrom.training.runs.request import FROM_ENCODER, Request, request_of
from photochrom.training.runs.steps import take_step
from photochrom.worker.coloring.runner import run_job
from photochrom.worker.errors import PhotochromError
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Job
from photochrom.worker.models.registry import Registry, sha256_of_starter
from photochrom.worker.queue import app
from photochrom.worker.s3 import state_keys
from tests.deploy.recorded import Recorder
from tests.ticks import advance

LARGE = 2**14
"""Bytes beyond which objects are written in parts here, so that a small one shows what large ones take."""

TINY = Recipe(
    architecture="autoencoder",
    config={"side": 16, "kernel": 3, "filters": [4, 4], "dense": 128},
    epochs=1,
    images_per_epoch=8,
    batch=4,
    sides=(16,),
    validation_side=16,
    warmup=1,
    low_precision=False,
)


class Acting(NamedTuple):
    """What the roles work with. `encoded` makes the bytes of a colour photograph, every number another."""

    held: Resources
    recorder: Recorder
    engine: Any
    encoded: Callable[[int], bytes]
    folder: Path
    patch: Any

    def as_role(self, role: str) -> Any:
        return self.recorder.acting(role)

    def with_settings(self, **changes: Any) -> Acting:
        return self._replace(held=self.held._replace(settings=self.held.settings.model_copy(update=changes)))

    @contextmanager
    def in_parts_beyond(self, most: int) -> Iterator[None]:
        with self.patch.context() as patch:
            patch.setattr(photochrom.worker.s3.store, "PART_BYTES", most)
            patch.setattr(moto.s3.models, "S3_UPLOAD_PART_MIN_SIZE", 1)
            yield


def play(acting: Acting) -> None:
    """All of it: submissions to their end, a training run to its promotion, versions cleared away."""
    jobs = sent_jobs(acting.patch)
    app.connect(acting.held.settings)
    _photographs(acting)
    _work_through_submissions(acting, jobs)
    _serve_versions(acting)
    learnt = _judged_and_begun(acting)
    _learn(acting, learnt)
    _promote(acting)
    _clear_away(acting)


def sent_jobs(patch: Any) -> list[Job]:
    """Where jobs go from now on, in place of a queue."""
    jobs: list[Job] = []
    patch.setattr(app.app, "send_task", lambda name, args, **_: jobs.append(Job.parse(args[0])))
    return jobs


def _photographs(acting: Acting) -> None:
    store = acting.held.store
    for number in range(2):
        store.put("archive", f"in/good-{number}.png", _gray(number))
    for number in range(16):
        store.put("archive", f"in/{number:03d}-{'with-a-long-name-' * 5}empty.jpg", b"")
    lines = ['{"key": "in/good-0.png"}', '{"key": "elsewhere/secret.png"}', '{"key": "in/gone.png"}']
    store.put("archive", "manifests/some.jsonl", "\n".join(lines).encode())
    for number in range(32):
        store.put("photographs", f"colour/{'learnt' if number < 12 else 'judged'}/{number}.png", acting.encoded(number))


def _gray(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (96, 96), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _work_through_submissions(acting: Acting, jobs: list[Job]) -> None:
    held = acting.held
    asked = {"source": "s3://archive/in", "destination": "s3://coloured/out"}
    with_manifest = {**asked, "manifest": "s3://archive/manifests/some.jsonl"}
    missing = {**asked, "manifest": "s3://archive/manifests/missing.jsonl"}
    with acting.as_role("submit"):
        submit(**asked, settings=held.settings, name="first")
        submit(**asked, settings=held.settings, name="first")
        _dry_run(parse_request(with_manifest), as_json=True)
        refused(_dry_run, parse_request(missing), as_json=True)
    with acting.as_role("inbox"):
        held.store.put(held.settings.state_bucket, f"{state_keys.INBOX}good.json", json.dumps(with_manifest).encode())
    held.store.put(held.settings.state_bucket, f"{state_keys.INBOX}bad.json", b"?")
    with acting.as_role("control"):
        submit(**asked, settings=held.settings, name="by-message")
        ensure_epoch(held)
        take_inbox(held)
        submit(**missing, settings=held.settings, name="missing")
        refused(advance, load("missing", held.store, held.settings), held)
    for name in ("missing", "by-message"):  # there is no more to be seen of them
        held.ledger.retire(name)
    for name in ("first", *(name for name in held.ledger.active() if name != "first")):
        _to_its_end(name, acting, jobs)
    _afterwards(acting)


def _to_its_end(name: str, acting: Acting, jobs: list[Job]) -> None:
    held, few = acting.held, acting.with_settings(page_images=10).held
    with acting.as_role("control"):
        submission = load(name, held.store, held.settings)
        with acting.patch.context() as patch:
            patch.setattr(turn, "TURN_SECONDS", 0)  # time for one key, as in a source that has millions
            patch.setattr(turn, "NOTED_EVERY", 0)
            advance(submission, few)
        advance(submission, few)
        lost, jobs[:] = jobs[:1], jobs[1:]  # one job goes missing, and is found
        reconcile(submission, held)
        reconcile(submission, held)
    with acting.as_role("submit"):
        progress(name, held.settings)
    with acting.as_role("worker"), acting.in_parts_beyond(LARGE):
        for job in (*jobs, *lost):
            run_job(job, held, lambda: True, lambda model: acting.engine)
    jobs.clear()
    with acting.as_role("control"):
        advance(submission, few)
        held.ledger._redis.flushall()  # Redis is lost
        for _ in range(2):
            ensure_epoch(held)


def _afterwards(acting: Acting) -> None:
    held = acting.held
    with acting.as_role("submit"), acting.in_parts_beyond(1024):
        write_report("first", held)
        found = list(quarantined("first", held.settings))
        next(iter(found))
        again = lifecycle.redrive("first", None, held)
        lifecycle.cancel(again, held)
        lifecycle.resume(again, held)
        acting.patch.setattr(lifecycle, "BETWEEN_LOOKS", 0)
        lifecycle.reconcile_now(again, held)
    if progress("first", held.settings).done != 2:
        raise AssertionError("the submission did not come to its end")


def _serve_versions(acting: Acting) -> None:
    """A worker and whoever submits, with a version that was promoted, one that is gone, one by its first digits."""
    store, settings = acting.held.store, acting.held.settings
    version = sha256_of_starter("autoencoder")
    with acting.as_role("promoter"):
        Promotions(store, settings).promote(version, "a test")
    with acting.patch.context() as patch:
        patch.setattr(
            "photochrom.worker.models.registry._starter_of", lambda sha256: None
        )  # as any version that was trained
        with acting.as_role("worker"):
            registry = Registry(store, settings.model_copy(update={"model_cache": acting.folder / "models"}))
            registry.weights(registry.pointer().promotion.sha256)
            refused(registry.weights, "f" * 64)
        with acting.as_role("control"):
            source = {"source": "s3://photographs/colour/learnt/", "model": "autoencoder"}
            request_of(settings, store, "from-champion", **source)
    for role in ("control", "submit"):
        with acting.as_role(role):
            submit("s3://archive/in", "s3://coloured/out", settings=settings, model=version[:12], name=f"of-{role}")
            submit("s3://archive/in", "s3://coloured/out", settings=settings, stale=True, name=f"stale-{role}")


def refused(call: Callable[..., object], *arguments: object, **options: object) -> None:
    """Call what has to fail."""
    try:
        call(*arguments, **options)
    except PhotochromError:
        return
    raise AssertionError("it was to be refused")


def _judged_and_begun(acting: Acting) -> str:
    """People make an evaluation set and begin, stop and resume runs; the control process begins one that is due."""
    store, settings = acting.held.store, acting.held.settings
    with acting.as_role("promoter"), acting.in_parts_beyond(LARGE):
        create("s3://photographs/colour/judged/", "frozen", store, settings)
        runs = Runs(store, settings)
        source = {"source": "s3://photographs/colour/learnt/", "evaluation": "frozen", "start": FROM_ENCODER}
        request_of(settings, store, "asked", **source)
        runs.start(Request(name="run", model="autoencoder", recipe=TINY, encoder="", **source))
        runs.stop("run")
        runs.resume("run")
        [runs.load(name) for name in runs.names()]
        request_of(settings, store, "from-champion", **{**source, "start": "champion", "model": "autoencoder"})
    due = settings.model_copy(
        update={
            "training_schedule": "* * * * *",
            "training_source": source["source"],
            "training_evaluation": "frozen",
            "training_recipe": "autoencoder",
        }
    )
    with acting.as_role("control"):
        now = datetime.now(UTC)
        other = due.model_copy(update={"training_recipe": "vgg16-yuv", "training_start": "vgg16-yuv"})
        schedule.start_what_is_due(store, other, now)
        schedule.start_what_is_due(store, other, now + timedelta(minutes=2))
        refused(schedule.start_what_is_due, store, due, now + timedelta(minutes=4))
        list(Runs(store, settings).active())
    return "run"


def _learn(acting: Acting, run: str) -> None:
    chosen = {"training_folder": acting.folder / "training", "training_step_seconds": 1e6, "training_save_steps": 1}
    held = acting.with_settings(**chosen, model_cache=acting.folder / "fetched").held
    with acting.as_role("training"), acting.in_parts_beyond(LARGE):
        desk = Desk.of(held.settings, lambda: False)
        while take_step(run, desk):
            pass
        status = desk.runs.load(run).position
        if status.status != "ended" or not status.verdict:
            raise AssertionError(status.why)
        promotions = Promotions(held.store, held.settings)
        promotions.promote(status.verdict.challenger, "a test")


def _promote(acting: Acting) -> None:
    promotions = Promotions(acting.held.store, acting.held.settings)
    with acting.as_role("promoter"):
        promotions.promote(sha256_of_starter("vgg16-yuv"), "a test")
        promotions.rollback("a test")
        list(promotions.history())
        for sha256 in _known(promotions):
            _card(promotions, sha256)
            promotions.evaluation(sha256)


def _clear_away(acting: Acting) -> None:
    promotions = Promotions(acting.held.store, acting.held.settings)
    with acting.as_role("collector"):
        found = promotions.collectable(1)
        for sha256 in found:
            promotions.delete(sha256)
    if not found:
        raise AssertionError("there was nothing to clear away")
