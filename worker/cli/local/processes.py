"""Many files by several processes: outcomes in the order of the files, whatever dies meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from photochrom.worker.cli.local.attempt import Attempt, LoadEngine, Outcome, Request
from photochrom.worker.cli.local.targets import Pair
from photochrom.worker.errors import WorkerFault
from photochrom.worker.jobs.quarantine import POISON
from photochrom.worker.settings import Settings, adopt

if TYPE_CHECKING:
    from photochrom.worker.inference.engine import Engine

AHEAD = 64
"""Files that are handed out before they are needed, for each process: one that takes long holds up no other."""

LOOK_SECONDS = 0.2

NewPool = Callable[[int], Executor]
"""Makes an executor of so many processes."""

Pools = Callable[[Request, Settings, Path], NewPool]
"""How such executors are made that do what is requested, with these settings and weights."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Handed(NamedTuple):
    """A file in the hands of an executor."""

    pair: Pair
    future: Future[Outcome]


class Interruption:
    """Ctrl-C and SIGTERM. The first lets the files in hand be finished; the second ends this process and all others."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if not multiprocessing.active_children():
                os._exit(128 + number)  # threads cannot be ended
            for process in multiprocessing.active_children():
                process.kill()
            raise KeyboardInterrupt
        self.signal = number


def outcomes(pairs: Iterable[Pair], new_pool: NewPool, jobs: int, interruption: Interruption) -> Iterator[Outcome]:
    """What becomes of each file, in their order, until all are done or somebody interrupts.

    Where a process dies, the files that it may have died of are tried again, one at a time; one that kills its process
    alone fails with the reason "poison". Raises WorkerFault and UsageError where no file can be done.
    """
    waiting = deque(pairs)
    known: dict[Pair, Future[Outcome]] = {}
    while waiting and not interruption.signal:
        handed: deque[Handed] = deque()
        pool = new_pool(jobs)
        try:
            yield from _through(pool, waiting, known, handed, jobs, interruption)
        except BrokenProcessPool:
            yield from _after_death(handed, new_pool, jobs)
            waiting.extendleft(one.pair for one in reversed(handed))
            known = {one.pair: one.future for one in handed if _is_finished(one)}
        finally:
            pool.shutdown(cancel_futures=True)


def _through(
    pool: Executor,
    waiting: deque[Pair],
    known: dict[Pair, Future[Outcome]],
    handed: deque[Handed],
    jobs: int,
    interruption: Interruption,
) -> Iterator[Outcome]:
    """Hand out what is waiting, and give back outcomes in order; `handed` is what has none yet.

    Raises BrokenProcessPool where a process died.
    """
    while handed or waiting:
        if interruption.signal:
            waiting.clear()
            for one in reversed(handed):
                one.future.cancel()
        while waiting and len(handed) < AHEAD * jobs:
            pair = waiting[0]
            handed.append(Handed(pair, known.pop(pair) if pair in known else _submit(pool, pair)))
            waiting.popleft()
        wait([one.future for one in islice(handed, 1)], LOOK_SECONDS)
        while handed and handed[0].future.done():
            if not handed[0].future.cancelled():
                yield handed[0].future.result()
            handed.popleft()


def _submit(pool: Executor, pair: Pair) -> Future[Outcome]:
    """The signals that interrupt are for this process alone: one that is started now gets none of them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        return pool.submit(attempt, pair)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _after_death(handed: deque[Handed], new_pool: NewPool, jobs: int) -> Iterator[Outcome]:
    """Outcomes of files that a dead process may have had in hand, which are the first without one, each tried alone.

    What `handed` holds afterwards is innocent.
    """
    suspects = jobs
    while handed and (suspects or _is_finished(handed[0])):
        one = handed.popleft()
        if _is_finished(one):
            yield one.future.result()
        else:
            suspects -= 1
            yield _alone(one.pair, new_pool)


def _is_finished(one: Handed) -> bool:
    return one.future.done() and not one.future.cancelled() and one.future.exception() is None


def _alone(pair: Pair, new_pool: NewPool) -> Outcome:
    pool = new_pool(1)
    try:
        _check_starts(pool)
        return _submit(pool, pair).result()
    except BrokenProcessPool:
        return Outcome(str(pair.source), None, POISON, "its process was killed, most likely for want of memory")
    finally:
        pool.shutdown(cancel_futures=True)


def _check_starts(pool: Executor) -> None:
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise WorkerFault("processes that are to colorize cannot be started on this machine") from error


_attempts: list[Attempt] = []
"""Of this process: what it does with a file. An executor's tasks find nothing else that was made when it began."""


def attempt(pair: Pair) -> Outcome:
    """One file, in a process that `begin` has prepared. Raises as Attempt does."""
    return _attempts[0](pair)


def begin(request: Request, settings: Settings, load: LoadEngine) -> None:
    """Prepare this process for files; the model is loaded when the first one needs it."""
    _attempts[:] = [Attempt(request, settings, load)]


def _begin_process(request: Request, settings: Settings, load: LoadEngine) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    adopt(settings)
    begin(request, settings, load)


def _end_with_parent() -> None:
    """An executor's process would wait for work for ever after its parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)


def processes(request: Request, settings: Settings, load: LoadEngine) -> NewPool:
    """Processes that each load an engine; started afresh, since torch does not survive a fork."""
    context = multiprocessing.get_context("spawn")
    return lambda jobs: ProcessPoolExecutor(jobs, context, _begin_process, (request, settings, load))


def pools(request: Request, settings: Settings, weights: Path) -> NewPool:
    """Processes, or beside a GPU threads of this one, which owns it."""
    load = partial(_load, weights, settings.torch_threads or 1)
    if settings.pool == "threads":
        adopt(settings)
        begin(request, settings, load)
        return ThreadPoolExecutor
    return processes(request, settings, load)


def _load(weights: Path, threads: int) -> Engine:
    from photochrom.worker.inference.engine import Engine, prepare_process

    prepare_process(threads)
    return Engine.load(weights)
