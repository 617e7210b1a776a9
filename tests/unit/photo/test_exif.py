"""Orientation and resolution leave an EXIF block and come back to it, and nothing else moves."""

import io
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.worker.photo.metadata import exif
from photochrom.worker.photo.metadata.exif import Parts, put_together, take_apart

MAKER_NOTE = b"Camera\0" + bytes(range(200))


def block(order="<", entries=(), following=0, at=8, gap=b""):
    """A block of entries (tag, type, count, value as 4 bytes or number)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    written = b"".join(
        struct.pack(order + "HHI", tag, kind, count)
        + (value if isinstance(value, bytes) else struct.pack(order + ("H2x" if kind == 3 else "I"), value))
        for tag, kind, count, value in entries
    )
    return head + gap + struct.pack(order + "H", len(entries)) + written + struct.pack(order + "I", following)


def photographers_block():
    tags = Image.Exif()
    tags[270], tags[274], tags[282], tags[283], tags[296], tags[315] = "Vienna, 1901", 6, 300.0, 600.0, 2, "Anna"
    tags.get_ifd(0x8769)[37500] = MAKER_NOTE
    tags.get_ifd(0x8825)[1] = "N"
    return tags.tobytes()


def directory_tags(data):
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(order + "I", data, 4)[0]
    count = struct.unpack_from(order + "H", data, at)[0]
    return [struct.unpack_from(order + "H", data, at + 2 + 12 * number)[0] for number in range(count)]


def tags_of(data):
    tags = Image.Exif()
    tags.load(data)
    return tags


@pytest.mark.parametrize("prefix", [b"", exif.PREFIX])
def test_what_the_file_says_itself_leaves_the_block(prefix):
    parts = take_apart(prefix + photographers_block().removeprefix(exif.PREFIX))
    assert (parts.orientation, parts.dpi) == (6, (300, 600))
    tags = tags_of(parts.block)
    assert {tag: tags[tag] for tag in tags if tag < 0x8000} == {270: "Vienna, 1901", 315: "Anna"}
    assert tags.get_ifd(0x8769)[37500] == MAKER_NOTE
    assert tags.get_ifd(0x8825)[1] == "N"


def test_what_a_camera_keeps_stays_where_it_was():
    """Maker notes hold offsets into the block that nobody else knows."""
    before = photographers_block().removeprefix(exif.PREFIX)
    after = take_apart(before).block
    assert len(after) == len(before)
    assert after.find(MAKER_NOTE) == before.find(MAKER_NOTE)
    again = put_together(after, 6, (300, 600))
    assert again.find(MAKER_NOTE) == before.find(MAKER_NOTE)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    "dpi",
    [
        None,
        (300, 600),
        (Fraction("299.9994"), Fraction(1, 3)),
        (Fraction(2**32 - 1, 2**32 - 2), Fraction(2**32 - 1, 13)),
        (Fraction("2.54") * (2**32 - 1), Fraction("2.54")),
    ],
)
@pytest.mark.parametrize("entries", [(), [(270, 2, 4, b"abc\0"), (315, 2, 4, b"Ann\0")], [(40000, 4, 1, 7)]])
def test_what_is_put_together_can_be_taken_apart(order, turn, dpi, entries):
    whole = put_together(block(order, entries) if entries else b"", turn, dpi)
    if not entries and turn == 1:
        assert whole == b""
        return
    assert whole[:2] == (b"II" if order == "<" or not entries else b"MM")
    parts = take_apart(whole)
    assert parts.orientation == turn
    assert parts.dpi == dpi
    read = tags_of(whole)
    assert read.get(274, 1) == turn
    assert directory_tags(whole) == sorted(directory_tags(whole))
    assert bool(parts.block) == bool(entries)
    for tag, *_ in entries:
        assert tags_of(parts.block)[tag] == read[tag]


def test_pillow_finds_what_was_put_into_a_camera_s_block():
    parts = take_apart(photographers_block())
    tags = tags_of(put_together(parts.block, 3, (200, 100)))
    assert (tags[274], tags[282], tags[283], tags[296], tags[270]) == (3, 200, 100, 2, "Vienna, 1901")
    assert tags.get_ifd(0x8769)[37500] == MAKER_NOTE
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "JPEG", exif=exif.PREFIX + put_together(parts.block, 3, None))
    assert Image.open(file).getexif()[274] == 3


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_a_directory_begins_at_a_word(length):
    whole = put_together(block(entries=[(315, 2, 4, b"Ann\0")]) + bytes(length), 6, None)
    assert struct.unpack_from("<I", whole, 4)[0] % 2 == 0
    assert take_apart(whole).orientation == 6


def test_putting_together_twice_gives_the_same_bytes():
    parts = take_apart(photographers_block())
    assert put_together(parts.block, 3, (200, 100)) == put_together(parts.block, 3, (200, 100))


@pytest.mark.parametrize("stated", [0, 9, 60000])
def test_an_orientation_that_is_none_means_upright_and_leaves_the_block(stated):
    assert take_apart(block(entries=[(274, 3, 1, stated), (315, 2, 4, b"Ann\0")])).orientation == 1
    assert take_apart(block(entries=[(274, 3, 1, stated)])) == Parts(b"", 1, None)


@pytest.mark.parametrize("kind", [2, 5, 7])
def test_an_orientation_of_another_type_means_upright(kind):
    assert take_apart(block(entries=[(274, kind, 1, b"\6\0\0\0")])).orientation == 1
    assert take_apart(block(entries=[(274, 4, 1, 6)])).orientation == 6


@pytest.mark.parametrize(("unit", "dpi"), [(1, None), (2, (100, 100)), (3, (254, 254)), (9, None), (None, (100, 100))])
def test_resolution_has_a_unit(unit, dpi):
    entries = [(282, 5, 1, 50), (283, 5, 1, 50)] + ([(296, 3, 1, unit)] if unit else [])
    data = block(entries=entries).ljust(50, b"\0") + struct.pack("<II", 100, 1)
    parts = take_apart(data)
    assert parts.dpi == dpi


@pytest.mark.parametrize("at", [42, 43, 2**32 - 1])
def test_a_resolution_that_lies_outside_is_none(at):
    data = block(entries=[(282, 5, 1, at), (283, 5, 1, at)])
    assert take_apart(data.ljust(49, b"\0")).dpi is None


def test_how_pixels_are_stored_and_their_profile_are_no_part_of_the_block():
    entries = [(tag, 4, 1, 8) for tag in (256, 257, 258, 259, 262, 273, 277, 278, 279, 34675)]
    assert take_apart(block(entries=entries)).block == b""
    assert list(tags_of(take_apart(block(entries=[*entries, (40000, 4, 1, 7)])).block)) == [40000]


def test_a_block_with_a_thumbnail_keeps_it():
    data = block(entries=[(274, 3, 1, 6)], following=26) + block(entries=[(259, 3, 1, 6)])[8:]
    parts = take_apart(data)
    assert parts.orientation == 6
    assert struct.unpack_from("<HI", parts.block, 8) == (0, 26)
    assert parts.block[26:] == data[26:]


def test_a_block_without_the_offset_of_a_next_directory_is_read():
    data = block(entries=[(274, 3, 1, 6), (270, 2, 4, b"abc\0")])[:-4]
    parts = take_apart(data)
    assert parts.orientation == 6
    assert tags_of(parts.block)[270] == "abc"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II",
        b"II*\0\x08\0\0\0",
        b"Exif\0\0",
        b"XX*\0\x08\0\0\0" + bytes(20),
        block(at=5000),
        block(at=2),
        b"II*\0" * 3,
    ],
)
def test_what_is_no_block_says_nothing(data):
    assert take_apart(data) == Parts(b"")


def test_a_block_that_promises_more_entries_than_there_are_says_nothing():
    assert take_apart(b"II*\0\x08\0\0\0\xff\xff" + bytes(50)) == Parts(b"")


@pytest.mark.parametrize("nothing", [(0, 1), (300, 0)])
def test_a_resolution_without_a_number_is_none(nothing):
    values = struct.pack("<IIII", 300, 1, *nothing)
    for places in ((50, 58), (58, 50)):
        data = block(entries=[(282, 5, 1, places[0]), (283, 5, 1, places[1])])
        assert take_apart(data.ljust(50, b"\0") + values).dpi is None


@pytest.mark.parametrize(("numerator", "denominator"), [(1, 1), (1, 2**32 - 1), (70_000, 1), (2**32 - 1, 1)])
def test_a_resolution_counts_however_coarse_or_fine(numerator, denominator):
    data = block(entries=[(282, 5, 1, 50), (283, 5, 1, 50)]).ljust(50, b"\0")
    stated = Fraction(numerator, denominator)
    assert take_apart(data + struct.pack("<II", numerator, denominator)).dpi == (stated, stated)


@given(st.binary(max_size=120), st.sampled_from([b"", b"II*\0", b"MM\0*", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\0\3"]))
def test_any_bytes_can_be_taken_apart_and_put_together(rest, start):
    parts = take_apart(start + rest)
    assert 1 <= parts.orientation <= 8
    whole = put_together(parts.block, parts.orientation, parts.dpi)
    again = take_apart(whole)
    assert (again.orientation, again.dpi) == (parts.orientation, parts.dpi if whole else None)
