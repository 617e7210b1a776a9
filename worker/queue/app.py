"""The Celery application: JSON only, acknowledged late, redelivered promptly, nothing hoarded.

Each role has its own queue and its own set of unacknowledged messages, so that one role's visibility time-out never
gives out another role's work twice. Tasks are sent by name: whoever only submits imports none of them.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from celery import Celery, signals
from celery.exceptions import Reject, Retry
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from photochrom.worker.errors import RetryableError, UsageError
from photochrom.worker.jobs.messages import Job
from photochrom.worker.ledger import keys
from photochrom.worker.process import shutdown
from photochrom.worker.settings import Settings, adopt, settings
from photochrom.worker.telemetry import logs

Role = Literal["colorize", "control", "training"]

COLORIZE, SUBMIT, TRAIN_STEP = "photochrom.colorize", "photochrom.submit", "photochrom.train_step"
ADVANCE, RECONCILE, INBOX = "photochrom.advance", "photochrom.reconcile", "photochrom.inbox"
TRAINING = "photochrom.training_tick"
"""Names of the tasks."""

READY_FILE = "PHOTOCHROM_READY_FILE"
"""Names a file that exists while the process is ready to work; for whoever starts it."""

_CHATTY = ("celery.app.trace", "celery.beat", "celery.worker.request", "celery.worker.strategy")
"""Loggers that write two lines a message; our own write one an image."""

_TRACING = "celery.app.trace"
"""The logger that writes a traceback of every message that is given back."""

_REPEATING = "celery.worker.consumer.consumer"
"""The logger that writes a line at each try to reach the broker; our own says it once a minute."""

_TELLING = ("botocore", "boto3", "urllib3")
"""Libraries whose lines at DEBUG hold whole requests and answers, with session tokens and keys in them."""

CHILD_START_SECONDS = 120
"""A child that still loads its model is not dead; Celery's own limit is 4 s."""

SWEEP_LOCK_SECONDS = 10
"""For which a worker that was killed while it looked for messages to give out again keeps others from looking.
Celery's own figure is five minutes; a look takes milliseconds."""

CONNECT_SECONDS, ANSWER_SECONDS = 10, 30
"""For Redis to be reached and to answer: a main loop that waited for ever would look dead, and be none the wiser."""

VERIFIED = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
"""Of TLS to Redis, where the URL says nothing else: without it, Celery would take any certificate, or none."""

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
    worker_enable_prefetch_count_reduction=False,  # of no use where nothing is fetched ahead
    worker_send_task_events=False,
    worker_enable_remote_control=False,  # who may send a message could else tell workers to stop
    worker_consumer="photochrom.worker.queue.message_guard:GuardedConsumer",
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    beat_scheduler="photochrom.worker.queue.beat:PatientScheduler",  # in memory: Celery's own choice keeps a pickle
    result_backend=None,
)


def connect(chosen: Settings | None = None, role: Role = "control") -> Celery:
    """The application, set up for a role (or for sending, where the role does not matter)."""
    chosen = chosen or settings()
    broker = chosen.redis_url.get_secret_value()
    app.conf.update(
        broker_url=broker,
        broker_use_ssl=VERIFIED if broker.startswith("rediss:") else False,
        broker_transport_options={
            "visibility_timeout": chosen.visibility_timeout,
            "unacked_key": keys.UNACKED.format(role=role),
            "unacked_index_key": keys.UNACKED_INDEX.format(role=role),
            "unacked_mutex_key": keys.UNACKED_MUTEX.format(role=role),
            "unacked_mutex_expire": SWEEP_LOCK_SECONDS,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_keepalive": True,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
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


def run(role: Role, chosen: Settings, name: str, options: list[str], modules: list[str]) -> None:
    """Serve a role's queue with these settings until told to stop, by the tasks in these modules.

    Blocks; ends its work cleanly on SIGTERM.
    """
    from photochrom.worker.queue import broker

    adopt(chosen)
    connect(chosen, role).conf.include = modules
    broker.use_for_redis()
    _be_seen(role, chosen)
    for logger in _TELLING:
        logging.getLogger(logger).setLevel(logging.INFO)
    if chosen.log_level != "DEBUG":
        for logger in _CHATTY:
            logging.getLogger(logger).setLevel(logging.WARNING)
        logging.getLogger(_REPEATING).setLevel(logging.ERROR)
        logging.getLogger(_TRACING).addFilter(logs.OneLine(Reject, Retry))
    arguments: list[Any] = ["worker", "--queues", f"photochrom.{role}", "--hostname", f"{name}@%h"]
    quiet = ["--loglevel", chosen.log_level, "--without-gossip", "--without-mingle", "--without-heartbeat"]
    bannerless = ["--quiet"] if chosen.log_format == "json" else []
    app.worker_main([*bannerless, *arguments, *quiet, *options])


def _be_seen(role: Role, chosen: Settings) -> None:
    """Give signs of life, and metrics where a port is set for them. Raises UsageError where that cannot be."""
    from photochrom.worker.queue.heartbeat import Heartbeat, beat
    from photochrom.worker.telemetry import exporter

    mark_unready()  # the file of a process that was killed may be there
    beat()
    app.steps["worker"].add(Heartbeat)
    if not chosen.metrics_port:
        return
    exporter.prepare(several=role == "colorize" and chosen.pool == "prefork")
    exporter.serve(chosen.metrics_port, role)


def send_job(job: Job, producer: Any = None) -> None:
    """Put a job into the queue of its priority.

    Raises RetryableError when Redis is away.
    """
    with _queue_translated():
        app.send_task(
            COLORIZE,
            args=[job.message()],
            argsrepr=job.submission,  # otherwise every key is written twice
            priority=job.task.priority,
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
    """Tell whoever started this process that it is ready to work; nothing while it drains."""
    name = os.environ.get(READY_FILE)
    if name and not shutdown.is_draining():
        Path(name).touch()
        if shutdown.is_draining():  # from just now on
            mark_unready()


def mark_unready() -> None:
    """Tell whoever started this process that it could not work now."""
    if name := os.environ.get(READY_FILE):
        Path(name).unlink(missing_ok=True)


@signals.worker_shutting_down.connect
def _drain(**_: object) -> None:
    """Whatever the role: what is in hand is ended, and within the time that is set the process has ended, too."""
    from photochrom.worker.queue.heartbeat import beat

    shutdown.start_draining()
    shutdown.end_within(settings().drain_seconds)
    with suppress(UsageError):
        beat(ahead=settings().drain_seconds)  # the main loop turns no more
    mark_unready()


@signals.after_setup_logger.connect
@signals.after_setup_task_logger.connect
def _dress(logger: logging.Logger, **_: object) -> None:
    logs.dress(logger, settings().log_format)
