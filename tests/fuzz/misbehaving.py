"""A child whose story does what its file says: crash, hang, grow. For the driver's own tests."""

from __future__ import annotations

import os
import time

from photochrom.worker.errors import ImageFault, OutOfMemoryFault
from tests.fuzz import child
from tests.unit.photo.generate.jpeg import Kind, gray_jpeg


def misbehave(kind: str, data: bytes) -> bytes:
    """In place of the story."""
    if data == b"crash":
        os.abort()
    if data == b"exit":
        os._exit(3)
    if data == b"hang":
        time.sleep(1000)
    if data == b"slow":
        started = time.process_time()
        while time.process_time() < started + 0.3:
            pass
    if data == b"grow":
        bytearray(400 * 2**20)
    if data == b"too much":
        raise OutOfMemoryFault(f"for {len(bytearray(2**32))} bytes")
    if data == b"error":
        raise ZeroDivisionError("by nothing")
    if data == b"fault":
        raise ImageFault("damaged", "as it should be")
    return gray_jpeg(Kind(width=8, height=8, seed=5))


if __name__ == "__main__":
    child.way_of = misbehave
    child.main()
