"""A listing goes on where it was cut off: whatever the real server's order is, no key is left out or given twice."""

from __future__ import annotations

import pytest

from photochrom.deploy.stack.stack import Stack
from photochrom.worker.s3.store import Location, Store

pytestmark = pytest.mark.integration

NAMES = ("w", "x", "x/1", "x/2/3", "x/2-1", "x-y", "x.jpg", "x.jpg/1.jpg", "x.jpg-1", "x.jpg0", "xa/1", "y")
"""Folders among files whose names begin alike, and files that are folders too: where servers differ."""


def test_a_listing_goes_on_behind_any_key() -> None:
    with Stack(workers=0, control=False) as stack, stack.exported() as settings:
        store, folder = Store(settings), Location("photochrom-in", "scans/")
        for name in NAMES:
            store.put(folder.bucket, folder.prefix + name, b"12")
        everything = [item.key.removeprefix(folder.prefix) for item in store.list(folder)]
        assert sorted(everything) == sorted(NAMES)
        for place, name in enumerate(everything):
            behind = store.list(folder, after=folder.prefix + name)
            assert [item.key.removeprefix(folder.prefix) for item in behind] == everything[place + 1 :], name
