"""The readers that `verify` has of its own: markers, tags, XMP, IPTC."""

from __future__ import annotations

import io
import struct
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from photochrom.worker.verify import iptc, markers
from photochrom.worker.verify.compare import verify_bytes
from photochrom.worker.verify.page import widened
from photochrom.worker.verify.tags import describing, directories, exif_tags
from photochrom.worker.verify.xmp import foreign, ours, properties
from tests.examples import examples
from tests.unit.photo.generate import jpeg, splice
from tests.unit.photo.generate.jpeg import Kind, gray_jpeg
from tests.unit.photo.generate.metadata import EXIF, IPTC, PHOTOSHOP, XMP, XMP_REWRITTEN, iptc_record, xmp
from tests.unit.photo.generate.splice import spliced
from tests.unit.photo.generate.tiff import by_hand, plain_entries, plain_tiff

SOURCE = gray_jpeg(jpeg.with_everything())
RESULT = spliced(SOURCE)


# ---- markers


def test_markers_are_found_behind_fill_bytes_and_scans():
    source = gray_jpeg(Kind(fill=3, restart=2, mode="progressive", trailing=b"\xff\xd8\xff\xd9"))
    found = [segment.marker for segment in markers.segments(source)]
    assert found[-1] == markers.EOI
    assert found.count(markers.SOS) > 3
    assert found.count(markers.EOI) == 1


def test_the_last_definition_of_a_quantisation_table_counts():
    found = [
        markers.Segment(markers.DQT, bytes([slot]) + bytes([step] * 64), 0, 0)
        for slot, step in ((0, 7), (1, 8), (0, 9))
    ]
    assert markers.quantisation(found, 0) == [9] * 64
    wide = markers.Segment(markers.DQT, b"\x12" + struct.pack(">64H", *[300] * 64), 0, 0)
    assert markers.quantisation([wide], 2) == [300] * 64
    assert markers.quantisation([wide], 3) == []


# ---- tags


def test_tags_of_all_directories_are_read():
    tags = exif_tags(EXIF)
    assert tags["", 270] == b"The harbour"
    assert tags["exif", 33434] == ((1, 25),)
    assert tags["exif", 37500] == b"maker!"
    assert tags["gps", 2] == ((48, 1), (12, 1), (30, 1))
    assert len(describing(tags)) == 9


@pytest.mark.parametrize("order", ["<", ">"])
def test_tags_are_the_same_in_either_byte_order(order):
    (directory,) = directories(by_hand(plain_entries(width=300), bytes(20), order))
    assert directory.first(256) == 300
    assert directory.first(258) == 8
    assert describing(directory.tags) == {}


def test_a_chain_that_bites_its_tail_ends():
    assert len(directories(by_hand(plain_entries(), bytes(20), following=8))) == 1


def test_a_directory_that_points_to_itself_ends():
    assert directories(by_hand([*plain_entries(), (34665, 4, 1, 8)]))[0].first(34665) == 8


@pytest.mark.parametrize("entry", [(270, 2, 2**32 - 1, 8), (270, 2, 40, 2**31), (270, 99, 1, 1), (270, 12, 2**30, 8)])
def test_a_tag_that_cannot_be_is_passed_over(entry):
    (directory,) = directories(by_hand([*plain_entries(), entry], bytes(20)))
    assert ("", 270) not in directory.tags
    assert directory.first(257) == 4


def test_iptc_that_was_written_as_32_bit_numbers_is_read_as_bytes():
    record = iptc_record(5, "Harbour") + bytes(4)
    for order in "<>":
        (directory,) = directories(by_hand([(33723, 4, 4, -1)], record, order))
        assert iptc.records(directory.raw(33723)) == {(2, 5, b"Harbour"): 1}


@given(data=st.binary(max_size=200))
@examples(200)
def test_any_bytes_have_tags_or_none(data):
    assert isinstance(exif_tags(data), dict)
    assert isinstance(exif_tags(b"II*\0\x08\0\0\0" + data), dict)


# ---- XMP


def test_properties_are_the_same_in_either_form():
    rewritten = xmp(
        XMP_REWRITTEN,
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"',
    )
    assert properties(XMP) == properties(rewritten) != {}
    assert properties(XMP)["{http://purl.org/dc/elements/1.1/}subject"] == ["ships", "masts"]
    assert properties(XMP)["{http://purl.org/dc/elements/1.1/}title"] == [{"lang": "x-default", "value": "The harbour"}]


@pytest.mark.parametrize(
    "structure",
    [
        '<a:b rdf:parseType="Resource"><a:c>1</a:c></a:b>',
        "<a:b><rdf:Description><a:c>1</a:c></rdf:Description></a:b>",
        '<a:b><rdf:Description a:c="1"/></a:b>',
        '<a:b a:c="1"/>',
    ],
)
def test_structures_are_the_same_in_every_form(structure):
    assert properties(xmp(structure, 'xmlns:a="urn:a"')) == {"{urn:a}b": {"{urn:a}c": "1"}}


@pytest.mark.parametrize(
    ("encoding", "declaration"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        *product(
            ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-16", "utf-32"],
            ["", '<?xml version="1.0" encoding="UTF-16"?>'],
        ),
    ],
)
def test_packets_are_read_in_every_encoding(encoding, declaration):
    text = XMP.decode().replace("The harbour", "Hafen, Köln")
    assert properties((declaration + text).encode(encoding)) == properties(text.encode())


@pytest.mark.parametrize(
    "packet", [b"<a", b"no XML", b"<!DOCTYPE a><a/>", XMP.replace(b"<x:", b'<!DOCTYPE x [<!ENTITY a "b">]><x:', 1)]
)
def test_what_is_no_packet_has_no_properties(packet):
    assert properties(packet) is None
    assert properties(b"\0 ") == {}


def test_our_properties_are_told_from_those_of_others():
    found = properties(splice.statement(SOURCE, more=XMP_REWRITTEN))
    assert ours(found)["How"] == "spliced"
    assert foreign(found) == properties(XMP)


# ---- IPTC


def test_image_resources_and_the_records_in_them_are_read():
    found = iptc.resources(PHOTOSHOP)
    assert found[iptc.IPTC_RESOURCE] == IPTC
    assert len(found) == 2
    assert iptc.records(IPTC)[2, 25, b"masts"] == 1


def test_records_of_any_length_are_read():
    long = b"\x1c\x02\x78\x80\x04" + struct.pack(">I", 40_000) + bytes(40_000)
    assert iptc.records(long + iptc_record(5, "x")) == {(2, 120, bytes(40_000)): 1, (2, 5, b"x"): 1}


@given(data=st.binary(max_size=100))
def test_any_bytes_are_resources_or_none(data):
    iptc.resources(b"8BIM" + data)
    iptc.records(b"\x1c" + data)


# ---- samples


@pytest.mark.parametrize(("bits", "factor"), [(1, 255), (2, 85), (4, 17)])
def test_few_bits_are_brought_to_8_exactly(bits, factor):
    samples = np.arange(2**bits, dtype=np.uint8)
    np.testing.assert_array_equal(widened(samples, bits), samples * factor)


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
def test_more_bits_are_brought_to_16_from_black_to_white(bits):
    wide = widened(np.arange(2**bits, dtype=np.uint16), bits)
    assert (wide[0], wide[-1], wide.dtype) == (0, 65535, np.uint16)
    np.testing.assert_array_equal(wide >> (16 - bits), np.arange(2**bits))


# ---- whatever comes


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_page_of_more_pixels_than_are_allowed_is_not_decoded(name):
    written = io.BytesIO()
    Image.new("L", (40, 30), 90).save(written, name)
    data = written.getvalue()
    assert verify_bytes(data, data, most_pixels=1200)[0].ok
    told = verify_bytes(data, data, most_pixels=1199)[0]
    assert (told.what, told.ok) == ("readable", False)
    assert told.detail == "the coloured file: 40 x 30 pixels are more than the limit of 1,199"


def test_a_tiff_of_many_samples_a_pixel_is_not_decoded():
    data = plain_tiff(samples=60_000)
    assert verify_bytes(data, data)[0].detail == "the coloured file: a TIFF page of 60000 samples a pixel"


changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)


@pytest.mark.parametrize("data", [RESULT, plain_tiff()], ids=["jpeg", "tiff"])
@given(changes=changes, cut=st.integers(0, 300))
@example(changes=[(20, 1), (458, 6)], cut=0)  # of the TIFF: a page of 393,220 x 65,541 pixels
@examples(100)
def test_damaged_files_are_compared_and_never_fail(data, changes, cut):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    for result, source in ((bytes(damaged[: len(damaged) - cut]), SOURCE), (RESULT, bytes(damaged))):
        assert verify_bytes(result, source)
