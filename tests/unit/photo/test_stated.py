"""What a result says of itself is found again without decoding it, and in no other file."""

import io

import pytest
from PIL import Image

from photochrom.worker.coloring.colorize import colorize_file
from photochrom.worker.digest import sha256_of
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.stated import statement_in
from photochrom.worker.settings import Settings
from tests.unit.photo.generate.jpeg import gray_jpeg, with_everything

FULL_PACKET = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>"
FULL_PACKET += f"<!--{65_000 * 'x'}--></x:xmpmeta>"


def encoded(kind, **options):
    file = io.BytesIO()
    Image.effect_noise((40, 30), 50).save(file, kind, **options)
    return file


def stated(data):
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    file.seek(0)
    found = statement_in(file, Limits())
    assert file.tell() == 0
    return found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", Options()),
        ("JPEG", Options(jpeg="reencode")),
        ("PNG", Options()),
        ("TIFF", Options()),
        ("PNG", Options(format="tiff")),
        ("WEBP", Options()),
    ],
)
def test_a_result_of_each_format_says_what_it_was_made_from_by_what_and_how(kind, options, engine, no_settings):
    source = encoded(kind)
    written = colorize_file(source, engine, Settings(), options)
    found = stated(written.body)
    assert (found.model, found.model_sha256) == ("stand-in", "5" * 64)
    assert (found.source_sha256, found.how, found.options) == (sha256_of(source), written.how, options.identity())


def test_a_jpeg_whose_xmp_had_no_room_still_says_what_it_was_made_from(engine, no_settings):
    source = encoded("JPEG", xmp=FULL_PACKET.encode())
    written = colorize_file(source, engine, Settings(), Options())
    assert "xmp-too-large" in written.notes
    found = stated(written.body)
    assert (found.source_sha256, found.model, found.options) == (sha256_of(source), "", None)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
def test_another_file_says_nothing(kind):
    assert stated(encoded(kind)) is None


def test_a_photograph_with_metadata_of_others_says_nothing():
    assert stated(gray_jpeg(with_everything())) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_what_is_cut_off_anywhere_says_nothing_or_the_same_and_raises_nothing(kind, engine, no_settings):
    written = colorize_file(encoded(kind), engine, Settings(), Options())
    data = written.body.read()
    whole = stated(data)
    for end in range(0, len(data), max(1, len(data) // 200)):
        assert stated(data[:end]) in (None, whole)
