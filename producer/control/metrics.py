"""What the control process tells Prometheus: the queue as it is when asked, and what its ticks did."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client import Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric

from photochrom.producer.control.reconcile import oldest_waiting
from photochrom.worker.errors import PhotochromError
from photochrom.worker.jobs.context import Resources, resources
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.connection import connection, redis_translated
from photochrom.worker.ledger.keys import PRIORITIES

log = logging.getLogger("photochrom.control")

PUT_BACK = Counter("photochrom_images_put_back", "Images that went missing from the queue and were put back")
KEYS_LISTED = Counter("photochrom_keys_listed", "Keys of sources that were looked at, photographs or not")
TICKED = Gauge(
    "photochrom_tick_timestamp_seconds",
    "Unix time at which a kind of tick last went through",
    ["tick"],
    multiprocess_mode="livemax",
)


class Queue:
    """What lies in Redis, found out each time that Prometheus asks. Without Redis only that it is away."""

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        up = GaugeMetricFamily("photochrom_redis_up", "Whether Redis answered the control process: 1 or 0")
        try:
            found = list(_found(resources()))
        except PhotochromError as error:
            log.warning("the queue cannot be looked at: %s", error, extra={"action": "queue_unknown"})
            found = []
        up.add_metric([], int(bool(found)))
        yield up
        yield from found


class _Seen(NamedTuple):
    """Lengths of the lists by priority, and what else one look at Redis gives."""

    waiting: dict[str, int]
    taken: int
    steps: int
    active: int


def _found(held: Resources) -> Iterator[Metric]:
    seen = _look(held)
    waiting = GaugeMetricFamily("photochrom_queue_jobs", "Jobs that wait, by priority", labels=["priority"])
    oldest = GaugeMetricFamily(
        "photochrom_queue_oldest_seconds", "Age of the oldest job that waits; 0 where none does", labels=["priority"]
    )
    for name, priority in PRIORITIES.items():
        waiting.add_metric([name], seen.waiting[name])
        sent = oldest_waiting(held, priority) if seen.waiting[name] else math.inf
        oldest.add_metric([name], max(0.0, held.ledger.now() - sent) if sent < math.inf else 0.0)
    yield waiting
    yield oldest
    yield GaugeMetricFamily("photochrom_jobs_taken", "Jobs that workers have taken and not acknowledged", seen.taken)
    yield GaugeMetricFamily("photochrom_submissions_active", "Submissions that have not ended", seen.active)
    yield GaugeMetricFamily(
        "photochrom_training_steps_waiting", "Steps of training runs that wait for a process", seen.steps
    )
    yield _images(held)


def _look(held: Resources) -> _Seen:
    client = connection(held.settings)
    with redis_translated(), client, client.pipeline(transaction=False) as pipe:
        for priority in PRIORITIES.values():
            pipe.llen(keys.queue(priority))
        pipe.hlen(keys.UNACKED.format(role="colorize"))
        pipe.llen(keys.TRAINING_QUEUE)
        pipe.scard(keys.ACTIVE)
        *waiting, taken, steps, active = pipe.execute()
    return _Seen(dict(zip(PRIORITIES, waiting, strict=True)), taken, steps, active)


def _images(held: Resources) -> Metric:
    """Of all active submissions together; single ones are asked for by `photochrom status`."""
    totals = dict.fromkeys(("enqueued", "done", "quarantined"), 0)
    for name in held.ledger.active():
        counts = held.ledger.counts(name)
        totals["enqueued"] += int(held.ledger.cursor(name).get("total", 0))
        totals["done"] += counts.done
        totals["quarantined"] += counts.quarantined
    images = GaugeMetricFamily(
        "photochrom_active_images", "Images of submissions that have not ended, by how far they are", labels=["state"]
    )
    for state, count in totals.items():
        images.add_metric([state], count)
    return images
