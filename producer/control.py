"""The control process: its tasks. Every tick may run twice, and in two processes; a lock lets one work."""

from __future__ import annotations

import logging

from celery import signals

from producer.advance import advance
from producer.inbox import take_inbox
from producer.rebuild import ensure_epoch
from producer.reconcile import reconcile
from producer.resources import resources
from producer.submission import load, make, parse_request
from worker.app import ADVANCE, INBOX, RECONCILE, SUBMIT, app, mark_ready
from worker.errors import PhotochromError, RetryableError

log = logging.getLogger("photochrom.control")


@signals.worker_ready.connect
def _ready(**_: object) -> None:
    mark_ready()


@app.task(name=SUBMIT, autoretry_for=(RetryableError,), retry_backoff=True, max_retries=None)
def submit_task(source: str, destination: str, **options: object) -> None:
    """Make a submission, as `producer.submission.submit` does. A refused one is logged."""
    try:
        make(parse_request({"source": source, "destination": destination, **options}), resources().settings)
    except RetryableError:
        raise
    except PhotochromError as error:
        log.error("submission refused: %s", error, extra={"action": "submission_refused"})


@app.task(name=ADVANCE)
def advance_all() -> None:
    """One tick: enqueue what there is room for, close what has ended."""
    held = resources()
    for name in _active():
        # reconciling takes the same lock: a page between its ledger entry and its messages would look lost
        with held.ledger.lock(f"advance:{name}") as mine:
            if not mine:
                continue
            try:
                if held.ledger.is_cancelled(name):
                    held.ledger.retire(name)
                else:
                    advance(load(name, held.store, held.settings), held)
            except PhotochromError as error:
                log.warning("submission %s waits: %s", name, error, extra={"action": "submission_waits"})


@app.task(name=RECONCILE)
def reconcile_all() -> None:
    """Put back what went missing from the queue."""
    held = resources()
    for name in _active():
        with held.ledger.lock(f"advance:{name}") as mine:
            if not mine:
                continue
            try:
                reconcile(load(name, held.store, held.settings), held)
            except PhotochromError as error:
                log.warning("submission %s not reconciled: %s", name, error)


@app.task(name=INBOX)
def inbox() -> None:
    """Make submissions of the files in the inbox."""
    held = resources()
    try:
        with held.ledger.lock("inbox") as mine:
            if mine:
                take_inbox(held)
    except PhotochromError as error:
        log.warning("the inbox waits: %s", error)


def _active() -> list[str]:
    """The submissions to look at; none while the ledger is not the true one."""
    held = resources()
    try:
        return held.ledger.active() if ensure_epoch(held) else []
    except PhotochromError as error:
        log.warning("the ledger cannot be checked: %s", error)
        return []
