"""Watches over a process's taking of messages, from a thread: says whether it is ready, and mends what does not take.

A process that lives, says that it is ready and does nothing is the worst of all: nobody looks at it. Where messages
wait, nothing is in hand and nothing was taken for a while, although all that is needed answers, the connection from
which messages are taken is made anew. Where that does not help, the process ends, and who supervises it starts another.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from time import monotonic

import redis
from billiard import active_children  # type: ignore[import-untyped]
from redis.backoff import NoBackoff
from redis.retry import Retry

from photochrom.worker.errors import RetryableError
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.connection import redis_translated
from photochrom.worker.process import shutdown
from photochrom.worker.queue.app import mark_ready, mark_unready
from photochrom.worker.queue.intake import Intake
from photochrom.worker.settings import Settings
from photochrom.worker.telemetry.outage import Outage

log = logging.getLogger("photochrom.queue")

STUCK_SECONDS = 30.0
"""For which nothing is taken before the connection is made anew; after as long again the process ends."""

LOOK_SECONDS, AGAIN_SECONDS, SHOW_SECONDS = 5.0, 1.0, 0.5
"""Between two questions to the broker, the same while it is away, and between two looks at what is known here."""

ANSWER_SECONDS = 5.0
"""For the broker to be reached and to answer."""

PROBE_SECONDS = 60
"""For which the key is kept by whose writing it is seen whether Redis writes."""

STUCK_CODE = 70
"""With which a process ends that cannot be mended: "internal software error" of sysexits.h."""


class Watch:
    """Asks the broker with `waiting`: how many messages wait; it raises RetryableError while the broker is away.

    `rebuild` has the connection made anew; `end` ends the process.
    """

    def __init__(
        self,
        intake: Intake,
        waiting: Callable[[], int],
        rebuild: Callable[[], None],
        end: Callable[[], None],
        outage: Outage,
        is_ready: Callable[[], bool],
    ) -> None:
        self._intake, self._waiting, self._rebuild, self._end = intake, waiting, rebuild, end
        self._outage, self._is_ready = outage, is_ready
        self._answers = False
        self._idle_since: float | None = None
        self._rebuilt = False

    def start(self) -> threading.Thread:
        """Watch for as long as this process lives."""
        thread = threading.Thread(target=self._keep_looking, name="watch", daemon=True)
        thread.start()
        return thread

    def look(self) -> None:
        """Ask the broker, and do what has to be done."""
        try:
            waiting = self._waiting()
        except RetryableError as error:
            self._answers, self._idle_since = False, None
            self._outage.is_away(error)
            return
        self._answers = True
        if self._intake.connected:
            self._outage.is_back()
        self._judge(waiting)

    def show(self) -> None:
        """Say by the file whether this process is ready."""
        if self._is_ready() and self._answers and self._intake.connected and not self._intake.stuck:
            mark_ready()
        else:
            mark_unready()

    def _judge(self, waiting: int) -> None:
        now, intake = monotonic(), self._intake
        if not waiting or intake.has_in_hand or not intake.may_take() or shutdown.is_draining():
            self._idle_since = None
            return
        if self._idle_since is None or intake.taken_at > self._idle_since:
            self._idle_since, self._rebuilt, intake.stuck = now, False, False
        idle = now - self._idle_since
        if idle >= 2 * STUCK_SECONDS:
            log.critical(
                "%d messages wait and none was taken for %.0f s: this process ends",
                waiting,
                idle,
                extra={"action": "worker_stopped"},
            )
            self._end()
        elif idle >= STUCK_SECONDS and not self._rebuilt:
            log.error(
                "%d messages wait and none was taken for %.0f s: connecting to Redis anew",
                waiting,
                idle,
                extra={"action": "queue_stuck"},
            )
            self._rebuilt = intake.stuck = True
            self._rebuild()

    def _keep_looking(self) -> None:
        looked_at = float("-inf")
        while True:
            try:
                if monotonic() - looked_at >= (LOOK_SECONDS if self._answers else AGAIN_SECONDS):
                    looked_at = monotonic()
                    self.look()
                self.show()
            except Exception:  # nobody else watches
                log.exception("not foreseen", extra={"action": "watch_failed"})
            time.sleep(SHOW_SECONDS)


def messages_waiting(chosen: Settings, queues: Sequence[str]) -> int:
    """How many wait in these queues, asked over a connection of its own, as whoever comes anew would have to.

    Raises RetryableError while Redis cannot be reached, or refuses to answer or to write.
    """
    lists = [f"{queue}\x06\x16{step}" if step else queue for queue in queues for step in keys.PRIORITIES.values()]
    with redis_translated(), closing(_client(chosen)) as client, client.pipeline(transaction=False) as asked:
        for queue in queues:  # a full Redis answers, and no message can be taken from it
            asked.set(keys.probe(queue), "", ex=PROBE_SECONDS)
        for name in lists:
            asked.llen(name)
        return sum(asked.execute()[len(queues) :])


def end_at_once() -> None:
    """End this process and its children: they have nothing in hand."""
    for child in active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
    logging.shutdown()
    os._exit(STUCK_CODE)


def _client(chosen: Settings) -> redis.Redis:
    return redis.Redis.from_url(
        chosen.redis_url.get_secret_value(),
        socket_connect_timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
