"""Makes the buckets that the settings name, where they are missing: python -m photochrom.deploy.buckets.

For the S3 server of compose.yaml, with its administrator's keys; no other process may make buckets.
"""

from __future__ import annotations

import sys

from photochrom.worker.errors import PhotochromError
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings, settings


def named(chosen: Settings) -> list[str]:
    """The buckets of READ_FROM, of WRITE_TO, and STATE_BUCKET, each once."""
    places = (*chosen.read_from, *chosen.write_to)
    return sorted({chosen.state_bucket, *(Location.parse(place).bucket for place in places)})


def main() -> int:
    """Make those that are missing, and say so; the exit code is 1 where that cannot be."""
    try:
        store = Store(settings())
        for bucket in named(settings()):
            store.create_bucket(bucket)
            print(bucket)
    except PhotochromError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
