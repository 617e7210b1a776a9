"""What goes with a page of a TIFF: nothing is lost between two files, and other readers find it where it belongs."""

import io
import struct
from fractions import Fraction

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.luma import strips
from photochrom.worker.photo.base.raster import Metadata, Raster
from photochrom.worker.photo.tiff import notes, pages, write_pages
from tests.unit.photo.generate.profile import gray_profile, rgb_profile
from tests.unit.photo.generate.tiff import noise

LIMITS = Limits()
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
PIXELS = noise(4, 5)

MOST = 2**32 - 1
RATIONALS = st.tuples(st.integers(1, MOST), st.integers(1, MOST))

MAKER_NOTE = b"Maker\0II" + bytes(range(200))


def directory(fields, place, order, big, nested=()):
    """A directory of {tag: (type, bytes)} at a place of a file, values behind it; nested: {tag: fields, as these}."""
    count, entry, offset = ("Q", 20, "Q") if big else ("H", 12, "I")
    inline = struct.calcsize(offset)
    fields = dict(fields) | dict.fromkeys(dict(nested), (4, None))
    behind = place + struct.calcsize("<" + count) + entry * len(fields) + inline
    table, values = struct.pack(order + count, len(fields)), b""
    for tag, (kind, data) in sorted(fields.items()):
        if data is None:
            inner, below = dict(nested)[tag]
            data = struct.pack(order + "I", behind + len(values))
            values += directory(inner, behind + len(values), order, big, below)
        table += struct.pack(order + "HH" + offset, tag, kind, len(data) // SIZES[kind])
        if len(data) > inline:
            table += struct.pack(order + offset, behind + len(values))
            values += data + bytes(len(data) % 2)
        else:
            table += data.ljust(inline, b"\0")
    return table + bytes(inline) + values


def file_of(fields, order="<", big=False, nested=()):
    """A page of 5 x 4 pixels with further fields."""
    start = 16 if big else 8
    head = (b"II" if order == "<" else b"MM") + struct.pack(
        order + ("HHHQ" if big else "HI"), *((43, 8, 0, 36) if big else (42, 28))
    )
    numbers = {256: 5, 257: 4, 258: 8, 259: 1, 262: 1, 273: start, 277: 1, 278: 4, 279: 20}
    storage = {tag: (4, struct.pack(order + "I", number)) for tag, number in numbers.items()}
    return head + PIXELS.tobytes() + directory(storage | fields, start + 20, order, big, nested)


def text(value):
    return 2, value.encode() + b"\0"


def described(order):
    """Fields of every type, known tags and private ones."""
    pack = lambda form, *values: struct.pack(order + form, *values)  # noqa: E731
    return {
        269: text("Box 12"),
        270: text("A street in Łódź, around 1900.\0\0Second string"),
        271: text("Hasselblad"),
        285: text("verso"),
        286: (5, pack("II", 1, 3)),
        297: (3, pack("HH", 2, 7)),
        305: text("Scanner 4.2"),
        306: text("1999:12:31 23:59:59"),
        315: text("A. Photographer"),
        33432: text("(c) the archive"),
        33550: (12, pack("ddd", 0.1, 0.2, 0.0)),
        42113: text("-9999"),
        50341: (7, b"PrintIM\0" + bytes(range(50))),
        65001: (8, pack("hhh", -1, 2, -3)),
        65002: (10, pack("ii", -1, 3)),
        65003: (11, pack("f", 0.5)),
        65004: (9, pack("i", -70_000)),
        65005: (6, b"\xff\xfe"),
        65006: (4, pack("IIIII", *range(5))),
    }


EXIF = {36867: text("1999:12:31 23:59:58"), 37500: (7, MAKER_NOTE), 37510: (7, b"ASCII\0\0\0scan"), 36864: (7, b"0232")}
GPS = {1: text("N"), 2: (5, bytes(24)), 0: (1, b"\2\3\0\0")}
INTEROPERABILITY = {1: text("R98"), 2: (7, b"0100")}
NESTED = {34665: (EXIF, {40965: (INTEROPERABILITY, {})}), 34853: (GPS, {})}


def only(data):
    (page,) = pages(io.BytesIO(data), LIMITS)
    return page


def coloured(page, big=False):
    file = io.BytesIO()
    write_pages(file, [(page, strips(page.luma, np.zeros((2, 1, 1), np.float32)))], big)
    return file.getvalue()


def raw_tags(data):
    """{tag: (type, bytes)} of the first directory and, by (pointer, tag), of those below, in the file's byte order."""
    order, big = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
    first = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    found = tags_at(data, first, order, big)
    for pointers in ((34665, 34853), ((34665, 40965),)):
        for pointer in set(pointers) & found.keys():
            place = int.from_bytes(found[pointer][1], "little" if order == "<" else "big")
            code = pointer[1] if isinstance(pointer, tuple) else pointer
            found |= {(code, tag): value for tag, value in tags_at(data, place, order, big).items()}
    return found


def tags_at(data, place, order, big):
    """As TIFF wants it: tags in ascending order, and values that do not fit in at even places."""
    found = {}
    for number in range(struct.unpack_from(order + ("Q" if big else "H"), data, place)[0]):
        at = place + (8 + 20 * number if big else 2 + 12 * number)
        tag, kind, length = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        size, value = SIZES[kind] * length, at + (12 if big else 8)
        if size > (8 if big else 4):
            value = struct.unpack_from(order + ("Q" if big else "I"), data, value)[0]
            assert value % 2 == 0
        assert tag > max(found, default=-1)
        found[tag] = kind, data[value : value + size]
    return found


def stating(unit, across, down, order="<"):
    """Fields of a resolution, from pairs of numbers."""
    numbers = {282: (5, struct.pack(order + "II", *across)), 283: (5, struct.pack(order + "II", *down))}
    return numbers | {296: (3, struct.pack(order + "H", unit))}


def stated(data):
    """Dots an inch, (across, down), as the first directory of a file has them, or None."""
    found, order = raw_tags(data), "<" if data[:2] == b"II" else ">"
    if not {282, 283, 296} & found.keys():
        return None
    assert [found[tag][0] for tag in (282, 283, 296)] == [5, 5, 3]
    factor = {2: Fraction(1), 3: Fraction("2.54")}[struct.unpack(order + "H", found[296][1])[0]]
    return tuple(Fraction(*struct.unpack(order + "II", found[tag][1])) * factor for tag in (282, 283))


@pytest.mark.parametrize("to_big", [False, True])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_every_field_comes_back_with_its_type_and_its_bytes(order, big, to_big):
    fields = described(order)
    result = coloured(only(file_of(fields, order, big, NESTED)), to_big)
    found = raw_tags(result)
    assert {tag: found[tag] for tag in fields} == fields
    for code, wanted in ((34665, EXIF), (34853, GPS), (40965, INTEROPERABILITY)):
        assert {tag: found[code, tag] for tag in wanted} == wanted
    own = {256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 34665, 34853}
    assert {tag for tag in found if isinstance(tag, int)} == own | fields.keys()


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_metadata_of_a_result_is_that_of_its_source(order, big):
    fields = described(order) | {
        700: (1, b"<x:xmpmeta/>"),
        33723: (7, b"\x1c\x02\x00\x00\x02\x00\x04"),
        34377: (1, b"8BIM\x04\x04\0\0\0\0\0\0"),
        34675: (7, rgb_profile()),
        282: (5, struct.pack(order + "II", 6000, 10)),
        283: (5, struct.pack(order + "II", 3, 7)),
        274: (3, struct.pack(order + "H", 6)),
        254: (4, struct.pack(order + "I", 3)),
    }
    page = only(file_of(fields, order, big, NESTED))
    assert page.metadata.xmp == b"<x:xmpmeta/>"
    assert page.metadata.iptc == b"\x1c\x02\x00\x00\x02\x00\x04"
    assert page.metadata.photoshop == b"8BIM\x04\x04\0\0\0\0\0\0"
    assert page.metadata.icc == rgb_profile()
    assert page.metadata.dpi == (600, Fraction(3, 7))
    assert page.orientation == 6
    again = only(coloured(page, big))
    assert again.metadata == page.metadata
    assert (again.orientation, again.compression) == (page.orientation, page.compression)
    np.testing.assert_array_equal(again.luma, page.luma)


def test_pillow_and_tifffile_find_the_camera_and_the_place():
    result = coloured(only(file_of(described("<"), nested=NESTED)))
    image = Image.open(io.BytesIO(result))
    assert image.tag_v2[315] == "A. Photographer"
    assert image.getexif().get_ifd(34665)[37500] == MAKER_NOTE
    assert image.getexif().get_ifd(34853)[1] == "N"
    with tifffile.TiffFile(io.BytesIO(result)) as file:
        tags = file.pages[0].tags
        assert tags[34665].value["DateTimeOriginal"] == "1999:12:31 23:59:58"
        assert tags[34853].value["GPSLatitudeRef"] == "N"
        assert tags[33550].value == (0.1, 0.2, 0.0)


def test_the_exif_block_is_one_that_others_read_and_says_nothing_of_storage():
    fields = described("<") | {
        274: (3, b"\6\0"),
        282: (5, struct.pack("<II", 300, 1)),
        700: (1, b"<x/>"),
        34675: (7, rgb_profile()),
    }
    exif = Image.Exif()
    exif.load(only(file_of(fields, nested=NESTED)).metadata.exif)
    assert exif[315] == "A. Photographer"
    assert exif.get_ifd(34665)[37500] == MAKER_NOTE
    assert set(exif) == described("<").keys() | {34665, 34853}


def test_a_page_that_says_nothing_has_no_metadata_and_its_result_no_tags_of_ours():
    page = only(file_of({}))
    assert page.metadata == Metadata()
    assert set(raw_tags(coloured(page))) == {256, 257, 258, 259, 262, 273, 277, 278, 279, 284}


def test_a_maker_note_keeps_the_byte_order_around_it():
    """Many of them hold numbers in the order of the file that they were written into."""
    for order, start in (("<", b"II"), (">", b"MM")):
        page = only(file_of({}, order, nested=NESTED))
        assert page.metadata.exif[:2] == start
        assert coloured(page)[:2] == start


def test_pages_of_two_byte_orders_share_that_of_the_first():
    found = [only(file_of(described(order), order, nested=NESTED)) for order in "<>"]
    file = io.BytesIO()
    write_pages(file, [(page, strips(page.luma, np.zeros((2, 1, 1), np.float32))) for page in found])
    first, second = pages(file, LIMITS)
    assert first.metadata == second.metadata == found[0].metadata


@pytest.mark.parametrize(
    ("unit", "x", "y", "dpi"),
    [
        (2, (300, 1), (300, 1), (300, 300)),
        (3, (11811, 100), (11811, 100), (Fraction("299.9994"), Fraction("299.9994"))),
        (1, (300, 1), (300, 1), None),
        (2, (300, 0), (300, 1), None),
        (2, (0, 1), (0, 1), None),
        (2, (2**32 - 1, 2**32 - 2), (2**32 - 1, 1), (Fraction(2**32 - 1, 2**32 - 2), 2**32 - 1)),
    ],
)
def test_resolution_is_in_dots_an_inch_where_there_is_a_unit(unit, x, y, dpi):
    page = only(file_of(stating(unit, x, y)))
    assert page.metadata.dpi == dpi
    assert stated(coloured(page)) == dpi


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@given(across=RATIONALS, down=RATIONALS, unit=st.sampled_from([2, 3]))
@example(across=(MOST, 13), down=(MOST, 13), unit=2)  # 330,382,099.6: a limit rounded down leaves 12 to divide by
@example(across=(MOST, 13), down=(MOST, 13), unit=3)  # more than 32 bits hold, once it is in inches
@example(across=(MOST, 1), down=(MOST, MOST - 1), unit=3)
@example(across=(1, MOST), down=(1, MOST), unit=3)
@example(across=(1, MOST), down=(MOST, 1), unit=2)
@example(across=(MOST, MOST - 1), down=(MOST - 1, MOST - 2), unit=2)  # one and the same as floats
@example(across=(11811, 100), down=(1, 3), unit=3)
def test_a_resolution_comes_back_as_the_same_number(order, big, across, down, unit):
    page = only(file_of(stating(unit, across, down, order), order, big))
    factor = Fraction(1) if unit == 2 else Fraction("2.54")
    assert stated(coloured(page, big)) == (Fraction(*across) * factor, Fraction(*down) * factor)


def test_iptc_records_are_found_whatever_their_type_says():
    records = b"\x1c\x02\x78\x00\x03abc"
    assert only(file_of({33723: (4, records)})).metadata.iptc == records
    swapped = np.frombuffer(records, "<u4").byteswap().tobytes()
    assert only(file_of({33723: (4, swapped)})).metadata.iptc == records
    assert only(file_of({33723: (7, records)}, ">")).metadata.iptc == records


def test_a_gray_profile_becomes_one_for_colour_and_what_cannot_is_refused():
    page = only(file_of({34675: (7, gray_profile())}))
    assert page.metadata.icc[16:20] == b"RGB "
    assert only(coloured(page)).metadata.icc == page.metadata.icc
    with pytest.raises(ImageFault) as told:
        list(pages(io.BytesIO(file_of({34675: (7, b"no profile")})), LIMITS))
    assert told.value.reason == "profile"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ()),
        ({301: (3, bytes(512))}, ("tone-curve-dropped",)),
        ({37724: (7, b"Adobe Photoshop Document Data Block\0")}, ("photoshop-layers-dropped",)),
        ({52545: (7, b"jumb")}, ("c2pa-invalid",)),
        ({65000: (13, bytes(4))}, ("unknown-tags-dropped",)),
        (
            {282: (5, struct.pack("<II", 1, 1)), 283: (5, struct.pack("<II", 2, 1)), 296: (3, b"\1\0")},
            ("pixel-aspect-dropped",),
        ),
        ({282: (5, struct.pack("<II", 1, 1)), 283: (5, struct.pack("<II", 1, 1)), 296: (3, b"\1\0")}, ()),
    ],
)
def test_what_is_left_out_is_said(fields, words):
    data = file_of(fields)
    assert notes(io.BytesIO(data), LIMITS) == words
    if words:
        assert not (raw_tags(coloured(only(data))).keys() & (fields.keys() - {282, 283, 296}))


def test_a_field_of_a_type_that_nobody_knows_is_left_out_and_said():
    data = file_of({65000: (3, b"\1\0")})
    place = data.index(struct.pack("<HH", 65000, 3))
    data = data[: place + 2] + struct.pack("<H", 99) + data[place + 4 :]
    assert notes(io.BytesIO(data), LIMITS) == ("unknown-tags-dropped",)
    assert only(data).metadata.exif == b""


def test_a_pointer_to_what_nobody_knows_is_left_out_below_a_page_too():
    data = file_of({}, nested={34665: (EXIF | {59000: (13, bytes(4))}, {})})
    assert notes(io.BytesIO(data), LIMITS) == ("unknown-tags-dropped",)
    assert {tag for tag in raw_tags(coloured(only(data))) if isinstance(tag, tuple)} == {(34665, tag) for tag in EXIF}


def test_metadata_below_a_page_is_measured_too():
    data = bytearray(file_of({}, nested={34665: ({tag: (7, bytes(5)) for tag in range(59000, 59100)}, {})}))
    for tag in range(59000, 59100):
        place = data.index(struct.pack("<HHI", tag, 7, 5))
        data[place + 4 : place + 12] = struct.pack("<II", 2**20, 8)
    with pytest.raises(ImageFault) as told:
        pages(io.BytesIO(bytes(data) + bytes(2**20)), LIMITS)
    assert told.value.reason == "too-much-metadata"


def test_a_directory_for_the_camera_that_lies_outside_the_file_is_damage():
    with pytest.raises(ImageFault) as told:
        pages(io.BytesIO(file_of({34665: (4, struct.pack("<I", 10**6))})), LIMITS)
    assert told.value.reason == "damaged"


@pytest.mark.parametrize(
    "block", [b"II*\0\xff\0\0\0", b"nonsense", b"II*\0\x08\0\0\0\x01\0\x0e\x01\2\0\xff\0\0\0\xff\0\0\0"]
)
def test_an_exif_block_that_cannot_be_read_is_a_fault_of_the_file(block):
    with pytest.raises(ImageFault, match="EXIF") as told:
        coloured(Raster(PIXELS, metadata=Metadata(exif=block)))
    assert told.value.reason == "damaged"


def test_an_exif_block_from_elsewhere_says_nothing_of_how_pixels_are_stored():
    exif = Image.Exif()
    exif[256], exif[259], exif[274], exif[282], exif[315] = 4000, 7, 8, 72.0, "A. Photographer"
    result = coloured(Raster(PIXELS, metadata=Metadata(exif=exif.tobytes().removeprefix(b"Exif\0\0"))))
    with tifffile.TiffFile(io.BytesIO(result)) as file:
        tags = file.pages[0].tags
        assert (tags[256].value, tags[259].value, tags[315].value) == (5, 8, "A. Photographer")
        assert not {274, 282} & {tag.code for tag in tags}
