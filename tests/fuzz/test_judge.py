"""What came out of a damaged file is held against what its format's own library makes of it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tests.fuzz.judge import Judgement, judge
from tests.unit.photo.generate import png
from tests.unit.photo.generate.jpeg import Kind, gray, gray_jpeg
from tests.unit.photo.generate.splice import spliced

SOURCE = gray_jpeg(Kind(width=40, height=16, restart=2))


def neutral_png(pixels: np.ndarray) -> bytes:
    return png.png(np.dstack([pixels] * 3), 8, png.RGB)


def test_the_luma_of_the_whole_file_is_right():
    assert judge("jpeg", SOURCE, spliced(SOURCE)) == (Judgement.RIGHT, "")


def test_another_luma_is_wrong():
    judgement, detail = judge("jpeg", SOURCE, spliced(gray_jpeg(Kind(width=40, height=16, seed=2))))
    assert judgement is Judgement.WRONG
    assert judgement.is_finding
    assert "luma: " in detail


def test_what_libjpeg_makes_of_damage_is_right_and_anything_else_is_wrong():
    place = SOURCE.index(b"\xff\xda") + 20
    broken = SOURCE[:place] + b"\x55" + SOURCE[place + 1 :]
    seen = np.asarray(Image.open(io.BytesIO(broken)))
    assert (seen != np.asarray(Image.open(io.BytesIO(SOURCE)))).any()
    assert judge("jpeg", broken, neutral_png(seen))[0] is Judgement.RIGHT
    assert judge("jpeg", broken, neutral_png(np.asarray(Image.open(io.BytesIO(SOURCE)))))[0] is Judgement.WRONG


def test_a_result_that_cannot_be_read_is_wrong():
    assert judge("png", png.claim(4, 4), b"no picture")[0] is Judgement.WRONG
    assert judge("jpeg", SOURCE, spliced(SOURCE)[:-20])[0] is Judgement.WRONG


def test_where_no_reference_decodes_the_file_there_is_nothing_to_compare():
    assert judge("png", png.claim(40, 16), neutral_png(gray(40, 16)))[0] is Judgement.NO_REFERENCE
