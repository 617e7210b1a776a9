"""The shape of a worker: processes or threads, how many, and what they hold; from the machine, unless set by hand.

On a CPU the network is what takes the time, and one thread a process computes it best: a process per core. A GPU is
fed by threads of one process, which decode and encode beside it: CUDA cannot be used after a fork, and one owner of the
model sees all waiting pictures and can batch them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from photochrom.worker.errors import UsageError
from photochrom.worker.machine import Machine
from photochrom.worker.settings import MEBIBYTE, Settings

PROCESS_BYTES = 1024 * MEBIBYTE
"""Memory of a process without pictures: Python, torch, a model, and the next one while it takes over."""

PICTURE_BYTES = 512 * MEBIBYTE
"""Memory of a picture in hand; what tests/benchmarks/memory.py shows for 100 megapixels of 16 bits."""

BATCHES_IN_HAND = 2
"""Pictures in hand beside a device, in batches: while it computes one, the next is being decoded."""

PER_JOB_CONNECTIONS, OTHER_CONNECTIONS = 2, 2
"""To S3: one source is fetched while one result is stored; a try again and the look for a promotion come besides."""

BY_HAND = "set by hand"

Chosen = Literal["pool", "concurrency", "torch_threads", "s3_connections"]


class Choice(NamedTuple):
    """One line of `photochrom worker --explain`."""

    name: str
    value: str | int | float
    why: str


class Tuning(NamedTuple):
    """Settings in which nothing is left open, and why they are as they are."""

    settings: Settings
    choices: list[Choice]


def tune(given: Settings, machine: Machine, device: str) -> Tuning:
    """Choose what was not set by hand; `device` is "cpu" or "cuda". Raises UsageError for what cannot work together."""
    tuner = _Tuner(given, machine, device)
    choices = [tuner.choose(name) for name in get_args(Chosen)]
    return Tuning(tuner.settings, [*_of_machine(machine), *choices, *tuner.consequences()])


class _Tuner:
    """Chooses one after another; later choices look at earlier ones."""

    def __init__(self, given: Settings, machine: Machine, device: str) -> None:
        self.settings = given.model_copy(update={"device": device})
        self._machine, self._device = machine, device
        self._by_hand = {name for name in given.model_fields_set if getattr(given, name) not in (None, "auto")}

    def choose(self, name: Chosen) -> Choice:
        """Choose a setting, unless it is set by hand."""
        if name in self._by_hand:
            choice = Choice(name, getattr(self.settings, name), BY_HAND)
        else:
            ways: dict[Chosen, Callable[[], tuple[str | int, str]]] = {
                "pool": self._pool,
                "concurrency": self._concurrency,
                "torch_threads": self._torch_threads,
                "s3_connections": self._s3_connections,
            }
            choice = Choice(name, *ways[name]())
            self.settings = self.settings.model_copy(update={name: choice.value})
        if name == "pool" and choice.value == "prefork" and not self._on_cpu:
            raise UsageError("a GPU cannot be used by processes that were forked: pool prefork needs device cpu")
        return choice

    def consequences(self) -> list[Choice]:
        """What follows from the rest, and has no setting of its own."""
        jobs = self.settings.concurrency
        return [
            Choice("prefetch", jobs, "jobs taken from the queue: those in hand, none waits behind them"),
            *self._batches(),
        ]

    @property
    def _on_cpu(self) -> bool:
        return self._device == "cpu"

    def _pool(self) -> tuple[str, str]:
        if self._on_cpu:
            return "prefork", "processes: on a CPU each computes by itself, without a lock between them"
        return "threads", f"one process owns the {self._device} device; threads decode and encode beside it"

    def _concurrency(self) -> tuple[int, str]:
        if self.settings.pool == "prefork":
            room = self._room(0, PROCESS_BYTES + PICTURE_BYTES)
            return _least(self._machine.cores, "a process per core", room, f"{_gib(room.each)} a process")
        wanted = BATCHES_IN_HAND * (self._machine.cores if self._on_cpu else self.settings.batch_images)
        each = "core" if self._on_cpu else "image of a batch"
        room = self._room(PROCESS_BYTES, PICTURE_BYTES)
        return _least(wanted, f"{BATCHES_IN_HAND} threads per {each}", room, f"{_gib(room.each)} a picture")

    def _room(self, first: int, each: int) -> _Room:
        memory = self._machine.memory
        return _Room(None if memory is None else max(1, (memory - first) // each), each)

    def _torch_threads(self) -> tuple[int, str]:
        if not self._on_cpu:
            return 1, f"the network is computed by the {self._device} device"
        cores, jobs = self._machine.cores, self.settings.concurrency
        if jobs >= cores:
            return 1, "the images in hand use all cores already"
        return cores // jobs, f"{cores} cores for {jobs} image{'s' * (jobs > 1)} in hand"

    def _s3_connections(self) -> tuple[int, str]:
        jobs = 1 if self.settings.pool == "prefork" else self.settings.concurrency
        count = PER_JOB_CONNECTIONS * jobs + OTHER_CONNECTIONS
        return count, "a process keeps one to fetch and one to store by, for each job in hand, and two besides"

    def _batches(self) -> list[Choice]:
        if self._on_cpu:
            return [Choice("batch", 1, "image at a time: larger batches are slower on a CPU")]
        given = self.settings
        return [
            Choice(name, getattr(given, name), f"{meaning}, {BY_HAND if name in self._by_hand else 'by default'}")
            for name, meaning in (
                ("batch_images", "most images in a batch"),
                ("batch_wait", "seconds that a batch waits for more"),
                ("batch_pixels", "most pixels in a batch"),
            )
        ]


class _Room(NamedTuple):
    """How many have room in memory (None: nothing says so), at so many bytes each."""

    jobs: int | None
    each: int


def _least(wanted: int, why: str, room: _Room, need: str) -> tuple[int, str]:
    if room.jobs is None or room.jobs >= wanted:
        return wanted, why
    return room.jobs, f"memory: {need}, where {why} would be {wanted}"


def _of_machine(machine: Machine) -> list[Choice]:
    quota = f"a quota of {machine.quota:.3g} CPUs" if machine.quota else "no quota"
    return [
        Choice("cores", machine.cores, f"{machine.affinity} that this process may run on, {quota}"),
        Choice("memory", _gib(machine.memory) if machine.memory else "unknown", "of the machine or the container"),
    ]


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
