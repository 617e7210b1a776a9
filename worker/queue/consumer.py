"""Celery's consumer of messages, patient with a broker that is away: it waits, says so, and goes on by itself."""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state
from celery.worker.consumer import Consumer
from redis.exceptions import ConnectionError as Lost

from photochrom.worker.queue import readiness, redis_watch
from photochrom.worker.queue.heartbeat import beating
from photochrom.worker.queue.intake import Intake
from photochrom.worker.queue.redis_watch import Watch, log
from photochrom.worker.settings import settings
from photochrom.worker.telemetry.outage import Outage

FIRST_WAIT, MORE_WAIT, MOST_WAIT = 0.5, 0.5, 5.0
"""Seconds between two tries to reach the broker, by how much they grow, and how far."""


class PatientConsumer(Consumer):
    """Made once in each process that takes messages; started again with each connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.intake = Intake(readiness.may_take)
        self.outage = Outage(log, "the queue", action="redis_lost", back="redis_back")
        self._watch: Watch | None = None
        super().__init__(*args, **options)

    def ensure_connected(self, conn: Any) -> Any:
        """Wait until there is a connection, for ever."""
        conn.transport_options["intake"] = self.intake
        self._be_watched()
        with beating():
            conn.ensure_connection(self._is_away, None, FIRST_WAIT, MORE_WAIT, MOST_WAIT, callback=state.maybe_shutdown)
        self.first_connection_attempt = False
        return conn

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        self._is_away(exc)
        time.sleep(FIRST_WAIT)  # it may be lost again at once, and Celery would try at once

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        self._is_away(exc)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CPendingDeprecationWarning)  # of a default in Celery 6
            super().on_connection_error_after_connected(exc)
        time.sleep(FIRST_WAIT)

    def on_close(self) -> None:
        self.intake.connected = False
        super().on_close()

    def on_ready(self) -> None:
        """Called when messages are waited for, after each connection."""
        super().on_ready()
        self.intake.connected = True

    def _is_away(self, exc: BaseException, interval: float = 0) -> None:
        self.intake.connected = False
        self.outage.is_away(f"Redis cannot be reached ({type(exc).__name__})")

    def _be_watched(self) -> None:
        """From the first connection on: what is forked before has no such thread."""
        if self._watch is None:
            queues = list(self.app.amqp.queues.consume_from)
            waiting = partial(redis_watch.messages_waiting, settings(), queues)
            self._watch = Watch(
                self.intake, waiting, self._rebuild, redis_watch.end_at_once, self.outage, readiness.is_ready
            )
            self._watch.start()

    def _rebuild(self) -> None:
        """Have the main loop find its connection broken: Celery then makes everything anew."""
        self.hub.call_soon(_break)


def _break() -> None:
    raise Lost("nothing was taken over it")
