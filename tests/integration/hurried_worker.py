"""`photochrom` with a stand-in for the model that takes its time, and which waits for nothing else for long.

With a file `lose-slots` in its folder, all slots of its connection are taken by messages that nobody works on, as
Kombu leaves them when Redis is away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.chaos.worker import put_stand_ins
from tests.integration.late_worker import Late

LOSE_SLOTS, LOSE_THEM_AGAIN = "lose-slots", "lose-slots-again"
"""The second one stays, and the slots of every connection are lost."""

STUCK_SECONDS, LOOK_SECONDS = 5.0, 0.5


def hurry() -> None:
    """Give Redis up after a second, look after the queue more often, and ask S3 more often."""
    from photochrom.worker.ledger import connection
    from photochrom.worker.queue import readiness, redis_watch

    connection.RETRIES = 2
    redis_watch.STUCK_SECONDS, redis_watch.LOOK_SECONDS = STUCK_SECONDS, LOOK_SECONDS
    readiness.STILL_SECONDS = readiness.AGAIN_SECONDS = 1.0


def make_forgetful() -> None:
    """Let slots be lost when there is the file."""
    from photochrom.worker.queue.broker import QoS

    can_consume = QoS.can_consume

    def can_consume_unless_lost(self: Any) -> bool:
        if Path(LOSE_SLOTS).exists() or Path(LOSE_THEM_AGAIN).exists():
            Path(LOSE_SLOTS).unlink(missing_ok=True)
            self._delivered.update({f"lost {number}": None for number in range(self.prefetch_count)})
        return can_consume(self)

    QoS.can_consume = can_consume_unless_lost


if __name__ == "__main__":
    put_stand_ins(Late())
    hurry()
    make_forgetful()
    from photochrom.deploy.cli import main

    main()
