"""Photoshop's image resources, and the IPTC-IIM records (IIM 4.2, 1.6) that usually stand in one of them."""

from __future__ import annotations

import struct
from collections import Counter

IPTC_RESOURCE, PROFILE_RESOURCE, XMP_RESOURCE = 0x0404, 0x040F, 0x0424


def resources(block: bytes) -> dict[int, bytes]:
    """The resources of a block by number, up to the first that cannot be read."""
    found: dict[int, bytes] = {}
    place = 0
    while block[place : place + 4] in (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR") and place + 12 <= len(block):
        (number,) = struct.unpack_from(">H", block, place + 4)
        name = block[place + 6] + 1
        place += 6 + name + name % 2
        if place + 4 > len(block):
            break
        (size,) = struct.unpack_from(">I", block, place)
        found.setdefault(number, block[place + 4 : place + 4 + size])
        place += 4 + size + size % 2
    return found


def records(iptc: bytes) -> Counter[tuple[int, int, bytes]]:
    """(record, data set, value) of every data set, and how often it is there."""
    found: Counter[tuple[int, int, bytes]] = Counter()
    place = 0
    while iptc[place : place + 1] == b"\x1c" and place + 5 <= len(iptc):
        _, record, number, size = struct.unpack_from(">BBBH", iptc, place)
        place += 5
        if size & 0x8000:  # the size of the size
            more = size & 0x7FFF
            size = int.from_bytes(iptc[place : place + more], "big")
            place += more
        found[record, number, iptc[place : place + size]] += 1
        place += size
    return found
