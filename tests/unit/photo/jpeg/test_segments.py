"""A JPEG taken apart: every byte is in exactly one segment, and a mess is told from a file."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg.segments import (
    APP1,
    DNL,
    DRI,
    EOI,
    SOI,
    SOS,
    MessyError,
    count_markers,
    frame_of,
    header,
    parse,
    segment,
)
from photochrom.worker.photo.jpeg.source import UnsplicableError, read

LIMITS = Limits()


def jpeg(rng, **options):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 56), np.uint8)).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"comment": b"\xff\xd9 in a comment"}]
)
def test_the_segments_make_up_the_whole_file(rng, options):
    data = jpeg(rng, **options)
    found = parse(data, LIMITS)
    assert b"".join(data[one.start : one.end] for one in found) == data
    assert (found[0].marker, found[-1].marker) == (SOI, EOI)
    assert all(data[one.at : one.at + len(one.payload)] == one.payload for one in found)


def test_what_follows_the_end_is_no_segment(rng):
    data = jpeg(rng)
    assert parse(data + b"\xff\xd8 another picture", LIMITS)[-1].end == len(data)


def test_a_progressive_jpeg_has_many_scans_and_one_frame(rng):
    found = parse(jpeg(rng, progressive=True), LIMITS)
    assert sum(one.marker == SOS for one in found) > 3
    assert (frame_of(found).marker, frame_of(found).width, frame_of(found).height) == (0xC2, 56, 40)


def test_fill_bytes_before_a_marker_belong_to_its_segment(rng):
    data = jpeg(rng)
    filled = data[:2] + b"\xff\xff\xff" + data[2:]
    first = parse(filled, LIMITS)[1]
    assert (first.start, filled[first.at - 4], first.payload) == (2, 0xFF, parse(data, LIMITS)[1].payload)


def test_a_file_that_ends_without_its_end_is_taken_as_it_is(rng):
    data = jpeg(rng)[:-2]
    found = parse(data, LIMITS)
    assert (found[-1].marker, found[-1].end) == (SOS, len(data))


def test_the_header_ends_before_the_first_scan(rng):
    data = jpeg(rng)
    found = header(data, LIMITS)
    assert found == parse(data, LIMITS)[: len(found)]
    assert data[found[-1].end + 1] == SOS


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8 no marker",
        b"\xff\xd8\xff\xe1\x00\x01",
        b"\xff\xd8\xff\xe1\xff\xff too short",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xff\xff",
        b"\xff\xe1\x00\x02",
        b"\xff\xd8\xff\xd8" + segment(DNL, b"12"),
    ],
)
def test_a_mess_is_told(data):
    with pytest.raises(MessyError):
        frame_of(parse(data, LIMITS))


def test_two_frame_headers_are_a_mess(rng):
    data = jpeg(rng)
    frame = next(one for one in parse(data, LIMITS) if one.marker == 0xC0)
    with pytest.raises(MessyError):
        frame_of(parse(data[: frame.end] + data[frame.start :], LIMITS))


def test_a_frame_header_shorter_than_its_components_is_damage(rng):
    with pytest.raises(ImageFault) as told:
        frame_of(parse(b"\xff\xd8" + segment(0xC0, bytes((8, 0, 8, 0, 8, 3, 1, 17, 0))), LIMITS))
    assert told.value.reason == "damaged"


def test_more_segments_than_the_limit_are_refused():
    data = b"\xff\xd8" + segment(APP1, b"") * 50
    with pytest.raises(ImageFault) as told:
        parse(data, Limits(segments=50))
    assert told.value.reason == "too-many-segments"
    assert len(parse(data, Limits(segments=51))) == 51


def test_a_segment_holds_no_more_than_its_length_can_say():
    assert len(segment(DRI, bytes(65_533))) == 65_537
    with pytest.raises(ValueError, match="fit"):
        segment(DRI, bytes(65_534))


def test_a_jpeg_of_more_scans_than_anybody_writes_is_refused(rng):
    data = jpeg(rng, progressive=True)
    scan = next(one for one in parse(data, LIMITS) if one.marker == SOS)
    with pytest.raises(ImageFault) as told:
        parse(data[:-2] + 100 * data[scan.start : scan.end] + data[-2:], LIMITS)
    assert told.value.reason == "too-many-segments"


codes = st.lists(st.sampled_from([b"\xff", b"\0", b"\xd0", b"\xda", b"\x55"]), max_size=12).map(b"".join)


@given(before=codes, inside=codes, tail=st.sampled_from([b"", b"\xff\xd9", b"\xff\xff\xd9"]))
def test_a_scan_that_can_be_read_in_two_ways_is_told(before, inside, tail):
    comment = segment(0xFE, before)
    scan = segment(SOS, bytes((1, 1, 0, 0, 63, 0)))
    data = bytes((0xFF, SOI)) + comment + scan + b"\x12" + inside + tail
    try:
        found = parse(data, LIMITS)
    except MessyError:
        return
    for one in found:
        assert one.is_ambiguous == (one.marker == SOS and b"\xff\xff\0" in data[one.start : one.end])


def test_a_gray_jpeg_that_can_be_read_in_two_ways_is_not_spliced(rng):
    data = jpeg(rng)
    assert read(data, LIMITS).height == 40
    with pytest.raises(UnsplicableError):
        read(data[:-2] + b"\xff\xff\0" + data[-2:], LIMITS)


@given(st.lists(st.sampled_from([b"\xff", b"\xda", b"\0"])).map(b"".join))
def test_markers_are_counted_wherever_they_stand(data):
    assert count_markers(data, SOS) == data.count(b"\xff\xda")
