"""TIFFs that are damaged, hostile, or of a kind that is not supported: an ImageFault each, and soon."""

import io
import struct
import tracemalloc

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.tiff import needs_big, notes, pages
from tests.examples import examples
from tests.unit.photo.generate.tiff import KINDS, by_hand, noise, plain_entries, plain_tiff, tiff

LIMITS = Limits()


def fault(data, limits=LIMITS, pattern=None):
    """The reason for which a file is refused, by `pages` itself or by the first page that is decoded."""
    with pytest.raises(ImageFault, match=pattern) as told:
        list(pages(io.BytesIO(data), limits))
    return told.value.reason


def fault_before_decoding(data, limits=LIMITS):
    with pytest.raises(ImageFault) as told:
        pages(io.BytesIO(data), limits)
    return told.value.reason


def luma_or_fault(data):
    try:
        return [page.luma for page in pages(io.BytesIO(data), LIMITS)]
    except ImageFault as fault:
        assert str(fault)
        assert fault.reason
        return None


COMPRESSIONS = ["none", "lzw", "deflate", "packbits", "jpeg"]


def compressed(compression, **options):
    return tiff(noise(30, 20), compression=None if compression == "none" else compression, rowsperstrip=8, **options)


def fax(compression, rows=16):
    file = io.BytesIO()
    bilevel = Image.fromarray(noise(40, 50) < 25)
    bilevel.save(file, "TIFF", compression=compression, tiffinfo={278: rows})
    return np.asarray(bilevel), file.getvalue()


@pytest.mark.parametrize(
    "kind", ["gray 16", "rgb, planar, tiled", "lzw, predicted", "deflate", "packbits", "jpeg", "pages"]
)
def test_a_file_cut_off_anywhere_is_damaged_or_whole(kind):
    data = KINDS[kind]()
    whole = luma_or_fault(data)
    for end in range(len(data)):
        found = luma_or_fault(data[:end])
        assert found is None or all(map(np.array_equal, found, whole, strict=True))
    assert fault(data[: len(data) // 2]) == "damaged"


def with_value(data, tag, value, page=0):
    """The file with another first value of a tag."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = file.pages[page].tags[tag]
        size, order = {3: "H", 4: "I", 16: "Q"}[int(found.dtype)], file.byteorder
    changed = bytearray(data)
    struct.pack_into(order + size, changed, found.valueoffset, value)
    return bytes(changed)


@pytest.mark.parametrize("tag", [279])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_strip_that_is_shorter_than_its_rows_is_damaged_and_not_filled_up(compression, tag):
    data = compressed(compression)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        size = file.pages[0].databytecounts[0]
    for shorter in (1, size // 2, size - 6):
        assert fault(with_value(data, tag, shorter)) == "damaged"


@pytest.mark.parametrize("compression", ["lzw", "deflate", "packbits", "none"])
def test_a_tile_that_is_shorter_than_its_rows_is_damaged(compression):
    data = tiff(noise(32, 32), compression=None if compression == "none" else compression, tile=(16, 16))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        size = file.pages[0].databytecounts[0]
    assert fault(with_value(data, 325, size // 2)) == "damaged"


@pytest.mark.parametrize("tag", [273, 279])
@pytest.mark.parametrize("value", [0, 2**31, 2**32 - 1])
def test_a_strip_that_is_not_there_is_damage_that_is_seen_before_decoding(tag, value):
    data = tiff(noise(300, 300), rowsperstrip=100, compression="lzw")
    assert fault_before_decoding(with_value(data, tag, value)) == "damaged"


def test_a_deflated_strip_with_a_wrong_checksum_is_damaged():
    data = bytearray(tiff(noise(30, 20), compression="deflate"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        page = file.pages[0]
        data[page.dataoffsets[0] + page.databytecounts[0] - 1] ^= 1
    assert fault(bytes(data), pattern="checksum|data check") == "damaged"


def test_a_deflated_strip_may_hold_more_rows_than_the_picture():
    data = tiff(noise(30, 20), compression="deflate")
    np.testing.assert_array_equal(luma_or_fault(with_value(data, 257, 25))[0], noise(30, 20)[:25])


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
@pytest.mark.parametrize("rows", [16, 40])
def test_fax_is_read(compression, rows):
    bilevel, data = fax(compression, rows)
    np.testing.assert_array_equal(luma_or_fault(data)[0], bilevel * np.uint8(255))


@pytest.mark.parametrize("options", [1, 4, 5])
def test_fax_of_group_3_in_two_dimensions_or_with_fill_bits_is_read(options):
    bilevel, file = Image.fromarray(noise(40, 50) < 25), io.BytesIO()
    bilevel.save(file, "TIFF", compression="group3", tiffinfo={278: 40, 292: options})
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as written:
        assert written.pages[0].tags[292].value == options
    np.testing.assert_array_equal(luma_or_fault(file.getvalue())[0], np.asarray(bilevel) * np.uint8(255))


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_fax_data_with_any_bit_flipped_is_the_same_picture_or_damaged(compression):
    """The decoder fills up with white whatever it cannot read: that never passes for a picture."""
    bilevel, data = fax(compression, 40)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
        columns = file.pages[0].imagewidth
    refused = 0
    for bit in range(0, 8 * size, 3):
        changed = bytearray(data)
        changed[start + bit // 8] ^= 0x80 >> bit % 8
        found = luma_or_fault(bytes(changed))
        refused += found is None
        if found is not None and not np.array_equal(found[0], bilevel * np.uint8(255)):
            assert found[0].shape == (40, columns)  # another picture, but one that these bits mean
            again = io.BytesIO()
            Image.fromarray(found[0] > 0).save(again, "TIFF", compression=compression, tiffinfo={278: 40})
            strip = bytes(changed[start : start + size])
            assert strip.rstrip(b"\0")[:-4] in again.getvalue()
    assert refused > size


def test_a_fax_strip_cut_short_is_damaged():
    _, data = fax("group4", 40)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        size = file.pages[0].databytecounts[0]
    for end in range(1, size - 4):
        assert fault(with_value(data, 279, end)) == "damaged"


@pytest.mark.parametrize("compression", [5, 8, 32773, 7, 4, 1])
def test_a_claim_of_3600_million_pixels_costs_nothing(compression):
    data = by_hand(plain_entries(60_000, 60_000, compression=compression, size=50), bytes(50))
    tracemalloc.start()
    assert fault_before_decoding(data) == "too-many-pixels"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize(
    "changed",
    [
        {"width": 0},
        {"height": 0},
        {"compression": 4},
        {"rows": 0},
        {"offset": 10**6},
        {"size": 10**6},
        {"photometric": 99},
    ],
)
def test_headers_that_make_no_sense(changed):
    assert fault_before_decoding(plain_tiff(**changed)) in ("damaged", "unsupported")


def test_one_strip_that_is_stored_as_it_stands_needs_no_size():
    samples = noise(4, 5)
    for compression, is_read in ((1, True), (5, False)):
        entries = [entry for entry in plain_entries(compression=compression) if entry[0] != 279]
        assert (luma_or_fault(by_hand(entries, samples.tobytes())) is not None) == is_read
        assert luma_or_fault(by_hand(entries, samples.tobytes()[:-1])) is None


@pytest.mark.parametrize("count", [2**31, 2**32 - 1, 10**6])
@pytest.mark.parametrize("tag", [273, 279, 258, 320, 347, 34675])
def test_more_values_than_the_file_has_room_for_are_damage(tag, count):
    entries = [entry for entry in plain_entries() if entry[0] != tag]
    assert fault_before_decoding(by_hand([*entries, (tag, 4, count, 8)], bytes(1000))) == "damaged"


def test_strips_are_counted_before_they_are_listed():
    body = bytes(4 * 200_001)
    entries = [entry for entry in plain_entries(rows=1) if entry[0] not in (273, 279)]
    data = by_hand([*entries, (273, 4, 200_001, -1), (279, 4, 200_001, -1)], body)
    tracemalloc.start()
    source = io.BytesIO(data)
    with pytest.raises(ImageFault) as told:
        pages(source, LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told.value.reason == "too-many-segments"
    assert peak < 1_200_000


def test_a_picture_of_too_many_strips_is_refused():
    entries = plain_entries(1, 200_000, rows=1, size=1)
    assert fault_before_decoding(by_hand(entries, bytes(9))) == "too-many-segments"


@pytest.mark.parametrize(("width", "height"), [(16_000, 16), (16, 16_000), (16_000, 16_000)])
def test_a_tile_far_larger_than_its_picture_is_refused(width, height):
    entries = [entry for entry in plain_entries(compression=5) if entry[0] not in (273, 278, 279)]
    tiles = [(322, 4, 1, width), (323, 4, 1, height), (324, 4, 1, -1), (325, 4, 1, 9)]
    assert fault_before_decoding(by_hand([*entries, *tiles], bytes(99))) == "damaged"


def chain(count, back_to=None):
    """Pages of one pixel, one after another; the last one leads back to one before, or nowhere."""
    size = len(by_hand(plain_entries(1, 1)))
    data = b"II*\0" + struct.pack("<I", 8)
    for number in range(count):
        following = 8 + (number + 1) * (size - 8) if number + 1 < count else back_to or 0
        page = by_hand(plain_entries(1, 1, offset=4, size=1), b"", following=following)
        data += page[8:].ljust(size - 8, b"\0")
    return data


def test_a_chain_of_pages_that_runs_in_a_circle_is_damaged():
    assert len(list(pages(io.BytesIO(chain(3)), LIMITS))) == 3
    assert fault_before_decoding(chain(3, back_to=8)) == "damaged"
    assert fault_before_decoding(by_hand(plain_entries(), bytes(20), following=8)) == "damaged"


def test_pages_are_counted_before_they_are_decoded():
    assert fault_before_decoding(chain(6), LIMITS._replace(pages=5)) == "too-many-pages"
    assert len(list(pages(io.BytesIO(chain(5)), LIMITS._replace(pages=5)))) == 5


def test_tags_of_all_pages_are_counted_together():
    assert fault_before_decoding(chain(6), LIMITS._replace(segments=40)) == "too-many-segments"


def test_a_page_that_lies_beyond_the_end_is_damage_and_not_an_end():
    assert fault_before_decoding(by_hand(plain_entries(), bytes(20), following=10**6)) == "damaged"


def test_metadata_that_claims_the_same_bytes_many_times_is_refused():
    data = by_hand([*plain_entries(), *((tag, 7, 2**20, -1) for tag in range(40_000, 40_100))], bytes(2**20))
    assert fault_before_decoding(data) == "too-much-metadata"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"photometric": 5, "samples": 4}, "CMYK"),
        ({"photometric": 8, "samples": 3}, "L.a.b"),
        ({"photometric": 4, "bits": 1}, "mask"),
        ({"photometric": 32803}, "camera"),
        ({"compression": 6}, "JPEG"),
        ({"compression": 34712}, "JPEG 2000"),
        ({"compression": 4711}, "4711"),
        ({"bits": 32}, "32 bits"),
        ({"bits": 17}, "17 bits"),
        ({"samples": 3}, "3 samples"),
        ({"samples": 9}, "9 samples"),
        ({"photometric": 6, "samples": 3}, "YCbCr"),
    ],
)
def test_what_is_not_supported_is_said_by_name(changed, named):
    assert fault(plain_tiff(**changed), pattern=named) == "unsupported"


@pytest.mark.parametrize(
    ("tag", "value", "named"),
    [
        (339, 2, "signed"),
        (339, 3, "floating-point"),
        (339, 6, "complex"),
        (266, 3, "FillOrder"),
        (50706, 1, "DNG"),
        (32997, 7, "volume"),
        (254, 4, "mask"),
    ],
)
def test_fields_that_make_a_page_unsupported(tag, value, named):
    assert fault(by_hand([*plain_entries(), (tag, 4, 1, value)], bytes(20)), pattern=named) == "unsupported"


@pytest.mark.parametrize(
    "array", [np.zeros((4, 5), np.float32), np.zeros((4, 5), np.uint32), np.zeros((4, 5), np.int16)]
)
def test_other_numbers_than_unsigned_ones_of_16_bits_are_unsupported(array):
    assert fault_before_decoding(tiff(array)) == "unsupported"


def test_a_floating_point_predictor_is_unsupported():
    entries = [*plain_entries(compression=5), (317, 3, 1, 3)]
    assert fault(by_hand(entries, bytes(20)), pattern="Predictor") == "unsupported"


def test_of_two_fields_with_one_tag_the_first_counts():
    samples = noise(4, 5)
    data = by_hand([*plain_entries(), (256, 4, 1, 4), (257, 4, 1, 5)], samples.tobytes())
    np.testing.assert_array_equal(luma_or_fault(data)[0], samples)


def test_a_predictor_without_lzw_or_deflate_means_nothing_as_for_libtiff():
    samples = noise(4, 5)
    found = luma_or_fault(by_hand([*plain_entries(), (317, 3, 1, 2)], samples.tobytes()))
    np.testing.assert_array_equal(found[0], samples)


def test_pages_beside_the_chain_are_not_lost_in_silence():
    """Smaller copies are left out, and a note says so; any other picture makes the file unsupported."""
    for subfiletype, is_read in ((1, True), (0, False)):
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            writer.write(noise(30, 20), metadata=None, subifds=1)
            writer.write(noise(15, 10), metadata=None, subfiletype=subfiletype)
        assert (luma_or_fault(file.getvalue()) is not None) == is_read
        if is_read:
            assert notes(file, LIMITS) == ("reduced-images-dropped",)
            assert notes(io.BytesIO(tiff(noise(3, 3))), LIMITS) == ()
        else:
            assert fault(file.getvalue(), pattern="SubIFDs") == "unsupported"


def test_pages_that_only_imagej_knows_of_are_not_lost_in_silence():
    for images, is_read in ((1, True), (7, False)):
        data = tiff(noise(9, 9), description=f"ImageJ=1.53t\nimages={images}\nslices={images}\n")
        assert (luma_or_fault(data) is not None) == is_read


def jpeg_in_tiff(jpeg, height, width, samples=1, photometric=1):
    changed = {"compression": 7, "samples": samples, "photometric": photometric, "size": len(jpeg)}
    return by_hand(plain_entries(width, height, **changed), jpeg)


def test_a_jpeg_that_claims_another_size_than_its_tiff_is_not_decoded():
    jpeg = imagecodecs.jpeg8_encode(noise(16, 24))
    assert luma_or_fault(jpeg_in_tiff(jpeg, 16, 24))[0].shape == (16, 24)
    place = jpeg.index(b"\xff\xc0") + 5
    bomb = jpeg[:place] + struct.pack(">HH", 65_000, 65_000) + jpeg[place + 4 :]
    for data in (jpeg_in_tiff(bomb, 16, 24), jpeg_in_tiff(jpeg, 17, 24), jpeg_in_tiff(jpeg, 16, 23)):
        assert fault(data, pattern="not what the TIFF says") == "damaged"


def test_a_jpeg_without_its_end_is_damaged():
    jpeg = imagecodecs.jpeg8_encode(noise(64, 64))
    assert fault(jpeg_in_tiff(jpeg[:-2], 64, 64), pattern="end") == "damaged"
    assert fault(jpeg_in_tiff(jpeg[: len(jpeg) // 2], 64, 64), pattern="end") == "damaged"


def test_a_progressive_jpeg_in_a_tiff_is_unsupported():
    file = io.BytesIO()
    Image.fromarray(noise(16, 24)).save(file, "JPEG", progressive=True)
    assert fault(jpeg_in_tiff(file.getvalue(), 16, 24), pattern="C2") == "unsupported"


@pytest.mark.parametrize(
    "data", [b"", b"II", b"II*\0", b"II*\0\0\0\0\0", b"\x89PNG\r\n\x1a\n" + bytes(20), b"MM\0+" + bytes(9)]
)
def test_what_is_hardly_a_tiff(data):
    assert fault_before_decoding(data) in ("not-a-photograph", "damaged")


MUTABLE = [
    KINDS[kind]() for kind in ("gray, stripped", "rgb, planar, tiled", "pages", "BigTIFF", "palette of 8 bits", "jpeg")
]


@examples(300)
@given(
    data=st.sampled_from(MUTABLE),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4
    ),
)
def test_a_file_with_bytes_overwritten_is_read_or_refused_and_nothing_else(data, changes):
    changed = bytearray(data)
    for place, value in changes:
        start = int(place * len(changed))
        changed[start : start + len(value)] = value
    luma_or_fault(bytes(changed))
    for ask in (notes, needs_big):
        try:
            ask(io.BytesIO(bytes(changed)), LIMITS)
        except ImageFault as told:
            assert told.reason


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device")])
def test_what_is_the_machines_fault_is_not_the_files(error, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("photochrom.worker.photo.tiff.segments.imagecodecs.lzw_decode", fail)
    with pytest.raises(type(error)):
        list(pages(io.BytesIO(tiff(noise(9, 9), compression="lzw")), LIMITS))


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 273, 277, 278, 279])
def test_a_field_of_the_structure_that_cannot_be_read_is_not_taken_for_one_that_is_not_there(tag):
    entries = [(one, 99 if one == tag else kind, count, value) for one, kind, count, value in plain_entries()]
    assert fault_before_decoding(by_hand(entries, bytes(20))) == "damaged"


@pytest.mark.parametrize("tag", [256, 259, 277, 278])
def test_a_field_that_has_one_value_has_not_two(tag):
    changed = {tag: (2, -1)}
    entries = [(one, kind, *changed.get(one, (count, value))) for one, kind, count, value in plain_entries()]
    assert fault_before_decoding(by_hand(entries, bytes(20))) == "damaged"


@pytest.mark.parametrize("kind", [3, 8792, 32768])
def test_a_sample_of_an_unknown_kind_beside_the_gray_is_not_alpha(kind):
    entries = [*plain_entries(samples=2, size=40), (338, 3, 1, kind)]
    assert fault_before_decoding(by_hand(entries, bytes(40))) == "unsupported"
