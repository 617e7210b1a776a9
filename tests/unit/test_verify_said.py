"""What goes with a picture is all there, and what the file says of itself is true, or `verify` says what is not."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from tests.unit.photo.generate import jpeg, png, splice, tiff
from tests.unit.photo.generate.jpeg import Kind, gray_jpeg
from tests.unit.photo.generate.metadata import exif, text
from tests.unit.photo.generate.profile import gray_profile, rgb_profile
from tests.unit.photo.generate.splice import spliced, statement
from tests.unit.photo.generate.verified import GRAY, SOURCE, coloured, coloured_png, coloured_tiff, found, wrong


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


# ---- metadata


@pytest.mark.parametrize("field", ["exif", "comments", "photoshop", "icc"])
def test_lost_metadata_are_found_field_by_field(field):
    kind = jpeg.with_everything()
    lost = dataclasses.replace(kind, **{field: () if field == "comments" else b""})
    result = spliced(gray_jpeg(lost), packet=statement(SOURCE, more=splice.XMP_REWRITTEN), keep=False)
    named = {"exif": "EXIF tags", "comments": "comments", "photoshop": "IPTC records"}
    expected = {"profile"} if field == "icc" else {f"metadata: {named[field]}"}
    assert wrong(result, SOURCE) == expected | ({"metadata: image resources"} if field == "photoshop" else set())


def test_an_altered_tag_is_named():
    source = gray_jpeg(Kind(exif=exif([text(270, "The harbour"), text(315, "Unknown")])))
    altered = gray_jpeg(Kind(exif=exif([text(270, "The harbour"), text(315, "Nobody")])))
    finding = found(spliced(altered, packet=statement(source), keep=False), source)["metadata: EXIF tags"]
    assert not finding.ok
    assert finding.detail == "1 of 2 EXIF tags are missing or altered: 315 b'Unknown'"


def test_of_two_alike_both_have_to_be_there():
    source = gray_jpeg(Kind(comments=(b"One", b"One")))
    assert wrong(spliced(gray_jpeg(Kind(comments=(b"One",))), packet=statement(source), keep=False), source) == {
        "metadata: comments"
    }


def test_a_lost_property_of_the_xmp_is_found():
    packet = statement(SOURCE, more=splice.XMP_REWRITTEN.replace("<rdf:li>masts</rdf:li>", ""))
    finding = found(spliced(SOURCE, packet=packet), SOURCE)["metadata: XMP properties"]
    assert not finding.ok
    assert "subject" in finding.detail


def test_another_resolution_is_found():
    original = gray_jpeg(Kind(dpi=(300, 300)))
    other = spliced(gray_jpeg(Kind(dpi=(72, 72))), packet=statement(original), keep=False)
    assert wrong(other, original) == {"metadata: resolution"}


def phys(dots):
    return png.chunk(b"pHYs", struct.pack(">IIB", dots, dots, 1))


def finding_of_resolution(result, original):
    return found(result, original)["metadata: resolution"]


@pytest.mark.parametrize(("dots", "ok"), [(11811, True), (11810, False), (11812, False), (None, False)])
def test_resolution_may_be_rounded_to_whole_dots_a_meter_in_a_png(dots, ok):
    original = tiff.tiff(GRAY, resolution=(300, 300), resolutionunit=2)
    result = coloured_png(original, coloured(GRAY), phys(dots) if dots else b"")
    assert finding_of_resolution(result, original).ok is ok


@pytest.mark.parametrize(("dots", "ok"), [(300, True), (301, False), (299, False)])
def test_resolution_may_be_rounded_to_whole_dots_an_inch_in_a_jpeg(dots, ok):
    original = png.png(GRAY, 8, png.GRAY, phys(11811))
    assert finding_of_resolution(spliced(gray_jpeg(Kind(dpi=(dots, dots))), keep=False), original).ok is ok


@pytest.mark.parametrize(
    ("stated", "unit", "ok"),
    [
        ((1499997, 5000), 2, True),
        ((11811, 100), 3, True),
        ((300, 1), 2, False),
        ((29999, 100), 2, False),
        ((2**32 - 1, 14_316_586), 2, False),  # 299.99940593
        ((11811, 100), 2, False),
    ],
)
def test_resolution_is_not_rounded_in_a_tiff(stated, unit, ok):
    original = png.png(GRAY, 8, png.GRAY, phys(11811))
    result = coloured_tiff(original, coloured(GRAY), resolution=(stated, stated), resolutionunit=unit)
    assert finding_of_resolution(result, original).ok is ok


@pytest.mark.parametrize(("exif", "across", "ok"), [((200, 1), 200, True), ((200, 1), 1, False), (None, 1, True)])
def test_one_dot_an_inch_counts_only_where_nothing_else_is_said(exif, across, ok):
    block = Image.Exif()
    if exif:
        block[282], block[283], block[296] = IFDRational(*exif), IFDRational(*exif), 2
    file = io.BytesIO()
    Image.fromarray(GRAY).save(file, "JPEG", dpi=(1, 1), exif=block)
    result = coloured_tiff(file.getvalue(), coloured(GRAY), resolution=(across, across), resolutionunit=2)
    assert finding_of_resolution(result, file.getvalue()).ok is ok


def test_the_resolution_of_a_webp_is_its_exif_s():
    block = Image.Exif()
    block[282], block[283], block[296] = IFDRational(601, 2), IFDRational(601, 2), 2
    file = io.BytesIO()
    Image.fromarray(GRAY).save(file, "WEBP", lossless=True, exif=block)
    for across, ok in ((300.5, True), (300, False)):
        result = coloured_tiff(file.getvalue(), coloured(GRAY), resolution=(across, across), resolutionunit=2)
        assert finding_of_resolution(result, file.getvalue()).ok is ok


# ---- profile


def tiff_with_profile(icc: bytes) -> bytes:
    return tiff.tiff(GRAY, iccprofile=icc) if icc else tiff.tiff(GRAY)


@pytest.mark.parametrize(
    ("old", "new", "ok"),
    [
        (gray_profile(), rgb_profile(), True),
        (gray_profile(1.8), rgb_profile(1.8), True),
        (gray_profile(1.8), rgb_profile(1.9), False),
        (gray_profile(), gray_profile(), False),
        (gray_profile(), b"", False),
        (gray_profile(), rgb_profile()[:300], False),
        (rgb_profile(), rgb_profile(), True),
        (b"", b"", None),
        (b"", rgb_profile(1.4), False),
        (b"\0" * 16 + b"CMYK" + b"\0" * 200, b"", None),
    ],
)
def test_neutrals_look_under_the_new_profile_as_under_the_old(old, new, ok):
    original = tiff_with_profile(old)
    result = coloured_tiff(original, coloured(GRAY), iccprofile=new or None)
    assert found(result, original)["profile"].ok is ok


# ---- provenance


@pytest.mark.parametrize(
    "changed",
    [
        {"SourceSHA256": hashlib.sha256(b"another").hexdigest()},
        {"SourceSHA256": ""},
        {"ModelSHA256": "5"},
        {"Model": ""},
        {"Colour": ""},
        {"Version": ""},
        {"How": "somehow"},
    ],
)
def test_a_false_statement_is_found(changed):
    packet = statement(SOURCE, more=splice.XMP_REWRITTEN, **changed)
    assert wrong(spliced(SOURCE, packet=packet), SOURCE) == {"provenance"}


def test_a_missing_statement_is_found():
    packet = replaced(statement(SOURCE, more=splice.XMP_REWRITTEN), b"compositeWithTrained", b"/../")
    assert wrong(spliced(SOURCE, packet=packet.replace(b"cv.iptc.org", b"cv.example")), SOURCE) == {"provenance"}
    assert wrong(spliced(SOURCE, packet=b"<no"), SOURCE) == {"provenance", "metadata: XMP properties"}
    assert wrong(spliced(SOURCE, packet=b""), SOURCE) == {"provenance", "metadata: XMP properties"}
