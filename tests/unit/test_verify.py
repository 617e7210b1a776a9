"""A coloured file has all that its original had, or `verify` says what is missing."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from photochrom.worker.errors import UsageError
from photochrom.worker.verify import Finding, pixels, verify
from photochrom.worker.verify.compare import verify_bytes
from photochrom.worker.verify.page import Page
from tests.examples import examples
from tests.unit.photo.generate import jpeg, png, splice, strategies, tiff
from tests.unit.photo.generate.jpeg import gray_jpeg
from tests.unit.photo.generate.splice import spliced, statement
from tests.unit.photo.generate.verified import (
    GRAY,
    RESULT,
    SOURCE,
    coloured,
    coloured_tiff,
    found,
    wrong,
)

ROOT = Path(__file__).parents[2]


# ---- nothing is missing


def test_a_spliced_jpeg_has_everything():
    findings = found(RESULT, SOURCE)
    assert {what for what, finding in findings.items() if not finding.ok} == {"alpha"}
    assert findings["alpha"].ok is None
    assert findings["original bytes"].detail == f"all {len(SOURCE):,} bytes come back"


@pytest.mark.parametrize("kind", strategies.grid()[::9], ids=lambda kind: f"{kind.width}x{kind.height}-{kind.mode}")
def test_nothing_is_wrong_at_any_size_and_in_any_mode(kind):
    source = gray_jpeg(kind)
    assert wrong(spliced(source), source) == set()


@given(kind=strategies.kinds())
@examples(60)
def test_nothing_is_wrong_with_any_make_of_jpeg(kind):
    source = gray_jpeg(kind)
    assert wrong(spliced(source), source) == set()


def test_what_is_kept_may_fill_several_segments():
    result = spliced(SOURCE, most=100)
    assert result.count(splice.SIGNATURE) > 5
    assert found(result, SOURCE)["original bytes"].ok


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_of_exact_luma_has_everything(bits):
    gray = tiff.noise(300, 7, bits=bits)
    original = tiff.tiff(gray)
    findings = found(coloured_tiff(original, coloured(gray)), original)
    assert not [finding for finding in findings.values() if finding.ok is False]
    assert findings["luma"].ok
    assert findings["depth"].ok


# ---- something is missing


def test_a_single_pixel_of_another_luma_is_found():
    gray = tiff.noise(300, 200, bits=16)
    original = tiff.tiff(gray)
    rgb = coloured(gray)
    rgb[299, 199] += 1
    findings = found(coloured_tiff(original, rgb), original)
    assert findings["luma"] == Finding("luma", False, "1 of 60,000 pixels differ, by up to 1 levels")


def test_a_spliced_jpeg_of_another_luma_is_found():
    other = spliced(gray_jpeg(jpeg.with_everything(quality=74)), packet=statement(SOURCE, more=splice.XMP_REWRITTEN))
    assert wrong(other, SOURCE) == {"luma", "original bytes"}


def test_an_ordinary_jpeg_is_not_exact():
    file = io.BytesIO()
    packet = statement(SOURCE, "spliced")
    Image.open(io.BytesIO(SOURCE)).convert("RGB").save(file, "JPEG", quality=95, xmp=packet)
    assert "luma" in wrong(file.getvalue(), SOURCE)


@pytest.mark.parametrize("quality", [20, 75, 95, 100])
def test_a_jpeg_that_says_that_it_was_encoded_anew_may_be_off_by_its_quantisation(quality):
    gray = jpeg.gray(64, 48)
    original = png.png(gray, 8, png.GRAY)
    file = io.BytesIO()
    rgb = Image.fromarray(coloured(gray))
    rgb.save(file, "JPEG", quality=quality, xmp=statement(original, "reencoded"))
    findings = found(file.getvalue(), original)
    assert not [finding for finding in findings.values() if finding.ok is False]
    assert "encoded anew" in findings["luma"].detail
    file = io.BytesIO()
    rgb.point(lambda value: value * 0.7).save(file, "JPEG", quality=95, xmp=statement(original, "reencoded"))
    assert wrong(file.getvalue(), original) == {"luma"}


def test_16_bits_that_became_8_are_found():
    original = tiff.tiff(tiff.noise(40, 30, bits=16))
    result = coloured_tiff(original, coloured((tiff.noise(40, 30, bits=16) >> 8).astype(np.uint8)))
    assert wrong(result, original) == {"luma", "depth"}


def test_another_size_is_found():
    original = tiff.tiff(GRAY)
    assert wrong(coloured_tiff(original, coloured(GRAY[:, :-1])), original) == {"size", "luma"}
    assert wrong(coloured_tiff(original, coloured(GRAY.T)), original) == {"size", "luma"}


@pytest.mark.parametrize("pages", [1, 3])
def test_another_number_of_pages_is_found(pages):
    original = tiff.tiff(GRAY, GRAY)
    findings = found(coloured_tiff(original, *[coloured(GRAY)] * pages), original)
    assert findings["pages"] == Finding("pages", False, f"{pages} page(s), the original has 2")


def test_of_many_pages_the_wrong_one_is_named():
    original = tiff.tiff(*[GRAY] * 3)
    rgb = coloured(GRAY)
    other = rgb.copy()
    other[0, 0] ^= 8
    luma = found(coloured_tiff(original, rgb, other, rgb), original)["luma"]
    assert (luma.ok, luma.detail[:6]) == (False, "page 2")


def test_a_gray_result_has_no_colour():
    original = tiff.tiff(GRAY)
    assert wrong(coloured_tiff(original, np.dstack([GRAY] * 3)), original) == {"colour"}
    assert "colour" in wrong(SOURCE, SOURCE)


@pytest.mark.parametrize(("level", "ok"), [(0, None), (31, None), (32, False), (223, False), (224, None), (255, None)])
def test_next_to_black_and_white_there_may_be_no_colour(level, ok):
    gray = np.array([[0, 255], [255, level]], np.uint8)
    original = tiff.tiff(gray)
    assert found(coloured_tiff(original, np.dstack([gray] * 3)), original)["colour"].ok is ok


@pytest.mark.parametrize("changed", [slice(0, 1), slice(0, 0), None])
def test_alpha_is_the_same_bit_for_bit(changed):
    alpha = tiff.noise(40, 30, seed=5)
    original = tiff.tiff(np.dstack([GRAY, alpha]), photometric="minisblack", planarconfig="contig", extrasamples=[2])
    other = alpha.copy()
    if changed is None:
        result = coloured_tiff(original, coloured(GRAY))
    else:
        other[changed] ^= 1
        result = coloured_tiff(original, np.dstack([coloured(GRAY), other]), extrasamples=[2])
    assert wrong(result, original) == (set() if changed == slice(0, 0) else {"alpha"})


def test_another_orientation_is_found():
    original = tiff.tiff(GRAY, extratags=[(274, 3, 1, 6, True)])
    packet = statement(original)
    kept = [(700, 7, len(packet), packet, True), (274, 3, 1, 6, True)]
    assert wrong(coloured_tiff(original, coloured(GRAY), extratags=kept), original) == set()
    assert wrong(coloured_tiff(original, coloured(GRAY)), original) == {"orientation"}


# ---- the original's bytes


def test_a_file_that_keeps_nothing_cannot_be_restored_and_that_is_no_fault():
    finding = found(spliced(SOURCE, keep=False), SOURCE)["original bytes"]
    assert finding.ok is None
    assert wrong(spliced(SOURCE, keep=False), SOURCE) == set()


def test_another_original_is_found():
    assert {"original bytes", "provenance"} <= wrong(RESULT, SOURCE + b"\0")


def test_a_changed_byte_of_the_picture_is_found():
    place = RESULT.index(b"\xff\xda") + 40
    changed = RESULT[:place] + bytes([RESULT[place] ^ 1]) + RESULT[place + 1 :]
    assert "original bytes" in wrong(changed, SOURCE)


@pytest.mark.parametrize("kept", range(10, len(RESULT) - 2, 97))
def test_a_truncated_result_is_found(kept):
    assert "readable" in wrong(RESULT[:kept], SOURCE)


# ---- pages that no file is needed for


def jpeg_page(luma: np.ndarray, again: np.ndarray | None, lossy: float = 5.0) -> Page:
    return Page(np.dstack([luma, luma // 2, luma // 2]), "ycc", 8, luma_again=again, lossy=lossy)


def test_two_decoders_have_to_see_the_same_luma():
    original = Page(GRAY, "gray", 8)
    assert pixels.luma(jpeg_page(GRAY, GRAY), original, "spliced").ok
    other = GRAY.copy()
    other[-1, -1] ^= 1
    assert not pixels.luma(jpeg_page(GRAY, other), original, "spliced").ok
    assert not pixels.luma(jpeg_page(GRAY, None), original, "spliced").ok
    assert pixels.luma(jpeg_page(GRAY, other), Page(GRAY, "gray", 8, luma_again=other), "spliced").ok


@pytest.mark.parametrize(("off", "ok"), [(5, True), (6, False)])
def test_what_is_encoded_anew_may_be_off_by_its_quantisation_and_no_more(off, ok):
    luma = np.full((300, 20), 100, np.uint8)
    finding = pixels.luma(jpeg_page(luma + np.uint8(off), None), Page(luma, "gray", 8), "reencoded")
    assert finding.ok is ok
    deep = Page(luma.astype(np.uint16) * 257, "gray", 16)
    assert pixels.luma(jpeg_page(luma + np.uint8(off), None), deep, "reencoded") == finding


# ---- as a command sees it


def test_files_are_read_from_paths(tmp_path):
    (tmp_path / "new.jpg").write_bytes(RESULT)
    (tmp_path / "old.jpg").write_bytes(SOURCE)
    findings = verify(tmp_path / "new.jpg", tmp_path / "old.jpg")
    assert findings == verify_bytes(RESULT, SOURCE)
    assert json.loads(json.dumps([asdict(finding) for finding in findings]))[0]["what"] == "readable"
    assert {finding.verdict for finding in findings} == {"ok", "n/a"}


def test_a_file_that_is_not_there_is_a_mistake_of_the_caller(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.jpg cannot be read"):
        verify(tmp_path / "nowhere.jpg", tmp_path / "old.jpg")


@pytest.mark.parametrize("data", [b"", b"Dear archive", b"\xff\xd8\xff\xd9", b"II*\0\x08\0\0\0", png.claim(4, 4)])
def test_what_cannot_be_decoded_is_a_finding(data):
    assert found(data, SOURCE)["readable"].ok is False
    assert found(RESULT, data)["readable"].detail.startswith("the original: ")


# ---- independence


def test_nothing_is_imported_from_the_writer():
    for path in sorted((ROOT / "worker/verify").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.startswith("photochrom.worker.photo")], path


def test_the_writer_is_not_even_loaded():
    listed = "[name for name in sys.modules if name.startswith('photochrom.worker.photo')]"
    code = f"import sys, photochrom.worker.verify; print({listed})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
