"""Beside the work in hand: the next thing is brought, and the last one taken away, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

Item = TypeVar("Item")
Brought = TypeVar("Brought")


def brought_ahead(
    items: Sequence[Item],
    bring: Callable[[Item], Brought],
    bring_ahead: Callable[[Item], Brought],
    may_go_on: Callable[[], bool],
) -> Iterator[tuple[Item, Future[Brought]]]:
    """Each item with what is brought for it; the next one's is brought while the caller works on this one.

    `bring` is called for the first, `bring_ahead` for those after it. When the caller stops and may not go on, the end
    of what is being brought is not awaited.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")
    try:
        ahead: Future[Brought] | None = None
        for place, item in enumerate(items):
            current = ahead or pool.submit(bring, item)
            following = items[place + 1 : place + 2]
            ahead = pool.submit(bring_ahead, following[0]) if following else None
            yield item, current
    finally:
        pool.shutdown(wait=may_go_on(), cancel_futures=True)


class Behind:
    """One piece of work at a time, done in a thread of its own while the caller goes on.

    Whoever hands over the next waits for the end of the one before: no more than one is in hand. At the end of the
    `with` block it has ended. What it raises is raised to whoever waits.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._in_hand: Future[None] | None = None

    def hand_over(self, work: Callable[[], None]) -> None:
        self.wait()
        self._in_hand = self._pool.submit(work)

    def wait(self) -> None:
        """Until what was handed over last has ended."""
        in_hand, self._in_hand = self._in_hand, None
        if in_hand:
            in_hand.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._pool.shutdown()
        if kind is None:
            self.wait()
