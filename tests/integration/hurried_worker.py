"""`photochrom` with a stand-in for the model that takes its time, and which waits for nothing else for long.

With a file `lose-slots` in its folder, what has ended is counted as in hand for ever: as Kombu does it when Redis is
away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.chaos.worker import put_stand_ins
from tests.integration.late_worker import Late

LOSE_SLOTS, LOSE_THEM_AGAIN = "lose-slots", "lose-them-again"
"""Without the second file, slots are lost over one connection alone."""

STUCK_SECONDS, LOOK_SECONDS = 3.0, 0.5


def hurry() -> None:
    """Give Redis up after a second, look after the queue more often, and ask S3 more often."""
    from worker import connection, readiness, watch

    connection.RETRIES = 2
    watch.STUCK_SECONDS, watch.LOOK_SECONDS = STUCK_SECONDS, LOOK_SECONDS
    readiness.STILL_SECONDS = readiness.AGAIN_SECONDS = 1.0


def make_forgetful() -> None:
    """Let messages that ended keep their slots, over a connection that begins while there is the file."""
    from worker.broker import QoS

    ack, reject = QoS.ack, QoS.reject

    def keep_slot(self: Any, tag: str) -> None:
        if not hasattr(self, "forgets"):
            self.forgets = Path(LOSE_SLOTS).exists() and not Path("lost-them").exists()
        if self.forgets and Path(LOSE_SLOTS).exists():
            self._delivered[f"lost {tag}"] = None
            if not Path(LOSE_THEM_AGAIN).exists() and len(self._delivered) > 4:
                Path("lost-them").touch()

    def ack_and_keep(self: Any, tag: str) -> None:
        ack(self, tag)
        keep_slot(self, tag)

    def reject_and_keep(self: Any, tag: str, requeue: bool = False) -> None:
        reject(self, tag, requeue)
        keep_slot(self, tag)

    QoS.ack, QoS.reject = ack_and_keep, reject_and_keep


if __name__ == "__main__":
    put_stand_ins(Late())
    hurry()
    make_forgetful()
    from deploy.cli import main

    main()
