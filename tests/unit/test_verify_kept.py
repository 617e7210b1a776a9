"""What an archived JPEG keeps leads to its original, or to an error; never to another file, and never to gigabytes."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib

import pytest

from photochrom.worker.errors import ImageFault
from photochrom.worker.verify import kept
from tests.unit.photo.generate import jpeg, splice
from tests.unit.photo.generate.jpeg import Kind, gray_jpeg
from tests.unit.photo.generate.splice import packed
from tests.unit.photo.generate.verified import SOURCE


def restored(
    header: dict | bytes, literals: bytes = b"", most: int = 1000, plain: bytes = b"\xff\xd8abc"
) -> bytes | None:
    stream = packed(header, literals) if isinstance(header, dict) else header
    return kept.original_of(plain[:2] + stream + plain[2:], most)


def header(*parts: list[int], original: bytes = b"", **changed: object) -> dict:
    described = {"version": 1, "sha256": hashlib.sha256(original).hexdigest(), "size": len(original), "parts": parts}
    return {**described, **changed}


def segment(number: int, count: int, stream: bytes) -> bytes:
    return bytes(jpeg.Part(splice.KEPT, splice.SIGNATURE + struct.pack(">HH", number, count) + stream))


def test_the_original_is_put_together_from_copies_and_literal_bytes():
    assert restored(header([0, 3], [2], [1, 2], original=b"\xff\xd8aXY\xd8a"), b"XY") == b"\xff\xd8aXY\xd8a"
    assert restored(header()) == b""


def test_a_file_without_such_segments_keeps_nothing():
    assert kept.original_of(SOURCE, 1000) is None
    assert kept.original_of(gray_jpeg(Kind(others=((0xE9, b"Photoshop\0"),))), 1000) is None


def test_only_segments_before_the_picture_count():
    stream = packed(header(), b"")
    assert kept.original_of(SOURCE[:-2] + stream + SOURCE[-2:], 1000) is None


@pytest.mark.parametrize(
    "described",
    [
        header(original=b"abc"),
        header([3], original=b"abc"),
        header([0, 99], original=b"abc"),
        header([-1, 3]),
        header([-3]),
        header([0, 1, 2]),
        header([]),
        header(["0", 3]),
        header([0.0, 3]),
        header(parts=None),
        header(parts=[3]),
        header(parts=[[True]]),
        header(version=2),
        header(sha256=None),
        header(size=-1),
        {"version": 1},
        {},
    ],
    ids=json.dumps,
)
def test_a_description_that_leads_nowhere_is_damage(described):
    with pytest.raises(ImageFault):
        restored(described)


def test_literal_bytes_that_nobody_takes_are_damage():
    with pytest.raises(ImageFault, match="not used"):
        restored(header(), b"left over")


def test_no_more_is_unpacked_than_the_original_can_be():
    bomb = zlib.compress(b'{"version": 1}\n' + bytes(2**26), 9)
    with pytest.raises(ImageFault, match="longer than the original"):
        restored(b"".join(segment(n, 2, part) for n, part in ((1, bomb[:60_000]), (2, bomb[60_000:]))), most=1000)


def test_copies_come_to_no_more_than_the_original_can_be():
    with pytest.raises(ImageFault, match="too far"):
        restored(header(*[[0, 5]] * 1000), most=1000)


@pytest.mark.parametrize("numbers", [[(1, 2)], [(2, 1)], [(1, 2), (1, 2)], [(2, 2), (1, 2)], [(0, 1)]])
def test_segments_are_all_there_and_in_order(numbers):
    stream = zlib.compress(json.dumps(header()).encode() + b"\n")
    pieces = [stream] if len(numbers) == 1 else [stream[:20], stream[20:]]
    with pytest.raises(ImageFault, match="calls itself"):
        restored(b"".join(segment(*pair, piece) for pair, piece in zip(numbers, pieces, strict=True)))


@pytest.mark.parametrize(
    "stream", [b"", b"no zlib", zlib.compress(b"[]\n"), zlib.compress(b"{}"), zlib.compress(b"[" * 9999)]
)
def test_what_is_no_description_is_damage(stream):
    with pytest.raises(ImageFault, match="cannot be read"):
        restored(segment(1, 1, stream))
