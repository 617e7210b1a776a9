"""Which chunks of a PNG go into the PNG that is made of it."""

import struct
import tracemalloc
import zlib

import pytest

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.png.chunks import Allowance, Chunk, kept
from tests.unit.photo.generate.png import GRAY, chunk, random_png

LIMITS = Limits(pixels=1_000_000, segments=200)


def names_of(*names):
    chunks = b"".join(chunk(name, b"some data") for name in names)
    found = kept(random_png(GRAY, 8, chunks=chunks), LIMITS)
    return [one.name for one in found.chunks], list(found.dropped)


def test_what_says_how_samples_are_to_be_seen_is_kept_though_it_could_be_unsafe_to_copy():
    names = [b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"]
    assert names_of(*names) == (names, [])


def test_what_is_safe_to_copy_is_kept_in_its_order():
    names = [b"tEXt", b"pHYs", b"zTXt", b"iTXt", b"oFFs", b"prVt", b"tEXt"]
    assert names_of(*names) == (names, [])


def test_what_other_pixels_make_untrue_is_dropped_by_name():
    names = [b"caBX", b"dSIG", b"tIME", b"hIST", b"sBIT", b"bKGD", b"prIV", b"tIME"]
    assert names_of(*names) == ([], ["bKGD", "caBX", "dSIG", "hIST", "prIV", "sBIT", "tIME"])


def test_what_the_metadata_holds_is_not_kept_twice():
    packet = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>")
    others = chunk(b"eXIf", b"II*\0") + chunk(b"iCCP", b"a\0\0" + zlib.compress(b"x")) + chunk(b"tRNS", b"\0\7")
    title = chunk(b"iTXt", b"Title\0\0\0de\0Titel\0Graben")
    found = kept(random_png(GRAY, 8, chunks=packet + others + title), LIMITS)
    assert [(one.name, bytes(one.data)) for one in found.chunks] == [(b"iTXt", b"Title\0\0\0de\0Titel\0Graben")]
    assert found.dropped == ()


def test_the_name_of_a_dropped_chunk_can_be_printed():
    assert names_of(b"a\n\xffX")[1] == ["a??X"]


def test_a_damaged_file_has_no_chunks():
    with pytest.raises(ImageFault) as told:
        kept(random_png(GRAY, 8)[:-1], LIMITS)
    assert told.value.reason == "damaged"


def test_what_is_decompressed_counts_together(monkeypatch):
    monkeypatch.setattr("photochrom.worker.photo.png.chunks.MOST_METADATA", 1000)
    allowance = Allowance()
    assert allowance.inflate(zlib.compress(bytes(600))) == bytes(600)
    assert allowance.inflate(zlib.compress(bytes(400))) == bytes(400)
    with pytest.raises(ImageFault) as told:
        allowance.inflate(zlib.compress(b"x"))
    assert told.value.reason == "unsupported"


def test_a_bomb_does_not_even_go_off(monkeypatch):
    monkeypatch.setattr("photochrom.worker.photo.png.chunks.MOST_METADATA", 1000)
    bomb = zlib.compress(bytes(20_000_000))
    tracemalloc.start()
    with pytest.raises(ImageFault):
        Allowance().inflate(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_stream_that_ends_too_early_is_none():
    with pytest.raises(zlib.error):
        Allowance().inflate(zlib.compress(bytes(600))[:-1])


def test_a_chunk_s_data_is_what_stands_in_the_file():
    data = struct.pack(">IIB", 1, 2, 0)
    assert kept(random_png(GRAY, 8, chunks=chunk(b"pHYs", data)), LIMITS).chunks == (Chunk(b"pHYs", data),)
