"""The ledger: for every image of a submission one bit for done and one for quarantined, in Redis.

S3 is the truth, Redis may be lost: `producer/control/rebuild.py` writes the ledger anew from S3. Every transition is
one Lua script, so that whatever is delivered twice, in whatever order, an image ends once.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from itertools import chain
from typing import NamedTuple

import redis

from photochrom.worker.ledger import keys, scripts
from photochrom.worker.ledger.connection import connection, locked, redis_translated
from photochrom.worker.settings import Settings

KEPT_AFTER_END = 7 * 24 * 3600
"""Seconds for which the ledger of an ended submission stays in Redis."""

RATE_SECONDS = 300
"""A submission's rate is that of so many last seconds."""

SAMPLE_SECONDS = 10
"""Between two samples for it, at least."""


MOST_DUE = 10_000
"""Jobs of a submission that wait for another try: what the reconciler reads at a look."""


class Standing(Enum):
    """What a worker may do with an image that it is about to start."""

    STARTED = "started"
    ENDED = "ended"
    CANCELLED = "cancelled"


class Start(NamedTuple):
    """`number` is 1 for the first start without an outcome, 2 when one before it never ended, and so on."""

    standing: Standing
    number: int = 0
    token: str = ""


class Counts(NamedTuple):
    """What the bitmaps say of one submission."""

    done: int
    quarantined: int
    reasons: dict[str, int]


class PageInFlight(NamedTuple):
    """A page whose jobs were sent and not all of whose images have ended. `sent` is Redis's time in seconds."""

    number: int
    first: int
    images: int
    sent: float


class Sample(NamedTuple):
    """How many images of a submission had ended at one time, which is Redis's, in seconds."""

    time: float
    ended: int


class Flight(NamedTuple):
    """What Redis knows of the images of a page at one moment."""

    lasts: bool
    """Whether the page is in flight; reasons and notes of one that is not are in S3."""
    ended: set[int]
    reasons: dict[int, str]
    notes: dict[int, str]


class Ledger:
    """A connection to the ledger. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._lock_seconds = settings.lock_seconds
        self._redis = connection(settings)
        self._end_script = self._redis.register_script(scripts.PASS_AWAY + scripts.END)
        self._start_script = self._redis.register_script(scripts.PASS_AWAY + scripts.START)
        self._note_sent_script = self._redis.register_script(scripts.PASS_AWAY + scripts.NOTE_SENT)
        self._put_off_script = self._redis.register_script(scripts.PUT_OFF)
        self._give_back_script = self._redis.register_script(scripts.GIVE_BACK)
        self._merge_script = self._redis.register_script(scripts.MERGE)

    # What workers say

    def start(self, submission: str, ordinal: int) -> Start:
        """Note that an image is about to be decoded: a start that never gets an outcome counts towards poison."""
        parts = [*(keys.of(submission, part) for part in ("done", "quarantined", "starts", "cancelled")), keys.ACTIVE]
        token = secrets.token_hex(6)
        with redis_translated():
            number = int(self._start_script(keys=parts, args=[ordinal, token, submission, KEPT_AFTER_END]))
        if number <= 0:
            return Start(Standing.CANCELLED if number else Standing.ENDED)
        return Start(Standing.STARTED, number, token)

    def give_back(self, submission: str, ordinal: int, start: Start) -> None:
        """Take back a start: the image was not at fault."""
        with redis_translated():
            self._give_back_script(keys=[keys.of(submission, "starts")], args=[ordinal, start.token])

    def record_done(self, submission: str, ordinal: int, notes: Iterable[str] = ()) -> bool:
        """Note that an image is done, and what else is to be known of it; False when it had ended before."""
        return self._end(submission, ordinal, "", " ".join(notes))

    def record_quarantined(self, submission: str, ordinal: int, reason: str) -> bool:
        """Note that an image is quarantined; False when it had ended before."""
        return self._end(submission, ordinal, reason)

    def _end(self, submission: str, ordinal: int, reason: str, notes: str = "") -> bool:
        named = ("done", "quarantined", "reasons", "faults", "starts", "sent", "notes")
        parts = [keys.of(submission, part) for part in named]
        arguments: list[str | int] = [ordinal, reason, notes, submission, KEPT_AFTER_END]
        with redis_translated():
            return bool(self._end_script(keys=[*parts, keys.ACTIVE], args=arguments))

    def starts(self, submission: str, ordinals: Iterable[int]) -> dict[int, int]:
        """How often each image was started without an outcome; 0 where never."""
        wanted = list(ordinals)
        with redis_translated():
            found = self._redis.hmget(keys.of(submission, "starts"), wanted) if wanted else []
        return {ordinal: len((tokens or "").split()) for ordinal, tokens in zip(wanted, found, strict=True)}

    # What is known of images

    def ended(self, submission: str, ordinals: Iterable[int]) -> set[int]:
        """Those of the ordinals that have an outcome already."""
        wanted = list(ordinals)
        with redis_translated(), self._redis.pipeline(transaction=False) as pipe:
            _ask_ended(pipe, submission, wanted)
            return _ended(wanted, pipe.execute())

    def quarantined(self, submission: str, ordinals: Iterable[int]) -> set[int]:
        """Those of the ordinals that are quarantined."""
        wanted = list(ordinals)
        with redis_translated(), self._redis.pipeline(transaction=False) as pipe:
            for ordinal in wanted:
                pipe.getbit(keys.of(submission, "quarantined"), ordinal)
            return {ordinal for ordinal, bit in zip(wanted, pipe.execute(), strict=True) if bit}

    def counts(self, submission: str) -> Counts:
        """Counted from the bitmaps, so that nothing can drift."""
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.bitcount(keys.of(submission, "done"))
            pipe.bitcount(keys.of(submission, "quarantined"))
            pipe.hgetall(keys.of(submission, "reasons"))
            done, quarantined, reasons = pipe.execute()
        return Counts(done, quarantined, {reason: int(count) for reason, count in reasons.items()})

    def ended_in(self, submission: str, pages: Iterable[PageInFlight]) -> list[int]:
        """For each page, how many of its images have an outcome."""
        with redis_translated(), self._redis.pipeline(transaction=False) as pipe:
            for page in pages:
                last = page.first + page.images - 1
                pipe.bitcount(keys.of(submission, "done"), page.first, last, "BIT")
                pipe.bitcount(keys.of(submission, "quarantined"), page.first, last, "BIT")
            found = pipe.execute()
        return [done + quarantined for done, quarantined in zip(found[::2], found[1::2], strict=True)]

    # Submissions

    def activate(self, submission: str) -> None:
        """Put a submission before the control process."""
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.sadd(keys.ACTIVE, submission)
            for key in keys.all_of(submission):
                pipe.persist(key)
            pipe.execute()

    def active(self) -> list[str]:
        """Submissions that are not ended, oldest first (their names begin with their time)."""
        with redis_translated():
            return sorted(self._redis.smembers(keys.ACTIVE))

    def retire(self, submission: str) -> None:
        """Take an ended submission from the control process; what Redis knows of it will pass away."""
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.srem(keys.ACTIVE, submission)
            for key in keys.all_of(submission):
                pipe.expire(key, KEPT_AFTER_END)
            pipe.execute()

    def revive(self, submission: str) -> None:
        """The opposite of `retire`, and of `cancel`. Its rate begins anew."""
        with redis_translated():
            self._redis.delete(keys.of(submission, "cancelled"), keys.of(submission, "samples"))
        self.activate(submission)

    def cancel(self, submission: str) -> None:
        """From now on no worker starts another image of it."""
        with redis_translated():
            self._redis.set(keys.of(submission, "cancelled"), 1, keepttl=True)

    def is_cancelled(self, submission: str) -> bool:
        with redis_translated():
            return bool(self._redis.exists(keys.of(submission, "cancelled")))

    def cursor(self, submission: str) -> dict[str, str]:
        """How far the listing of a submission has come: what `move_cursor` last wrote, or nothing."""
        with redis_translated():
            return self._redis.hgetall(keys.of(submission, "cursor"))

    def move_cursor(self, submission: str, **values: str | int) -> None:
        with redis_translated():
            self._redis.hset(keys.of(submission, "cursor"), mapping=values)

    def note_sample(self, submission: str, ended: int) -> None:
        """Note for `rate` that so many images have ended by now, unless a sample of the last seconds is there.

        The samples pass away by themselves: a control process that does not know of them may retire the submission.
        """
        now, samples, key = self.now(), self._samples(submission), keys.of(submission, "samples")
        if samples and 0 <= now - samples[-1].time < SAMPLE_SECONDS:
            return
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.rpush(key, f"{now!r} {ended}")
            pipe.ltrim(key, -RATE_SECONDS // SAMPLE_SECONDS, -1)
            pipe.expire(key, RATE_SECONDS)
            pipe.execute()

    def rate(self, submission: str, ended: int) -> float | None:
        """Images that ended in a second, over the last minutes, when so many have by now; None without a sample."""
        now = self.now()
        for sample in self._samples(submission):
            if SAMPLE_SECONDS <= now - sample.time <= RATE_SECONDS:
                return max(0, ended - sample.ended) / (now - sample.time)
        return None

    def _samples(self, submission: str) -> list[Sample]:
        with redis_translated():
            found = self._redis.lrange(keys.of(submission, "samples"), 0, -1)
        return [Sample(float(time), int(ended)) for time, ended in map(str.split, found)]

    # Pages in flight, and when images were sent

    def add_page(self, submission: str, page: PageInFlight) -> None:
        with redis_translated():
            value = f"{page.first} {page.images} {page.sent!r}"
            self._redis.hset(keys.of(submission, "pages"), page.number, value)

    def pages(self, submission: str) -> list[PageInFlight]:
        """In order."""
        with redis_translated():
            found = self._redis.hgetall(keys.of(submission, "pages"))
        pages = []
        for number, value in found.items():
            first, images, sent = value.split()
            pages.append(PageInFlight(int(number), int(first), int(images), float(sent)))
        return sorted(pages)

    def flight(self, submission: str, number: int, ordinals: Iterable[int]) -> Flight:
        """What has become so far of the images of a page; reasons and notes may be of others, too."""
        wanted = list(ordinals)
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.hexists(keys.of(submission, "pages"), number)
            pipe.hgetall(keys.of(submission, "faults"))
            pipe.hgetall(keys.of(submission, "notes"))
            _ask_ended(pipe, submission, wanted)
            lasts, faults, notes, *bits = pipe.execute()
        return Flight(bool(lasts), _ended(wanted, bits), _by_ordinal(faults), _by_ordinal(notes))

    def remove_page(self, submission: str, number: int, faults: Iterable[int] = (), notes: Iterable[int] = ()) -> None:
        """Forget a page, and the reasons and notes of those of its images that have any: S3 knows them."""
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.hdel(keys.of(submission, "pages"), number)
            for part, ordinals in (("faults", list(faults)), ("notes", list(notes))):
                if ordinals:
                    pipe.hdel(keys.of(submission, part), *ordinals)
            pipe.execute()

    def faults(self, submission: str) -> dict[int, str]:
        """The reasons of the quarantined images of pages in flight, by ordinal."""
        return self._hash(submission, "faults")

    def notes(self, submission: str) -> dict[int, str]:
        """The notes on done images of pages in flight, by ordinal, separated by spaces."""
        return self._hash(submission, "notes")

    def _hash(self, submission: str, part: str) -> dict[int, str]:
        with redis_translated():
            return _by_ordinal(self._redis.hgetall(keys.of(submission, part)))

    def note_sent(self, submission: str, ordinals: Iterable[int]) -> float:
        """Note that images are sent again in jobs of their own, now; gives back Redis's time."""
        now = self.now()
        with redis_translated():
            self._note_sent_script(
                keys=[keys.of(submission, "sent"), keys.ACTIVE],
                args=[repr(now), *ordinals, submission, KEPT_AFTER_END],
            )
        return now

    def sent(self, submission: str) -> dict[int, float]:
        """When images were last sent again, as far as they have not ended."""
        with redis_translated():
            found = self._redis.hgetall(keys.of(submission, "sent"))
        return {int(ordinal): float(time) for ordinal, time in found.items()}

    def swap_suspects(self, submission: str, ordinals: Iterable[int]) -> set[int]:
        """Remember who looks lost now; gives back who did at the last look."""
        key, now = keys.of(submission, "suspects"), list(ordinals)
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.smembers(key)
            pipe.delete(key)
            if now:
                pipe.sadd(key, *now)
            before = pipe.execute()[0]
        return {int(ordinal) for ordinal in before}

    # Jobs that wait for another try

    def put_off(self, submission: str, job: str, wait: float) -> bool:
        """Keep a job, as JSON, until it is due in `wait` seconds; False where too many wait already.

        What waits in a worker's memory would be lost with it for a while, and wait behind its other jobs. The jobs pass
        away by themselves: a control process that does not know of them puts their images back, and may retire the
        submission.
        """
        arguments: list[str | float] = [repr(self.now() + wait), job, MOST_DUE, KEPT_AFTER_END]
        with redis_translated():
            return bool(self._put_off_script(keys=[keys.of(submission, "due")], args=arguments))

    def put_off_jobs(self, submission: str) -> list[str]:
        """All that wait, as JSON."""
        with redis_translated():
            return self._redis.zrange(keys.of(submission, "due"), 0, -1)

    def due(self, submission: str, most: int) -> list[str]:
        """Those whose time has come, the earliest first."""
        now = self.now()
        with redis_translated():
            return self._redis.zrangebyscore(keys.of(submission, "due"), "-inf", now, start=0, num=most)

    def remove_due(self, submission: str, job: str) -> None:
        """One that has been sent."""
        with redis_translated():
            self._redis.zrem(keys.of(submission, "due"), job)

    # The queue, and Redis itself

    def taken(self) -> list[str]:
        """The messages that workers have taken and not acknowledged, as Celery keeps them."""
        with redis_translated():
            return self._redis.hvals(keys.UNACKED.format(role="colorize"))

    def oldest_queued(self, priority: int, most: int) -> list[str]:
        """The messages that are next in the queue of that priority."""
        with redis_translated():
            return self._redis.lrange(keys.queue(priority), -most, -1)

    def now(self) -> float:
        """Redis's clock, in seconds: the one clock that all processes share."""
        with redis_translated():
            seconds, microseconds = self._redis.time()
        return float(seconds + microseconds / 1e6)

    def epoch(self) -> str | None:
        """Which Redis this is, or None when it has been lost."""
        with redis_translated():
            return self._redis.get(keys.EPOCH)

    def set_epoch(self, epoch: str) -> None:
        with redis_translated():
            self._redis.set(keys.EPOCH, epoch)

    def waiting(self) -> list[str]:
        """Submissions that could not be rebuilt yet."""
        with redis_translated():
            return sorted(self._redis.smembers(keys.WAITING))

    def set_waiting(self, submissions: Collection[str]) -> None:
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.delete(keys.WAITING)
            if submissions:
                pipe.sadd(keys.WAITING, *submissions)
            pipe.execute()

    def merge(
        self,
        submission: str,
        done: bytes,
        quarantined: bytes,
        reasons: Mapping[str, int],
        faults: Mapping[int, str],
    ) -> None:
        """Put together what S3 says and what Redis knows already.

        `done` and `quarantined` are the bitmaps of finished pages, `reasons` their counts, and `faults` the reasons of
        images of other pages: those that are not done are quarantined.
        """
        parts = [keys.of(submission, part) for part in ("done", "quarantined", "reasons", "faults")]
        said = [keys.of(submission, part) + ":said" for part in ("done", "quarantined", "faults")]
        with redis_translated(), self._redis.pipeline() as pipe:
            pipe.set(said[0], done)
            pipe.set(said[1], quarantined)
            pipe.delete(said[2])
            if faults:
                pipe.hset(said[2], mapping=faults)
            self._merge_script(keys=[*parts, *said], args=list(chain(*reasons.items())), client=pipe)
            pipe.execute()

    def lock(self, name: str, patience: float = 0.0) -> AbstractContextManager[bool]:
        """Whether nobody else holds the lock, or gives it back within `patience` seconds.

        Kept until the end, or some seconds after this process was killed.
        """
        return locked(self._redis, name, self._lock_seconds, patience)


def _ask_ended(pipe: redis.client.Pipeline, submission: str, ordinals: list[int]) -> None:
    """Two bits for each; `_ended` reads the answers."""
    for part in ("done", "quarantined"):
        for ordinal in ordinals:
            pipe.getbit(keys.of(submission, part), ordinal)


def _ended(ordinals: list[int], bits: list[int]) -> set[int]:
    return {ordinal for ordinal, bit in zip(ordinals * 2, bits, strict=True) if bit}


def _by_ordinal(found: Mapping[str, str]) -> dict[int, str]:
    return {int(ordinal): words for ordinal, words in found.items()}
