"""A worker's resources, and jobs for it."""

from types import SimpleNamespace

import pytest

from photochrom.worker.coloring import runner, tasks
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Job


@pytest.fixture
def held(settings, store, ledger, engine, monkeypatch):
    held = Resources(settings, store, ledger)
    monkeypatch.setattr(tasks, "engine_for", lambda model: engine)
    monkeypatch.setattr(tasks, "serving", lambda: SimpleNamespace(follow=lambda interval: None))
    monkeypatch.setattr(runner, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(runner.run_job, "__defaults__", (lambda model: engine,))
    monkeypatch.setattr(tasks, "resources", lambda: held)
    return held


@pytest.fixture
def make_job(held, photograph):
    """A job of so many good images in the archive; `contents` replaces the bytes of some (None: not there)."""

    def make(count=3, contents=None, sizes=None, **task):
        images = []
        for ordinal in range(count):
            key, data = f"in/{ordinal}.png", (contents or {}).get(ordinal, photograph(ordinal))
            etag = held.store.put("archive", key, data) if data is not None else '"gone"'
            size = (sizes or {}).get(ordinal, len(data or b""))
            images.append({"ordinal": ordinal, "key": key, "etag": etag, "size": size})
        task = {"source": "s3://archive/in", "destination": "s3://coloured/out", "model": "champion", **task}
        job = Job.parse({"submission": "s", "task": task, "images": images})
        held.ledger.activate(job.submission)
        return job

    return make


@pytest.fixture
def failing(held, monkeypatch):
    """Let calls for keys that end in a name fail: `_1=error` for in/1.png and out/1.png; gives the keys that failed."""

    def let(method, times=10**6, **errors):
        call, failed = getattr(held.store, method), []

        def instead(bucket, key, *arguments, **options):
            for name, error in errors.items():
                if key.endswith(f"/{name.removeprefix('_')}.png") and len(failed) < times:
                    failed.append(key)
                    raise error
            return call(bucket, key, *arguments, **options)

        monkeypatch.setattr(held.store, method, instead)
        return failed

    return let
