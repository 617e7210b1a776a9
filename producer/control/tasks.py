"""The control process: its tasks. Every tick may run twice, and in two processes; a lock lets one work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

from celery import signals

from photochrom.producer.control.advance import advance
from photochrom.producer.control.due import send_due
from photochrom.producer.control.inbox import take_inbox
from photochrom.producer.control.listing import Listings
from photochrom.producer.control.metrics import PUT_BACK, TICKED, Queue
from photochrom.producer.control.rebuild import ensure_epoch
from photochrom.producer.control.reconcile import reconcile
from photochrom.producer.control.turn import take_turn
from photochrom.producer.control.turns import Turns
from photochrom.producer.records.submission import Submission, load, make, parse_request
from photochrom.worker.errors import PhotochromError, RetryableError
from photochrom.worker.jobs.context import Resources, resources
from photochrom.worker.queue.app import ADVANCE, INBOX, RECONCILE, SUBMIT, app
from photochrom.worker.queue.readiness import ready_later
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import NotFoundError
from photochrom.worker.telemetry.exporter import tell_also

log = logging.getLogger("photochrom.control")

TICKS = ("advance", "reconcile", "inbox")

LISTING_THREADS = 4
"""Sources that are listed at once. More would take the interpreter from the ticks, since most of it is parsing."""

LAST_TURNS_SECONDS = 5.0
"""For which a process that ends waits for its listings to note where they stand; at most half of the time to drain."""

tell_also(Queue())


@signals.worker_init.connect
def _begin(**_: object) -> None:
    for tick in TICKS:
        _ticked(tick)  # from now on it is late; without a figure nobody would see that it never came


@signals.worker_ready.connect
def _ready(**_: object) -> None:
    ready_later(_ask_s3)


@signals.worker_shutdown.connect
def _end_turns(**_: object) -> None:
    if not turns().finish(min(LAST_TURNS_SECONDS, resources().settings.drain_seconds / 2)):
        log.warning("a listing that waits for S3 is cut off", extra={"action": "listing_cut_off"})


def _ask_s3() -> None:
    """Raises RetryableError, WorkerFault while S3 does not answer."""
    held = resources()
    with suppress(NotFoundError):
        held.store.get(held.settings.state_bucket, state_keys.EPOCH)


@app.task(name=SUBMIT, autoretry_for=(RetryableError,), retry_backoff=True, max_retries=None)
def submit_task(source: str, destination: str, **options: object) -> None:
    """Make a submission, as `photochrom.producer.records.submission.submit` does. A refused one is logged."""
    try:
        make(parse_request({"source": source, "destination": destination, **options}), resources().settings)
    except RetryableError:
        raise
    except PhotochromError as error:
        log.error("submission refused: %s", error, extra={"action": "submission_refused"})


@app.task(name=ADVANCE)
def advance_all() -> None:
    """One tick: send what waited for another try, close what has ended, let what there is room for be listed."""
    _send_due()
    _for_each_active("advance", _advance)


def _send_due() -> None:
    try:
        send_due(resources())
    except PhotochromError as error:
        log.warning("what is due waits: %s", error, extra={"action": "ledger_unknown"})
    except Exception:  # the submissions are not to wait for it
        log.exception("what is due: not foreseen", extra={"action": "ledger_unknown"})


@app.task(name=RECONCILE)
def reconcile_all() -> None:
    """Put back what went missing from the queue."""
    _for_each_active("reconcile", _reconcile)


@app.task(name=INBOX)
def inbox() -> None:
    """Make submissions of the files in the inbox."""
    held = resources()
    try:
        with held.ledger.lock("inbox") as mine:
            if mine:
                take_inbox(held)
    except PhotochromError as error:
        log.warning("the inbox waits: %s", error, extra={"action": "inbox_waits"})
    else:
        _ticked("inbox")


def _for_each_active(tick: str, work: Callable[[Submission, Resources], object]) -> None:
    """Do something for every submission that has not ended; nothing while the ledger is not the true one.

    One lock for all kinds of work: a page between its ledger entry and its messages would look lost.
    """
    held = resources()
    try:
        names = held.ledger.active() if ensure_epoch(held) else []
    except PhotochromError as error:
        log.warning("the ledger cannot be checked: %s", error, extra={"action": "ledger_unknown"})
        return
    listings().keep_only(names)
    for name in names:
        with _waiting_alone(name), held.ledger.lock(f"advance:{name}") as mine:
            if mine:
                work(load(name, held.store, held.settings), held)
    _ticked(tick)


@contextmanager
def _waiting_alone(name: str) -> Iterator[None]:
    """Whatever is wrong with one submission, the others are not to wait for it."""
    extra = {"action": "submission_waits", "submission": name}
    try:
        yield
    except PhotochromError as error:
        log.warning("submission %s waits: %s", name, error, extra=extra)
    except Exception:
        log.exception("submission %s: not foreseen", name, extra=extra)


def _ticked(tick: str) -> None:
    TICKED.labels(tick).set(time.time())


def _reconcile(submission: Submission, held: Resources) -> None:
    PUT_BACK.inc(reconcile(submission, held))


def _advance(submission: Submission, held: Resources) -> None:
    if held.ledger.is_cancelled(submission.name):
        held.ledger.retire(submission.name)
    elif advance(submission, held):
        turns().ask(submission.name)


@cache
def listings() -> Listings:
    """Those of this process."""
    return Listings()


@cache
def turns() -> Turns:
    """In which this process lists sources."""
    return Turns(list_on, LISTING_THREADS)


def list_on(name: str) -> None:
    """One turn of a submission's listing."""
    held = resources()
    with _waiting_alone(name):
        take_turn(load(name, held.store, held.settings), listings(), held)
