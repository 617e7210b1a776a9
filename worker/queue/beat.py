"""Celery's clock, which sends the control process its ticks: a broker that is away is no news each time."""

from __future__ import annotations

import logging
from typing import Any

from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from photochrom.worker.process.background import in_one_line
from photochrom.worker.telemetry.outage import REMINDER_SECONDS, Outage

log = logging.getLogger("photochrom.queue")

MOST_WAIT = 5.0
"""Seconds between two tries to reach the broker."""

AWAY = (OperationalError, RedisError, OSError)


class PatientScheduler(Scheduler):
    """Leaves out the ticks that cannot be sent: the next one does the same work.

    The process beside it says that Redis is away. This says that ticks are not sent when that has lasted a minute.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        what = "no ticks are sent to the control process"
        self._outage = Outage(log, what, action="ticks_not_sent", back="ticks_sent", patience=REMINDER_SECONDS)
        super().__init__(*args, **options)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            if not isinstance(error.__context__, AWAY):
                self._connect_anew_after(error)
                return
            self._outage.is_away(f"Redis cannot be reached ({type(error.__context__).__name__})")
        except AWAY as error:
            self._outage.is_away(f"Redis cannot be reached ({type(error).__name__})")
        else:
            self._outage.is_back()

    def _connect_anew_after(self, error: SchedulingError) -> None:
        """Kombu fails in many ways over a channel that it closed itself: the next tick goes over another one."""
        for name in ("producer", "connection"):
            self.__dict__.pop(name, None)
        log.error("a tick cannot be sent: %s", in_one_line(error), extra={"action": "ticks_not_sent"})
        log.debug("a tick cannot be sent", exc_info=error, extra={"action": "ticks_not_sent"})

    def _ensure_connected(self) -> Any:
        return self.connection.ensure_connection(
            lambda error, _: self._outage.is_away(f"Redis cannot be reached ({type(error).__name__})"),
            interval_max=MOST_WAIT,
        )
