"""A coloured file has all that its original had, or `verify` says what is missing."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import io
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from PIL import Image

from tests.unit.photo.generate import jpeg, png, splice, strategies, tiff
from tests.unit.photo.generate.jpeg import Kind, gray_jpeg
from tests.unit.photo.generate.metadata import exif, text
from tests.unit.photo.generate.profile import gray_profile, rgb_profile
from tests.unit.photo.generate.splice import spliced, statement
from worker.errors import UsageError
from worker.verify import Finding, verify
from worker.verify.compare import verify_bytes

ROOT = Path(__file__).parents[2]


def found(coloured: bytes, original: bytes) -> dict[str, Finding]:
    findings = verify_bytes(coloured, original)
    assert len({finding.what for finding in findings}) == len(findings)
    assert all(finding.detail for finding in findings)
    return {finding.what: finding for finding in findings}


def wrong(coloured: bytes, original: bytes) -> set[str]:
    return {what for what, finding in found(coloured, original).items() if finding.ok is False}


def coloured(gray: np.ndarray) -> np.ndarray:
    """RGB whose rounded luma is `gray`, bluish wherever that fits."""
    top, y = int(np.iinfo(gray.dtype).max), gray.astype(np.int64)
    red, blue = np.maximum(y - top // 20, 0), np.minimum(y + top // 20, top)
    green = (2 * (1000 * y - 299 * red - 114 * blue) + 587) // (2 * 587)
    fits = (green >= 0) & (green <= top)
    rgb = np.stack([red, green, blue], axis=-1)
    return np.where(fits[..., None], rgb, y[..., None]).astype(gray.dtype)


def coloured_tiff(original: bytes, *pages: np.ndarray, how: str = "exact", **options) -> bytes:
    packet = statement(original, how)
    given = {"photometric": "rgb", "extratags": [(700, 7, len(packet), packet, True)]}
    return tiff.tiff(*pages, **given | options)


def coloured_png(original: bytes, rgb: np.ndarray, chunks: bytes = b"", how: str = "exact") -> bytes:
    packet = png.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + statement(original, how))
    depth = rgb.dtype.itemsize * 8
    return png.png(rgb, depth, png.RGBA if rgb.shape[2] == 4 else png.RGB, packet + chunks)


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


GRAY = tiff.noise(40, 30)
SOURCE = gray_jpeg(jpeg.with_everything())
RESULT = spliced(SOURCE)


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
@examples(max_examples=60)
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


@pytest.mark.parametrize("kind", sorted(png.KINDS))
def test_the_luma_of_every_kind_of_png_is_known(kind):
    original = png.KINDS[kind]()
    luma, alpha = _luma_by_imagecodecs(original)
    rgb = coloured(luma) if alpha is None else np.dstack([coloured(luma), alpha])
    assert wrong(coloured_png(original, rgb), original) == set()
    other = rgb.copy()
    other[3, 2, 0] ^= 4
    assert wrong(coloured_png(original, other), original) == {"luma"}


def _luma_by_imagecodecs(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """By another library than the one that `verify` uses."""
    import imagecodecs

    planes = imagecodecs.png_decode(data)
    planes = planes[..., None] if planes.ndim == 2 else planes
    alpha = planes[..., -1] if planes.shape[2] in (2, 4) else None
    luma = planes[..., 0] if planes.shape[2] < 3 else planes[..., :3].astype(int) @ [299, 587, 114]
    return (luma if planes.shape[2] < 3 else ((luma + 500) // 1000).astype(planes.dtype)), alpha


@pytest.mark.parametrize("kind", sorted(tiff.KINDS))
def test_the_luma_of_every_kind_of_tiff_is_known(kind):
    import tifffile

    original = tiff.KINDS[kind]()
    results, alphas = [], []
    for page in tifffile.TiffFile(io.BytesIO(original)).pages:
        luma, alpha = _luma_by_tifffile(page)
        results.append(coloured(luma) if alpha is None else np.dstack([coloured(luma), alpha]))
        alphas.append(alpha)
    options = {} if alphas[0] is None else {"extrasamples": ["unassalpha"]}
    assert wrong(coloured_tiff(original, *results, **options), original) == set()
    results[-1][3, 2, 1] ^= 4
    assert wrong(coloured_tiff(original, *results, **options), original) == {"luma"}


def _luma_by_tifffile(page) -> tuple[np.ndarray, np.ndarray | None]:
    samples, bits = page.asarray(), page.bitspersample
    if page.photometric.name == "PALETTE":
        colours = page.colormap.T
        samples = (colours >> 8 if not (colours % 257).any() else colours)[samples]
        samples = samples.astype(np.uint8 if samples.max() < 256 else np.uint16)
    elif page.planarconfig == 2:
        samples = np.moveaxis(samples, 0, -1)
    if bits == 1:
        samples = samples.astype(np.uint8) * 255
    elif bits == 12:
        samples = samples << 4 | samples >> 8
    if page.photometric.name == "MINISWHITE":
        samples = np.iinfo(samples.dtype).max - samples
    colours = 1 if samples.ndim == 2 or samples.shape[2] == 2 else 3
    if samples.ndim == 2:
        return samples, None
    alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
    if colours == 1:
        return samples[..., 0], alpha
    return ((samples[..., :3].astype(int) @ [299, 587, 114] + 500) // 1000).astype(samples.dtype), alpha


def test_pillows_rounding_of_a_coloured_original_is_as_good_as_ours():
    colours = np.random.default_rng(1).integers(0, 256, (700, 700, 3), np.uint8)
    by_pillow = np.asarray(Image.fromarray(colours).convert("L"))
    exact = ((colours.astype(int) @ [299, 587, 114] + 500) // 1000).astype(np.uint8)
    assert (by_pillow != exact).any()
    original = png.png(colours, 8, png.RGB)
    for luma in (by_pillow, exact):
        assert wrong(coloured_png(original, coloured(luma)), original) == set()


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


def test_black_and_white_alone_take_no_colour():
    gray = np.array([[0, 255], [255, 0]], np.uint8)
    original = tiff.tiff(gray)
    assert found(coloured_tiff(original, coloured(gray)), original)["colour"].ok is None


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


def test_a_lost_property_of_the_xmp_is_found():
    packet = statement(SOURCE, more=splice.XMP_REWRITTEN.replace("<rdf:li>masts</rdf:li>", ""))
    finding = found(spliced(SOURCE, packet=packet), SOURCE)["metadata: XMP properties"]
    assert not finding.ok
    assert "subject" in finding.detail


def test_another_resolution_is_found():
    original = gray_jpeg(Kind(dpi=(300, 300)))
    other = spliced(gray_jpeg(Kind(dpi=(72, 72))), packet=statement(original), keep=False)
    assert wrong(other, original) == {"metadata: resolution"}


def test_resolution_may_be_rounded_as_the_other_format_must():
    original = tiff.tiff(GRAY, resolution=(300, 300), resolutionunit=2)
    metres = png.chunk(b"pHYs", (11811).to_bytes(4, "big") * 2 + b"\1")
    assert found(coloured_png(original, coloured(GRAY), metres), original)["metadata: resolution"].ok
    assert not found(coloured_png(original, coloured(GRAY)), original)["metadata: resolution"].ok


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
            assert not [name for name in names if name.startswith("worker.photo")], path


def test_the_writer_is_not_even_loaded():
    code = "import sys, worker.verify; print([name for name in sys.modules if name.startswith('worker.photo')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
