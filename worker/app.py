"""The Celery application: JSON only, acknowledged late, redelivered promptly, nothing hoarded.

Each role has its own queue and its own set of unacknowledged messages, so that one role's visibility time-out never
gives out another role's work twice. Tasks are sent by name: whoever only submits imports none of them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from celery import Celery, signals
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker import drain, keys
from worker.errors import RetryableError
from worker.job import Job
from worker.settings import Settings, settings

Role = Literal["colorize", "control", "training"]

COLORIZE, SUBMIT, TRAIN_STEP = "photochrom.colorize", "photochrom.submit", "photochrom.train_step"
ADVANCE, RECONCILE, INBOX = "photochrom.advance", "photochrom.reconcile", "photochrom.inbox"
TRAINING = "photochrom.training_tick"
"""Names of the tasks."""

READY_FILE = "PHOTOCHROM_READY_FILE"
"""Names a file that exists while the process is ready to work; for whoever starts it."""

_MODULES: dict[Role, list[str]] = {
    "colorize": ["worker.tasks"],
    "control": ["producer.control", "training.runs.ticks"],
    "training": ["training.runs.tasks"],
}

_CHATTY = ("celery.app.trace", "celery.beat", "celery.worker.strategy")
"""Loggers that write two lines a message; our own write one an image."""

CHILD_START_SECONDS = 120
"""A child that still loads its model is not dead; Celery's own limit is 4 s."""

SWEEP_LOCK_SECONDS = 10
"""For which a worker that was killed while it looked for messages to give out again keeps others from looking.
Celery's own figure is five minutes; a look takes milliseconds."""

app = Celery("photochrom", set_as_current=True)
app.conf.update(
    task_serializer="json",
    event_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_default_queue="photochrom.control",
    task_routes={COLORIZE: {"queue": keys.QUEUE}, TRAIN_STEP: {"queue": keys.TRAINING_QUEUE}},
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_proc_alive_timeout=CHILD_START_SECONDS,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    beat_scheduler="celery.beat:Scheduler",  # in memory: the other one keeps a pickle
    result_backend=None,
)


def connect(chosen: Settings | None = None, role: Role = "control") -> Celery:
    """The application, set up for a role (or for sending, where the role does not matter)."""
    chosen = chosen or settings()
    app.conf.update(
        broker_url=chosen.redis_url.get_secret_value(),
        broker_transport_options={
            "visibility_timeout": chosen.visibility_timeout,
            "unacked_key": keys.UNACKED.format(role=role),
            "unacked_index_key": keys.UNACKED_INDEX.format(role=role),
            "unacked_mutex_key": keys.UNACKED_MUTEX.format(role=role),
            "unacked_mutex_expire": SWEEP_LOCK_SECONDS,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_keepalive": True,
        },
        beat_schedule={
            task: {"task": task, "schedule": seconds, "options": {"expires": 2 * seconds}}
            for task, seconds in (
                (ADVANCE, chosen.control_interval),
                (RECONCILE, chosen.reconcile_interval),
                (INBOX, chosen.reconcile_interval),
                (TRAINING, chosen.reconcile_interval),
            )
        },
    )
    return app


def run(role: Role, chosen: Settings, name: str, options: list[str]) -> None:
    """Serve a role's queue until told to stop. Blocks; ends the process's work cleanly on SIGTERM."""
    connect(chosen, role).conf.include = _MODULES[role]
    if chosen.log_level != "DEBUG":
        for logger in _CHATTY:
            logging.getLogger(logger).setLevel(logging.WARNING)
    arguments: list[Any] = ["worker", "--queues", f"photochrom.{role}", "--hostname", f"{name}@%h"]
    quiet = ["--loglevel", chosen.log_level, "--without-gossip", "--without-mingle"]
    app.worker_main([*arguments, *quiet, *options])


def send_job(job: Job, wait: float = 0, producer: Any = None) -> None:
    """Put a job into the queue of its priority; it is given out after `wait` seconds at the earliest.

    Raises RetryableError when Redis is away.
    """
    with _queue_translated():
        app.send_task(
            COLORIZE,
            args=[job.message()],
            argsrepr=job.submission,  # otherwise every key is written twice
            priority=job.task.priority,
            countdown=wait or None,
            producer=producer,
        )


def send_step(run: str) -> None:
    """Ask for the next step of a training run. Raises RetryableError when Redis is away."""
    with _queue_translated():
        app.send_task(TRAIN_STEP, args=[run])


@contextmanager
def _queue_translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, RedisError) as error:
        raise RetryableError(f"the queue cannot be reached ({type(error).__name__})") from error


def mark_ready() -> None:
    """Tell whoever started this process that it is ready to work."""
    if name := os.environ.get(READY_FILE):
        Path(name).touch()


@signals.worker_shutting_down.connect
def _drain(**_: object) -> None:
    """Whatever the role: what is in hand is ended, and within the time that is set the process has ended, too."""
    drain.start_draining()
    drain.end_within(settings().drain_seconds)


@signals.worker_shutting_down.connect
def _no_longer_ready(**_: object) -> None:
    if name := os.environ.get(READY_FILE):
        Path(name).unlink(missing_ok=True)
