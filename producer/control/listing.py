"""A source being listed in turns: a listing may stop at any key, whether it has found photographs or not."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from photochrom.producer.records.sources import looks
from photochrom.producer.records.submission import Submission
from photochrom.worker.process.shutdown import is_draining
from photochrom.worker.s3.store import Listed, Store

LISTINGS_KEPT = 32
"""Stand open between two turns. Of those beyond, a turn begins anew at the cursor: two more calls for a folder, and for
a manifest all the lines before it."""


class Listing:
    """A source of which everything before `after` was looked at."""

    def __init__(self, submission: Submission, store: Store, cursor: Mapping[str, str]) -> None:
        self.name = submission.name
        self.cursor = cursor
        """As the ledger has it; what was looked at since then is in no page yet."""
        self.after = cursor.get("after", "")
        self.found: list[Listed] = []
        """The photographs since then."""
        self.at_end = False
        self._looks = looks(submission, store, self.after)

    @property
    def is_listed(self) -> bool:
        """Whether the ledger says that nothing is left to list."""
        return self.cursor.get("listed") == "1"

    def look(self, most: int, until: float) -> int:
        """Look at keys until so many photographs are found, it is `until` (of the monotonic clock), or all was seen.

        Gives back how many keys were looked at: at least one, so that there is no end of turns in which nothing
        happens. A process that drains stops as well. Raises what `sources.entries` does; then the listing cannot go
        on, but what it has found counts.
        """
        seen = 0
        while len(self.found) < most and not self.at_end:
            look = next(self._looks, None)
            if look is None:
                self.at_end = True
                break
            seen += look.cursor != self.after
            self.after = look.cursor
            if look.wanted:
                self.found.append(look.wanted)
            if is_over(until):
                break
        return seen

    def go_on_from(self, cursor: Mapping[str, str]) -> None:
        """What was found is in a page, and the ledger's cursor stands where this listing does."""
        self.cursor = cursor
        self.found = []


def is_over(until: float) -> bool:
    """Whether a turn has to end."""
    return time.monotonic() >= until or is_draining()


class Listings:
    """Those of a process that stand open between two turns. Safe to share between threads.

    It also knows when S3 last noted where each stands.
    """

    def __init__(self) -> None:
        self._open: dict[str, Listing] = {}
        self._noted: dict[str, float] = {}

    def take(self, submission: Submission, cursor: Mapping[str, str], store: Store) -> Listing:
        """The listing that stands at the ledger's cursor, opened now if there is none."""
        self._noted.setdefault(submission.name, time.monotonic())
        listing = self._open.pop(submission.name, None)
        return listing if listing and listing.cursor == cursor else Listing(submission, store, cursor)

    def keep(self, listing: Listing) -> None:
        """Leave a listing open; it is closed at once where there are too many, as the others would be closed for it."""
        if len(self._open) < LISTINGS_KEPT:
            self._open[listing.name] = listing

    def keep_only(self, names: Collection[str]) -> None:
        """Close the listings of all other submissions."""
        for known in (self._open, self._noted):
            for name in [name for name in known.copy() if name not in names]:
                known.pop(name, None)

    def note(self, name: str) -> None:
        """S3 knows now where the listing stands."""
        self._noted[name] = time.monotonic()

    def seconds_since_note(self, name: str) -> float:
        """Since `note`, or since this process first took the listing."""
        now = time.monotonic()
        return now - self._noted.setdefault(name, now)
