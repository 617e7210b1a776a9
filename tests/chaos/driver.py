"""The driver of a run: it carries out the blows until everything has ended, or nothing moves any more."""

from __future__ import annotations

import time

import redis
from rich.console import Console

from photochrom.producer.records.pages import read_page
from photochrom.producer.records.submission import ended, load
from photochrom.worker.errors import RetryableError
from photochrom.worker.jobs.messages import Job
from photochrom.worker.ledger import keys
from photochrom.worker.queue.app import send_job
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings
from tests.chaos.continuity import IdleTimes, Interruption
from tests.chaos.inflict import Blow, Scene
from tests.chaos.outages import Servers
from tests.chaos.plan import Plan

LOOK_SECONDS = 0.1
"""Between two looks at how far it has come."""

REDIS_SECONDS = 2.0
"""For an answer of Redis: this has to go on while it is silent."""

STUCK_SECONDS, STUCK_WITHOUT_RECONCILER = 150.0, 45.0
"""No image ended for so long, and nothing is away: nothing more will happen. The first is longer than any lock is held
after the death of its holder, the second than the visibility time-out."""

DRAIN_SECONDS = 120.0
"""For what was delivered twice to come to its end, after all images have."""


class Driver:
    """Carries out the blows while a submission is on its way, and watches it."""

    def __init__(
        self,
        plan: Plan,
        submission: str,
        blows: list[Blow],
        scene: Scene,
        servers: Servers,
        settings: Settings,
        store: Store,
        console: Console,
    ) -> None:
        self.plan, self.submission, self.blows, self.scene = plan, submission, list(blows), scene
        self.servers, self.settings, self.store, self.console = servers, settings, store, console
        self.interruptions: list[Interruption] = []
        self.idle = IdleTimes()
        self.redis = redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=REDIS_SECONDS)
        self._counted, self._most, self._moved = -1, 0, time.monotonic()

    def drive(self) -> bool:
        """Whether the submission ended, and what was delivered twice came to its end too."""
        try:
            return self._until_it_ends() and self._drained()
        finally:
            for interruption in self.interruptions:
                interruption.end()

    def _until_it_ends(self) -> bool:
        called_off = time.monotonic() + self.plan.deadline
        patience = STUCK_SECONDS if self.plan.reconciler else STUCK_WITHOUT_RECONCILER
        while time.monotonic() < called_off:
            self.scene.look_after()
            self._look()
            if self.interruptions and self.interruptions[-1].seconds is None:
                self.interruptions[-1].look(*self._images_concerned())
            if not self._is_interrupted and self._has_ended():
                return True  # first: what falls afterwards, Redis' loss perhaps, nobody mends
            if self.blows and self.blows[0].at * self.plan.images <= self._most and self._may_fall(self.blows[0]):
                self._carry_out(self.blows.pop(0))
            if time.monotonic() - self._moved > patience:
                self.console.print(f"nothing moves any more after {self._most:,} images")
                return False
            time.sleep(LOOK_SECONDS)
        return False

    def _carry_out(self, blow: Blow) -> None:
        if blow.outage:
            self.interruptions.append(Interruption(blow.outage, self.servers))
        elif not self.scene.strike(blow, self._send_again):
            self.blows.insert(min(1, len(self.blows)), blow)
            return
        self.console.print(f"{self._most:>7,} images ended: {blow.what}", highlight=False)

    def _may_fall(self, blow: Blow) -> bool:
        """One outage at a time, and nothing beside that of all; beside that of one worker the others are not spared."""
        return not self._is_interrupted or (self.interruptions[-1].outage.kind.of_one and not blow.outage)

    @property
    def _is_interrupted(self) -> bool:
        """Whether something is away, or work does not go on yet."""
        last = self.interruptions[-1] if self.interruptions else None
        return last is not None and last.seconds is None and (last.is_away or self._most < self.plan.images)

    def _images_concerned(self) -> tuple[int, int]:
        """How many images ended by those whom the outage concerns, and how many there are at most."""
        if not self.interruptions[-1].outage.kind.of_one:
            return self._most, self.plan.images
        return self.scene.one.steps(), self.plan.images  # where others end them all, that it goes on is not seen

    def _drained(self) -> bool:
        until = time.monotonic() + DRAIN_SECONDS
        while self._waiting() + self._in_hand():
            if time.monotonic() > until:
                self.console.print(f"still in the queue or in hand: {self._waiting()} + {self._in_hand()} jobs")
                return False
            self.scene.look_after()
            time.sleep(LOOK_SECONDS)
        return True

    def _has_ended(self) -> bool:
        try:
            return ended(self.submission, self.store, self.settings)
        except RetryableError:
            return False

    def _look(self) -> None:
        """How far it has come, whether anything is in motion, and who does nothing."""
        excused = {worker.name for worker in self.scene.workers}
        try:
            if not (self._is_interrupted and self.interruptions[-1].is_away):
                excused = set() if self._waiting() else excused
            elif self.interruptions[-1].outage.kind.of_one:
                excused = {self.scene.one.name} if self._waiting() else excused
            counted = sum(int(self.redis.bitcount(keys.of(self.submission, part))) for part in ("done", "quarantined"))
            if counted != self._counted or self._in_hand() or self._is_interrupted:
                self._counted, self._moved = counted, time.monotonic()
            self._most = max(self._most, counted)
        except redis.RedisError:
            excused = {worker.name for worker in self.scene.workers}
        self.idle.look(self.scene.workers, excused)

    def _waiting(self) -> int:
        """Jobs in the queue."""
        return sum(int(self.redis.llen(keys.queue(priority))) for priority in (0, 3, 6, 9))

    def _in_hand(self) -> int:
        """Jobs that were taken, or wait for another try."""
        taken = int(self.redis.hlen(keys.UNACKED.format(role="colorize")))
        return taken + int(self.redis.zcard(keys.of(self.submission, "due")))

    def _send_again(self) -> None:
        """Some images of some page, a second time."""
        chance = self.scene.chance
        pages = list(self.store.list(Location(self.settings.state_bucket, state_keys.pages(self.submission))))
        page = read_page(self.submission, chance.randrange(len(pages)), self.store)
        if page.images:
            chosen = chance.sample(page.images, min(8, len(page.images)))
            task = load(self.submission, self.store, self.settings).task
            send_job(Job(submission=self.submission, task=task, images=tuple(chosen), sent=time.time()))
