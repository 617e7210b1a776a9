"""Contact sheets and curves: every picture in its place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.training.pictures import (
    CAPTION_WIDTH,
    GAP,
    TITLE_HEIGHT,
    TITLES,
    Row,
    captioned_sheet,
    contact_sheet,
    curve,
    spread,
)

SIDE = 60
PITCH = SIDE + GAP


def plain(red):
    return np.full((SIDE, SIDE, 3), (red, 90, 250 - red), dtype=np.uint8)


def at(path, x, y):
    """The one colour of the picture whose upper left corner is there."""
    shown = np.asarray(Image.open(path))[y : y + SIDE, x : x + SIDE]
    assert (shown == shown[0, 0]).all()
    return shown[0, 0].tolist()


@given(st.integers(0, 100), st.integers(1, 40))
def test_rows_are_spread_evenly(count, most):
    rows = list(range(count))
    found = spread(rows, most)
    assert found == sorted(set(found))
    assert len(found) == min(count, most) or len(found) <= most
    assert found[:1] == rows[:1]


def test_rows_stand_below_each_other_and_then_beside(tmp_path):
    rows = [[plain(10 * row + column) for column in range(3)] for row in range(4)]
    contact_sheet(tmp_path / "new" / "sheet.png", rows, TITLES)
    block = 3 * PITCH + 3 * GAP
    for row in range(4):
        left, top = (row // 2) * block, TITLE_HEIGHT + (row % 2) * PITCH
        for column in range(3):
            red = 10 * row + column
            assert at(tmp_path / "new" / "sheet.png", left + column * PITCH, top) == [red, 90, 250 - red]


def test_sections_stand_side_by_side_with_captions_beside_their_rows(tmp_path):
    path = tmp_path / "new" / "sheet.png"
    sections = {
        "gains": [Row("first\nby 2", [plain(0), plain(1)]), Row("", [plain(2), plain(3)])],
        "losses": [Row("third", [plain(4), plain(5)])],
    }
    captioned_sheet(path, sections, ("left", "right"))
    block = max(2 * PITCH, CAPTION_WIDTH) + CAPTION_WIDTH
    head = 2 * TITLE_HEIGHT
    for number, (left, row) in enumerate([(0, 0), (0, 1), (block, 0)]):
        for column in range(2):
            red = 2 * number + column
            assert at(path, left + column * PITCH, head + row * PITCH) == [red, 90, 250 - red]
    pixels = np.asarray(Image.open(path).convert("L"))
    caption = pixels[head : head + SIDE, 2 * PITCH : block]
    assert (caption < 128).any()
    empty = pixels[head + PITCH : head + PITCH + SIDE]
    assert (empty[:, 2 * PITCH : block] == 255).all()
    assert (empty[:, block:] == 255).all()


@pytest.mark.parametrize("sections", [{"gains": []}, {"gains": [], "losses": []}])
def test_a_sheet_of_nothing_says_so(tmp_path, sections):
    captioned_sheet(tmp_path / "sheet.png", sections, TITLES)
    assert (np.asarray(Image.open(tmp_path / "sheet.png").convert("L")) < 128).any()


def test_a_long_name_stays_within_its_caption(tmp_path):
    name = "photographs/" + "a-very-long-name" * 5 + ".jpg"
    captioned_sheet(tmp_path / "sheet.png", {"gains": [Row(name, [plain(0)] * 4)]}, ("",) * 4)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    assert sheet.shape[1] == 4 * PITCH + CAPTION_WIDTH
    assert (sheet[2 * TITLE_HEIGHT :, -4:] == 255).all()


def test_curves_of_a_history_are_a_picture(tmp_path):
    history = [
        {"epoch": epoch, "training_loss": 1 / epoch, "validation_loss": 2 / epoch, "ciede2000": 12 - epoch, "psnr": 22}
        for epoch in (1, 2, 3)
    ]
    curve(tmp_path / "curve.png", history)
    assert Image.open(tmp_path / "curve.png").size == (640, 480)
