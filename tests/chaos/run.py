"""One chaos run: set up, submit, strike until everything has ended, then look what has become of it."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from photochrom.deploy.stack.stack import Stack
from photochrom.producer.records.submission import submit
from photochrom.worker.queue.app import connect
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings
from tests.acceptance.generated_listing import GeneratedListing
from tests.chaos import inflict, pictures
from tests.chaos.check import Verdict, check, collect, in_parallel
from tests.chaos.continuity import IDLE_SECONDS
from tests.chaos.driver import Driver
from tests.chaos.inflict import Scene, Service
from tests.chaos.outages import Profile, Servers
from tests.chaos.plan import Plan
from tests.chaos.proxy import Proxy
from tests.chaos.worker import SECONDS

SOURCE, DESTINATION = Location("archive", "scans/"), Location("coloured", "scans/")

NEVER = 10_000_000
"""Seconds between two looks of a reconciler that is switched off: four months."""

SPARSE_KEYS, SPARSE_ANSWER_SECONDS = 10_000_000, 0.05
"""Keys of a folder without photographs, and how long a page of 1,000 takes: longer than a run lasts."""

LAST_LINES = 8
"""Of each log, shown after a failure."""

HURRIED = {
    "PHOTOCHROM_DEVICE": "cpu",
    "PHOTOCHROM_VISIBILITY_TIMEOUT": "15",
    "PHOTOCHROM_JOB_SECONDS": "6",
    "PHOTOCHROM_DRAIN_SECONDS": "20",
    "PHOTOCHROM_LOCK_SECONDS": "5",
    "PHOTOCHROM_CONTROL_INTERVAL": "0.3",
    "PHOTOCHROM_S3_TIMEOUT": "5",
    "PHOTOCHROM_PAGE_IMAGES": "500",
    "PHOTOCHROM_WINDOW": "5000",
}
"""Settings that let everything happen sooner, and so more often."""


@dataclass
class Outcome:
    """What was done, and what came of it."""

    plan: Plan
    seconds: float
    ended: bool
    inflicted: dict[str, int]
    verdict: Verdict
    images_ended: int
    outages: list[tuple[str, float | None]]
    """Each outage, and how many seconds after its end work went on; None where it did not."""
    idle: dict[str, float]
    """By worker, the longest time in seconds for which it did nothing although jobs waited."""

    @property
    def all_well(self) -> bool:
        return self.ended and self.verdict.all_well and max(self.idle.values(), default=0.0) <= IDLE_SECONDS


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
        outages=plan.outages,
    )
    with ExitStack() as stacked:
        stack = stacked.enter_context(
            Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, control=False, folder=folder)
        )
        settings = stacked.enter_context(stack.exported())
        assert stack.s3 and stack.redis
        port = stack.s3.ports[0]
        proxy = stacked.enter_context(Proxy(port, plan.s3_fault_rate, random.Random(plan.seed + 1)))
        proxy_of_one = stacked.enter_context(Proxy(port, plan.s3_fault_rate, random.Random(plan.seed + 2)))
        listing = stacked.enter_context(GeneratedListing(proxy.port))
        store = Store(settings)
        etags = upload(shown, store)
        console.print(f"seed {plan.seed}: {plan.images:,} images uploaded, {len(blows)} blows planned")
        connect(settings)
        profile = Profile(folder, stack.s3)
        endpoints = Endpoints(proxy.url, proxy_of_one.url, listing.url)
        scene = Scene(stack, _services(plan, endpoints, profile, folder), chance)
        servers = Servers(
            stack.redis, stack.s3, proxy, proxy_of_one, profile, lambda: scene.kill_all_of(scene.one), chance
        )
        began = time.monotonic()
        _submit_sparse(plan.sparse, listing, settings)
        submission = submit(str(SOURCE), str(DESTINATION), settings=settings)
        driver = Driver(plan, submission, blows, scene, servers, settings, store, console)
        try:
            has_ended = driver.drive()
        finally:
            scene.stop()
        seconds = time.monotonic() - began
        found = collect(submission, SOURCE, DESTINATION, settings.state_bucket, store, driver.redis)
    outcome = Outcome(
        plan=plan,
        seconds=seconds,
        ended=has_ended,
        inflicted=_inflicted(plan, scene, proxy, proxy_of_one),
        verdict=check(shown, etags, found),
        images_ended=len(found.done | found.quarantined),
        outages=[(str(each.outage), each.seconds) for each in driver.interruptions],
        idle=driver.idle.longest,
    )
    if not outcome.all_well:  # where this runs unseen, nothing else is kept
        for process in (service.process for service in scene.services):
            console.print(f"-- {process.name}\n{process.tail(LAST_LINES)}", highlight=False, markup=False)
    return outcome


def _submit_sparse(count: int, listing: GeneratedListing, settings: Settings) -> None:
    """Ask for folders in which there are many keys and no photograph."""
    for number in range(count):
        folder = f"sparse-{number}/"
        listing.add(folder, SPARSE_KEYS, SPARSE_ANSWER_SECONDS)
        submit(f"s3://{SOURCE.bucket}/{folder}", f"s3://{DESTINATION.bucket}/{folder}", settings=settings)


def upload(shown: list[pictures.Picture], store: Store) -> dict[str, str]:
    """Put the sources into their bucket; gives back their ETags by name."""

    def put(picture: pictures.Picture) -> str:
        return store.put(SOURCE.bucket, SOURCE.prefix + picture.name, picture.data())

    return {picture.name: etag for picture, etag in zip(shown, in_parallel(put, shown), strict=True)}


class Endpoints(NamedTuple):
    """By which URL S3 is seen: by the workers, by the last of them, and by control."""

    workers: str
    one: str
    control: str


def _services(plan: Plan, endpoints: Endpoints, profile: Profile, folder: Path) -> list[Service]:
    """What is in this process's environment is the stack's. The last worker has its credentials from a profile."""
    checkouts = [Path(checkout).resolve() for checkout in plan.checkouts]
    environment = os.environ | HURRIED
    environment |= {
        "PHOTOCHROM_RECONCILE_INTERVAL": str(3 if plan.reconciler else NEVER),
        SECONDS: str(plan.seconds_an_image),
    }

    def service(name: str, *arguments: str, number: int = 0, **more: str) -> Service:
        by_turns = [*checkouts[number % len(checkouts) :], *checkouts[: number % len(checkouts)]]
        return Service(name, list(arguments), folder, environment | more, by_turns)

    services = [service("control", "control", PHOTOCHROM_S3_ENDPOINT=endpoints.control)]
    for number in range(1, plan.workers + 1):
        is_one = number == plan.workers
        name, endpoint = f"worker{number}", endpoints.one if is_one else endpoints.workers
        arguments = ["worker", "--name", name, "--concurrency", str(plan.concurrency)]
        more = (profile.environment if is_one else {}) | {"PHOTOCHROM_S3_ENDPOINT": endpoint}
        services.append(service(name, *arguments, number=number, **more))
    return services


def _inflicted(plan: Plan, scene: Scene, *proxies: Proxy) -> dict[str, int]:
    """Everything that was done to it, and what it did about it, in the order of the table."""
    restarts = sum(service.starts - 1 for service in scene.services)
    faults = sum((proxy.faults for proxy in proxies), Counter[str]())
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
        "S3 requests": sum(proxy.requests for proxy in proxies),
        **{f"S3: {fault}": count for fault, count in sorted(faults.items())},
        "rebuilt from S3": len(scene.in_logs("rebuilt .* from S3")),
        "images put back by the reconciler": sum(map(int, scene.in_logs(r"put back (\d+) lost images"))),
        "workers that stopped by themselves": len(scene.in_logs("this worker stops")),
    }
