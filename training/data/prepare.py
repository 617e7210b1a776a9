"""Bringing listed photographs into the cache: in pieces as short as wanted, what is there already passed over."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from photochrom.training.data.cache import Cache
from photochrom.training.data.source import Identity, fetch, identities
from photochrom.training.data.working_copy import WorkingCopy, working_copy
from photochrom.worker.errors import ImageFault
from photochrom.worker.process.exhaustion import shortages_translated
from photochrom.worker.s3.store import Listed, Store

THREADS = 4
"""Some fetch while others decode. Each may hold a file and its decoded pixels, 430 MB at their limits."""

AHEAD = 2 * THREADS
"""Photographs begun and not yet written."""

TOLD_EVERY = 20
"""Photographs between two words of how far it is."""


def prepare(
    source: str,
    listing: list[Listed],
    cache: Cache,
    store: Store | None = None,
    until: Callable[[], bool] = lambda: False,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> bool:
    """Fetch, judge and keep every listed photograph that the cache does not know; whether it knows all of them now.

    Stops soon after `until` says so, with nothing lost of what was begun. `tell` hears how many are done, of how many.
    Photographs that are broken, gone, too large or refused are kept as such, with the reason. Raises OutOfMemoryFault,
    and RetryableError and WorkerFault as S3 and the cache do, when what was begun is kept.
    """
    known = cache.knows(identities(source, listing))
    missing = [listed for listed, there in zip(listing, known, strict=True) if not there]
    done = len(listing) - len(missing)

    def look_at(listed: Listed, known_by: Identity) -> _Looked:
        return _look_at(source, listed, known_by, cache, store)

    with ThreadPoolExecutor(THREADS) as pool:
        for looked in _in_turn(pool, look_at, zip(missing, identities(source, missing), strict=True), until):
            cache.add(*looked)
            done += 1
            if done % TOLD_EVERY == 0 or done == len(listing):
                tell(done, len(listing))
    return done == len(listing)


class _Looked(NamedTuple):
    identity: Identity
    sha256: str
    found: WorkingCopy | str | None


@shortages_translated()
def _look_at(source: str, listed: Listed, known_by: Identity, cache: Cache, store: Store | None) -> _Looked:
    try:
        data = fetch(source, listed, store)
    except ImageFault as fault:
        return _Looked(known_by, "", fault.reason)
    sha256 = hashlib.sha256(data).hexdigest()
    if cache.photograph(sha256):
        return _Looked(known_by, sha256, None)
    try:
        return _Looked(known_by, sha256, working_copy(data))
    except ImageFault as fault:
        return _Looked(known_by, sha256, fault.reason)


def _in_turn(
    pool: ThreadPoolExecutor,
    look_at: Callable[[Listed, Identity], _Looked],
    missing: Iterable[tuple[Listed, Identity]],
    until: Callable[[], bool],
) -> Iterator[_Looked]:
    """Results in the order of the listing, a few begun ahead; none is begun once `until` says so, or one has failed.

    Raises the first failure, when all that was begun has come.
    """
    left, begun = iter(missing), deque[Future[_Looked]]()
    failure: Exception | None = None
    while True:
        while failure is None and len(begun) < AHEAD and not until() and (one := next(left, None)):
            begun.append(pool.submit(look_at, *one))
        if not begun:
            break
        try:
            looked = begun.popleft().result()
        except Exception as error:
            failure = failure or error
        else:
            yield looked
    if failure:
        raise failure
