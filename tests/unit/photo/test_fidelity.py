"""Whatever goes in, all of it comes out: the whole story on every kind of file, judged by `verify`'s own decoders."""

import io
import struct
import subprocess
import weakref

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from photochrom.worker.coloring.colorize import colorize_file
from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.base.raster import Raster
from photochrom.worker.photo.jpeg import jpegtran
from photochrom.worker.settings import Settings
from photochrom.worker.verify.compare import verify_bytes
from tests.examples import examples
from tests.unit.photo.generate import png, tiff
from tests.unit.photo.generate.jpeg import Kind, gray_jpeg, with_everything
from tests.unit.photo.generate.metadata import EXIF, PHOTOSHOP, XMP
from tests.unit.photo.generate.profile import gray_profile
from tests.unit.photo.generate.strategies import kinds


class Tint:
    """A model that finds everything bluish."""

    class card:  # noqa: N801 (an engine's attribute)
        name = "tint"
        sha256 = "5" * 64

    def input_size(self, height, width):
        return min(height, 8), min(width, 8)

    def predict(self, gray, vividness=None):
        return np.stack([np.full(gray.shape, 0.1), np.full(gray.shape, -0.05)]).astype(np.float32)


def coloured(data, **options):
    written = colorize_file(io.BytesIO(data), Tint(), Settings(), Options(**options))
    return written, written.body.read()


def wrong(made, data):
    return [finding for finding in verify_bytes(made, data) if finding.ok is False]


def check(data, **options):
    written, made = coloured(data, **options)
    assert wrong(made, data) == []
    return written, made


@examples(80)
@given(kinds().filter(lambda kind: kind.end))
def test_every_gray_jpeg_keeps_everything(kind):
    written, _ = check(gray_jpeg(kind))
    assert written.how == "spliced"


@pytest.mark.parametrize("name", png.KINDS)
def test_every_png_keeps_everything(name):
    written, _ = check(png.KINDS[name]())
    assert (written.format, written.how) == ("png", "exact")


@pytest.mark.parametrize("name", tiff.KINDS)
def test_every_tiff_keeps_everything(name):
    written, _ = check(tiff.KINDS[name]())
    assert (written.format, written.how) == ("tiff", "exact")


@pytest.mark.parametrize("name", png.KINDS)
def test_every_png_becomes_a_tiff_with_the_same_gray(name):
    written, _ = check(png.KINDS[name](), format="tiff")
    assert (written.format, written.how) == ("tiff", "exact")


@pytest.mark.parametrize("name", sorted(tiff.KINDS.keys() - {"pages"}))
def test_every_tiff_of_one_page_becomes_a_png_with_the_same_gray(name):
    written, _ = check(tiff.KINDS[name](), format="png")
    assert (written.format, written.how) == ("png", "exact")


def test_a_jpeg_with_everything_becomes_a_png_with_everything():
    written, _ = check(gray_jpeg(with_everything()), format="png")
    assert (written.format, written.how, written.notes) == ("png", "exact", ())


def test_a_jpeg_with_everything_becomes_a_tiff_with_all_but_its_comments_and_says_so():
    data = gray_jpeg(with_everything())
    written, made = coloured(data, format="tiff")
    assert (written.format, written.how, written.notes) == ("tiff", "exact", ("comments-dropped",))
    assert [finding.what for finding in wrong(made, data)] == ["metadata: comments"]


@pytest.mark.parametrize("name", ["pages"])
@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_several_pages_are_never_fewer(name, format):
    with pytest.raises(ImageFault) as told:
        coloured(tiff.KINDS[name](), format=format)
    assert told.value.reason == "unsupported"


def test_alpha_that_colours_were_multiplied_by_stays_in_a_tiff():
    data = tiff.tiff(tiff.noise(9, 7, 2), photometric="minisblack", planarconfig="contig", extrasamples=["assocalpha"])
    check(data)
    with pytest.raises(ImageFault) as told:
        coloured(data, format="png")
    assert told.value.reason == "unsupported"


def test_only_one_page_is_in_memory_at_a_time(monkeypatch):
    from photochrom.worker.photo.tiff import read as reading

    alive, most, decode = weakref.WeakSet(), [], reading._page

    def counted(*arguments):
        page = decode(*arguments)
        most.append(len(alive))
        alive.add(page)
        return page

    monkeypatch.setattr(reading, "_page", counted)
    monkeypatch.setattr(Raster, "__hash__", object.__hash__)
    check(tiff.tiff(*(tiff.noise(40, 30, seed=seed) for seed in range(4))))
    assert most == [0, 0, 0, 0]


def test_the_oracle_sees_a_changed_level():
    data = png.KINDS["gray 16"]()
    _, made = coloured(data)
    from photochrom.worker.photo.base.limits import Limits
    from photochrom.worker.photo.png.read import read_png
    from photochrom.worker.photo.png.write import write_png

    raster = read_png(made, Limits())
    samples = np.repeat(raster.luma[..., None], 3, axis=2)
    samples[3, 4] ^= 2
    assert {finding.what for finding in wrong(write_png(raster, [samples]), data)} >= {"luma"}


# ---- resolution

GRAY = tiff.noise(40, 30)

DOTS = {
    "inch": lambda: tiff.tiff(GRAY, resolution=((2**32 - 1, 13 * 10**6), (300, 7)), resolutionunit=2),
    "centimeter": lambda: tiff.tiff(GRAY, resolution=((11811, 100), (10, 3)), resolutionunit=3),
    "meter": lambda: png.png(GRAY, 8, png.GRAY, png.chunk(b"pHYs", struct.pack(">IIB", 1_181_102, 41_000, 1))),
    "whole centimeters": lambda: jpeg(np.repeat(GRAY[..., None], 3, axis=2), quality=90).replace(
        b"JFIF\0\1\1\0\0\1\0\1", b"JFIF\0\1\1\2\0\x76\0\1"
    ),
}


@pytest.mark.parametrize("format", ["png", "tiff", "jpeg"])
@pytest.mark.parametrize("unit", DOTS)
def test_resolution_goes_from_every_format_into_every_other(unit, format):
    """`verify` holds it against the original: exactly in a TIFF, within half a dot elsewhere."""
    check(DOTS[unit](), format=format, jpeg="reencode")


# ---- what cannot be spliced


def jpeg(pixels, mode=None, **options):
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, "JPEG", **options)
    return file.getvalue()


def noise(*shape):
    return np.random.default_rng(3).integers(40, 216, shape, np.uint8)


def toned():
    sepia = noise(40, 56)[..., None] * np.array([1, 0.85, 0.6])
    return jpeg(sepia.astype(np.uint8), quality=90)


@pytest.mark.parametrize("make", [toned, lambda: jpeg(noise(40, 56, 4), "CMYK", quality=90)], ids=["toned", "CMYK"])
def test_what_cannot_be_spliced_is_encoded_anew_and_says_so(make):
    written, _ = check(make())
    assert (written.how, written.notes) == ("reencoded", ("reencoded",))


@pytest.mark.skipif(not jpegtran.is_there(), reason="jpegtran is not installed")
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": "4:4:4"}], ids=str)
def test_the_gray_of_a_neutral_colour_jpeg_is_taken_out_of_it_without_loss(options):
    data = jpeg(np.repeat(noise(40, 56)[..., None], 3, axis=2), quality=80, **options)
    written, made = check(data)
    assert (written.how, written.notes) == ("transcoded", ("transcoded",))
    gray = subprocess.run(["jpegtran", "-grayscale"], input=data, capture_output=True, check=True).stdout
    import imagecodecs

    luma = imagecodecs.jpeg8_decode(made, outcolorspace="YCBCR")[..., 0]
    np.testing.assert_array_equal(luma, np.asarray(Image.open(io.BytesIO(gray))))


def test_without_jpegtran_a_neutral_colour_jpeg_is_encoded_anew(monkeypatch):
    monkeypatch.setattr(jpegtran, "is_there", lambda: False)
    written, _ = check(jpeg(np.repeat(noise(40, 56)[..., None], 3, axis=2), quality=80))
    assert written.how == "reencoded"


@pytest.mark.skipif(not jpegtran.is_there(), reason="jpegtran is not installed")
def test_the_compatible_profile_has_one_scan_and_the_same_gray():
    data = gray_jpeg(with_everything(width=61, height=47))
    written, made = check(data, jpeg="compatible")
    assert written.how == "spliced"
    assert made.count(b"\xff\xda") == 1


def test_the_reencode_profile_splices_nothing():
    written, _ = check(gray_jpeg(Kind()), jpeg="reencode")
    assert written.how == "reencoded"


# ---- metadata that is changed


def test_a_signature_that_no_longer_holds_is_told():
    box = b"JP" + (1).to_bytes(2, "big") + (1).to_bytes(4, "big") + b"\0\0\0\x2ajumb\0\0\0\x22jumdc2pa" + bytes(20)
    written, made = coloured(gray_jpeg(Kind(others=((0xEB, box),))))
    assert written.notes == ("c2pa-invalid",)
    assert box not in made


def test_xmp_that_cannot_be_read_is_told_and_kept_in_the_archive_profile():
    data = gray_jpeg(Kind(xmp=b"<x:xmpmeta not well-formed"))
    written, made = coloured(data)
    assert written.notes == ("xmp-unreadable",)
    assert [finding.what for finding in wrong(made, data)] in ([], ["metadata: XMP properties"])


@pytest.mark.parametrize("profile", ["archive", "reencode"])
def test_xmp_that_fills_its_segment_stays_as_it_is_and_that_is_told(profile):
    packet = XMP.replace(b"</rdf:RDF>", b"<!--" + b"x" * (65_400 - len(XMP)) + b"--></rdf:RDF>")
    written, made = coloured(gray_jpeg(Kind(xmp=packet)), jpeg=profile)
    assert "xmp-too-large" in written.notes
    assert packet in made


def test_metadata_of_every_sort_is_in_the_coloured_jpeg_as_it_was():
    _, made = coloured(gray_jpeg(with_everything()))
    assert EXIF in made
    assert PHOTOSHOP in made
    assert b"Found in the attic" in made
    assert gray_profile() not in made
    assert XMP not in made  # merged with what the result says of itself


@pytest.mark.parametrize("make", [lambda: gray_jpeg(with_everything()), png.KINDS["gray 16"], tiff.KINDS["pages"]])
def test_the_same_work_gives_the_same_bytes(make):
    assert coloured(make())[1] == coloured(make())[1]
