"""The promise as an invariant: whatever is delivered, lost, killed or forgotten, every image ends exactly once.

The ledger, the queue and the reconciler are the real ones, on a real Redis; S3 is a dictionary; workers are played by
the machine, which can stop them between any two steps.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import photochrom.producer.records.pages
from photochrom.producer.client.report import rows
from photochrom.producer.control.rebuild import ensure_epoch
from photochrom.producer.control.reconcile import _jobs, reconcile
from photochrom.producer.records.outcomes import quarantined_images
from photochrom.producer.records.progress import progress
from photochrom.producer.records.submission import Submission
from photochrom.worker.errors import ImageFault
from photochrom.worker.jobs.context import Resources
from photochrom.worker.jobs.messages import Image, Job, Task
from photochrom.worker.jobs.quarantine import poison, record_quarantined
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.ledger import Ledger, Standing
from photochrom.worker.queue.app import connect
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import ConflictError, Listed, Location, NotFoundError, Store, Stored
from photochrom.worker.settings import Settings
from tests.examples import examples
from tests.ticks import advance

IMAGES, PAGE, NAME, PASSING = 23, 5, "machine", "vanished"
POISON, BROKEN = {3, 17}, {8}
UNACKED = keys.UNACKED.format(role="colorize")


class DictionaryStore(Store):
    """`Store` as far as the producer uses it; `archive` holds the photographs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.objects: dict[str, bytes] = {}
        self.archive = [Listed(f"scans/{number:03d}.jpg", f'"{number}"', 1) for number in range(IMAGES)]

    def list_by_answer(self, location: Location, after: str = "") -> Iterator[list[Listed]]:
        if location.bucket == "archive":
            found = [item for item in self.archive if item.key > after]
        else:
            keys = sorted(key for key in self.objects if key.startswith(location.prefix) and key > after)
            found = [Listed(key, '"0"', len(self.objects[key])) for key in keys]
        return iter([found[:4], [], found[4:]])

    def folders(self, location: Location) -> Iterator[str]:
        below = (key.removeprefix(location.folder().prefix) for key in self.objects)
        return iter(sorted({key.partition("/")[0] for key in below if "/" in key}))

    def get(self, bucket: str, key: str, most: int | None = None) -> Stored:
        if key not in self.objects:
            raise NotFoundError(key)
        return Stored(self.objects[key], '"0"', len(self.objects[key]))

    head = get

    def put(self, bucket: str, key: str, data: bytes, *, if_absent: bool = False, **_: object) -> str:
        if if_absent and key in self.objects:
            raise ConflictError(key)
        self.objects[key] = data
        return '"0"'


class Machine(RuleBasedStateMachine):
    """Rules are what may happen; workers hold messages as Celery's workers do."""

    chosen: Settings

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(self.chosen)
        self.redis = self.ledger._redis
        self.redis.flushall()
        self.store = DictionaryStore(self.chosen)
        self.held = Resources(self.chosen, self.store, self.ledger)
        self.submission = Submission(
            name=NAME, task=Task(source="s3://archive/scans", destination="s3://coloured/scans", model="champion")
        )
        self.store.objects[state_keys.submission(NAME)] = self.submission.model_dump_json().encode()
        self.ledger.activate(NAME)
        self.queue = keys.queue(self.submission.task.priority)
        self.in_hand: dict[str, Job] = {}
        self.written: set[int] = set()
        self.deliveries = 0

    # the control process

    @rule()
    def tick(self) -> None:
        if ensure_epoch(self.held) and NAME in self.ledger.active():
            advance(self.submission, self.held)

    @rule()
    def look_for_lost_images(self) -> None:
        if ensure_epoch(self.held) and NAME in self.ledger.active():
            reconcile(self.submission, self.held)

    # the queue

    @rule()
    def deliver(self) -> None:
        if message := self.redis.rpop(self.queue):
            self.deliveries += 1
            tag = f"tag-{self.deliveries}"
            self.redis.hset(UNACKED, tag, json.dumps([json.loads(message), "", "photochrom.colorize"]))
            self.in_hand[tag] = next(iter(_jobs([message])))

    @rule()
    def lose_a_message_while_it_is_taken(self) -> None:
        self.redis.rpop(self.queue)

    @rule()
    def duplicate_a_message(self) -> None:
        if message := self.redis.lindex(self.queue, -1):
            self.redis.lpush(self.queue, message)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def redeliver_what_a_dead_worker_held(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.in_hand)))
        entry = self.redis.hget(UNACKED, tag)
        self.redis.hdel(UNACKED, tag)
        del self.in_hand[tag]
        if entry:
            self.redis.rpush(self.queue, json.dumps(json.loads(entry)[0]))

    # a worker

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def work_for_some_steps(self, data: st.DataObject, steps: int) -> None:
        self.work(data.draw(st.sampled_from(sorted(self.in_hand))), steps)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def die_between_a_record_and_its_bit(self, data: st.DataObject) -> None:
        """A worker saw a fault that the next one, who has the same image, may not see."""
        job = self.in_hand[data.draw(st.sampled_from(sorted(self.in_hand)))]
        image = data.draw(st.sampled_from(job.images))
        with pytest.MonkeyPatch.context() as dying:
            dying.setattr(self.ledger, "record_quarantined", lambda *_: None)
            self.quarantine(image, ImageFault(PASSING, "it was not there"))

    def work(self, tag: str, steps: int) -> None:
        """Go through a job; when the steps are used up the worker is dead and its message still unacknowledged."""
        job = self.in_hand[tag]
        ended = self.ledger.ended(NAME, [image.ordinal for image in job.images])
        waiting = [image for image in job.images if image.ordinal not in ended]
        if len(waiting) > 1 and any(self.ledger.starts(NAME, [image.ordinal for image in waiting]).values()):
            self.send_back_singly(job, waiting)
            return self.acknowledge(tag)
        for image in waiting:
            start = self.ledger.start(NAME, image.ordinal)
            steps -= 1
            if start.standing is Standing.STARTED:
                if start.number > self.chosen.max_starts:
                    self.quarantine(image, poison(image, start.number - 1))
                elif image.ordinal in POISON or steps <= 0:
                    return None
                elif image.ordinal in BROKEN:
                    self.quarantine(image, ImageFault("damaged", "broken"))
                else:
                    self.written.add(image.ordinal)  # the result lies in S3 before the ledger knows
                    steps -= 1
                    if steps <= 0:
                        return None
                    self.ledger.record_done(NAME, image.ordinal)
        return self.acknowledge(tag)

    def quarantine(self, image: Image, fault: ImageFault) -> None:
        record_quarantined(NAME, image, fault, self.store, self.ledger, self.chosen)  # type: ignore[arg-type]

    def send_back_singly(self, job: Job, images: list[Image]) -> None:
        from photochrom.worker.queue.app import send_job

        now = self.ledger.note_sent(NAME, [image.ordinal for image in images])
        for image in images:
            send_job(job.only([image], sent=now))

    def acknowledge(self, tag: str) -> None:
        self.redis.hdel(UNACKED, tag)
        del self.in_hand[tag]

    # disasters

    @rule()
    def lose_redis(self) -> None:
        self.redis.flushall()

    # what has to hold

    @invariant()
    def no_image_has_two_outcomes(self) -> None:
        done, quarantined = (self.bits(part) for part in ("done", "quarantined"))
        assert not done & quarantined
        assert done <= self.written, "done, and nothing was written"
        assert quarantined <= POISON | BROKEN | self.unlucky, "a good image was quarantined"

    @property
    def unlucky(self) -> set[int]:
        """Good images that happened to be in hand at every kill look like poison: that is what poison means.

        And where a worker died behind its record, and Redis was lost, nobody knows better than the record.
        """
        records = (state_keys.parse_quarantine(key) for key in self.store.objects if "/quarantine/" in key)
        return {record.ordinal for record in records if record.reason in ("poison", PASSING)}

    def bits(self, part: str) -> set[int]:
        return {number for number in range(IMAGES) if self.redis.getbit(keys.of(NAME, part), number)}

    def teardown(self) -> None:
        """From wherever it stands, ordinary work brings every image to its end."""
        for _ in range(200):
            self.tick()
            if state_keys.ended(NAME) in self.store.objects:
                break
            for tag in list(self.in_hand):
                job = self.in_hand[tag]
                self.work(tag, 10**6)
                if tag in self.in_hand:  # it died of a poison image
                    assert POISON & {image.ordinal for image in job.images}
                    entry = self.redis.hget(UNACKED, tag)
                    self.acknowledge(tag)
                    if entry:
                        self.redis.rpush(self.queue, json.dumps(json.loads(entry)[0]))
            self.look_for_lost_images()
            while self.redis.llen(self.queue):
                self.deliver()
        assert state_keys.ended(NAME) in self.store.objects, "the submission does not end"
        done, quarantined = (self.bits(part) for part in ("done", "quarantined"))
        assert done | quarantined == set(range(IMAGES))
        assert not done & quarantined
        assert quarantined >= POISON | BROKEN
        self.everyone_says(quarantined)
        self.redis.flushall()
        self.everyone_says(quarantined)
        pages = [json.loads(data) for key, data in self.store.objects.items() if "/pages/" in key]
        ordinals = sorted(image["ordinal"] for page in pages for image in page["images"])
        assert ordinals == list(range(IMAGES)), "an ordinal was given twice or not at all"

    def everyone_says(self, quarantined: set[int]) -> None:
        """That these images are quarantined and all others done, each for one reason."""
        found = quarantined_images(NAME, self.held)
        assert found.keys() == quarantined
        rows_of = {row[0]: row[2] for row in rows(NAME, self.held)}
        assert rows_of == {number: "quarantined" if number in found else "done" for number in range(IMAGES)}
        now = progress(NAME, self.chosen, self.ledger, self.store)  # type: ignore[arg-type]
        assert (now.state, now.done, now.quarantined) == ("done", IMAGES - len(found), len(found))
        assert now.reasons == dict(Counter(found.values()))


@pytest.fixture(autouse=True)
def _machine_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine.chosen = settings.model_copy(update={"page_images": PAGE, "job_images": 3})
    connect(Machine.chosen)
    monkeypatch.setattr(photochrom.producer.records.pages, "JOBS_A_PAGE", 2)


@pytest.mark.hypothesis
def test_every_image_ends_exactly_once_whatever_happens() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Machine, settings=examples(40, stateful_step_count=40))
