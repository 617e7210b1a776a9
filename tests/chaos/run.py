"""One chaos run: set up, submit, strike until everything has ended, then look what has become of it."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import redis
from rich.console import Console

from deploy.stack import Stack
from producer.pages import read_page
from producer.submission import ended, load, submit
from tests.chaos import inflict, pictures
from tests.chaos.check import Verdict, check, collect, in_parallel
from tests.chaos.inflict import Scene, Service
from tests.chaos.proxy import Proxy
from worker import keys, paths
from worker.app import connect, send_job
from worker.errors import RetryableError
from worker.job import Job
from worker.settings import Settings
from worker.store import Location, Store

SOURCE, DESTINATION = Location("archive", "scans/"), Location("coloured", "scans/")

NEVER = 10_000_000
"""Seconds between two looks of a reconciler that is switched off: four months."""

LOOK_SECONDS = 0.1
"""Between two looks at how far it has come."""

STUCK_SECONDS, STUCK_WITHOUT_RECONCILER = 150.0, 45.0
"""An empty queue, nothing in hand and no image ended for so long: nothing more will happen. The first is longer than
any lock is held after the death of its holder, the second than the visibility time-out."""

DRAIN_SECONDS = 120.0
"""For what was delivered twice to come to its end, after all images have."""

LAST_LINES = 8
"""Of each log, shown after a failure."""

HURRIED = {
    "PHOTOCHROM_DEVICE": "cpu",
    "PHOTOCHROM_VISIBILITY_TIMEOUT": "15",
    "PHOTOCHROM_JOB_SECONDS": "6",
    "PHOTOCHROM_DRAIN_SECONDS": "20",
    "PHOTOCHROM_LOCK_SECONDS": "5",
    "PHOTOCHROM_CONTROL_INTERVAL": "0.3",
    "PHOTOCHROM_S3_TIMEOUT": "10",
    "PHOTOCHROM_PAGE_IMAGES": "500",
    "PHOTOCHROM_WINDOW": "5000",
}
"""Settings that let everything happen sooner, and so more often."""


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    images: int
    kills: int
    redis_restarts: int
    redis_losses: int
    s3_restarts: int
    s3_fault_rate: float
    again: int
    poison: int
    broken: int
    workers: int
    concurrency: int
    seed: int
    reconciler: bool
    deadline: float


@dataclass
class Outcome:
    """What was done, and what came of it."""

    plan: Plan
    seconds: float
    ended: bool
    inflicted: dict[str, int]
    verdict: Verdict

    @property
    def all_well(self) -> bool:
        return self.ended and self.verdict.all_well


def run(plan: Plan, folder: Path, console: Console) -> Outcome:
    """All of it: set up, submit, strike until everything has ended, look."""
    chance = random.Random(plan.seed)
    shown = pictures.plan(plan.images, plan.poison, plan.broken, chance)
    blows = inflict.plan(
        chance,
        kills=plan.kills,
        redis_restarts=plan.redis_restarts,
        redis_losses=plan.redis_losses,
        s3_restarts=plan.s3_restarts,
        again=plan.again,
    )
    with (
        Stack(read=[str(SOURCE)], write=[str(DESTINATION)], workers=0, control=False, folder=folder) as stack,
        stack.exported() as settings,
        Proxy(int(stack.s3.ports[0] if stack.s3 else 0), plan.s3_fault_rate, random.Random(plan.seed + 1)) as proxy,
    ):
        store = Store(settings)
        etags = upload(shown, store)
        console.print(f"seed {plan.seed}: {plan.images:,} images uploaded, {len(blows)} blows planned")
        connect(settings)
        scene = Scene(stack, _services(plan, proxy.url, folder), chance)
        began = time.monotonic()
        submission = submit(str(SOURCE), str(DESTINATION), settings=settings)
        drama = Drama(plan, submission, blows, scene, settings, store, console)
        try:
            has_ended = drama.play()
        finally:
            scene.stop()
        seconds = time.monotonic() - began
        found = collect(submission, SOURCE, DESTINATION, settings.state_bucket, store, drama.redis)
    verdict = check(shown, etags, found)
    outcome = Outcome(plan, seconds, has_ended, _inflicted(plan, scene, proxy), verdict)
    if not outcome.all_well:  # where this runs unseen, nothing else is kept
        for process in (service.process for service in scene.services):
            console.print(f"-- {process.name}\n{process.tail(LAST_LINES)}", highlight=False, markup=False)
    return outcome


class Drama:
    """A submission on its way, and the blows that fall on it."""

    def __init__(
        self,
        plan: Plan,
        submission: str,
        blows: list[inflict.Blow],
        scene: Scene,
        settings: Settings,
        store: Store,
        console: Console,
    ) -> None:
        self.plan, self.submission, self.blows, self.scene = plan, submission, list(blows), scene
        self.settings, self.store, self.console = settings, store, console
        self.redis = redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=30)
        self._counted, self._moved = -1, time.monotonic()

    def play(self) -> bool:
        """Whether the submission ended, and what was delivered twice came to its end too."""
        called_off = time.monotonic() + self.plan.deadline
        patience = STUCK_SECONDS if self.plan.reconciler else STUCK_WITHOUT_RECONCILER
        most = 0
        while time.monotonic() < called_off:
            self.scene.look_after()
            most = max(most, self._ended_images())
            if self._has_ended():  # first: what falls afterwards, Redis' loss perhaps, nobody mends
                return self._drained()
            if self.blows and self.blows[0].at * self.plan.images <= most:
                blow = self.blows.pop(0)
                if self.scene.strike(blow, self._send_again):
                    self.console.print(f"{most:>7,} images ended: {blow.what}", highlight=False)
                else:
                    self.blows.insert(min(1, len(self.blows)), blow)
            if time.monotonic() - self._moved > patience:
                self.console.print(f"nothing moves any more after {most:,} images")
                return False
            time.sleep(LOOK_SECONDS)
        return False

    def _drained(self) -> bool:
        until = time.monotonic() + DRAIN_SECONDS
        while self._waiting():
            if time.monotonic() > until:
                self.console.print(f"still in the queue or in hand: {self._waiting()} jobs")
                return False
            self.scene.look_after()
            time.sleep(LOOK_SECONDS)
        return True

    def _has_ended(self) -> bool:
        try:
            return ended(self.submission, self.store, self.settings)
        except RetryableError:
            return False

    def _ended_images(self) -> int:
        """How many images have an outcome in the ledger; notes when that changed, or when anything was in motion."""
        try:
            counted = sum(int(self.redis.bitcount(keys.of(self.submission, part))) for part in ("done", "quarantined"))
            if counted != self._counted or self._waiting():
                self._counted, self._moved = counted, time.monotonic()
        except redis.RedisError:
            return 0
        return counted

    def _waiting(self) -> int:
        """Jobs in the queue and in hand."""
        queued = sum(int(self.redis.llen(keys.queue(priority))) for priority in (0, 3, 6, 9))
        return queued + int(self.redis.hlen(keys.UNACKED.format(role="colorize")))

    def _send_again(self) -> None:
        """Some images of some page, a second time."""
        chance = self.scene.chance
        pages = list(self.store.list(Location(self.settings.state_bucket, paths.pages(self.submission))))
        page = read_page(self.submission, chance.randrange(len(pages)), self.store)
        if page.images:
            chosen = chance.sample(page.images, min(8, len(page.images)))
            task = load(self.submission, self.store, self.settings).task
            send_job(Job(submission=self.submission, task=task, images=tuple(chosen), sent=time.time()))


def upload(shown: list[pictures.Picture], store: Store) -> dict[str, str]:
    """Put the sources into their bucket; gives back their ETags by name."""

    def put(picture: pictures.Picture) -> str:
        return store.put(SOURCE.bucket, SOURCE.prefix + picture.name, picture.data())

    return {picture.name: etag for picture, etag in zip(shown, in_parallel(put, shown), strict=True)}


def _services(plan: Plan, endpoint: str, folder: Path) -> list[Service]:
    """All processes see S3 through the proxy; what is in this process's environment is the stack's."""
    reconcile = 3 if plan.reconciler else NEVER
    environment = os.environ | HURRIED
    environment |= {"PHOTOCHROM_S3_ENDPOINT": endpoint, "PHOTOCHROM_RECONCILE_INTERVAL": str(reconcile)}
    names = [f"worker{number}" for number in range(1, plan.workers + 1)]
    return [
        Service("control", ["control"], folder, environment),
        *(
            Service(name, ["worker", "--name", name, "--concurrency", str(plan.concurrency)], folder, environment)
            for name in names
        ),
    ]


def _inflicted(plan: Plan, scene: Scene, proxy: Proxy) -> dict[str, int]:
    """Everything that was done to it, and what it did about it, in the order of the table."""
    restarts = sum(service.starts - 1 for service in scene.services)
    return {
        **{what: scene.done[what] for what in inflict.KILLS},
        "kill -9 of our processes, together": sum(scene.done[what] for what in inflict.KILLS),
        **{what: scene.done[what] for what in inflict.TERMS},
        "not ended in time after SIGTERM": sum(service.overdue for service in scene.services),
        "processes started again": restarts,
        **{
            what: scene.done[what]
            for what in (
                inflict.REDIS_TERM,
                inflict.REDIS_KILL,
                inflict.REDIS_LOSS,
                inflict.S3_KILL,
                inflict.AGAIN,
            )
        },
        "poison images": plan.poison,
        "broken files": len(pictures.BROKEN) * plan.broken,
        "S3 requests": proxy.requests,
        **{f"S3: {fault}": count for fault, count in sorted(proxy.faults.items())},
        "rebuilt from S3": len(scene.in_logs("rebuilt .* from S3")),
        "images put back by the reconciler": sum(map(int, scene.in_logs(r"put back (\d+) lost images"))),
        "workers that stopped by themselves": len(scene.in_logs("this worker stops")),
    }
