"""What people look at while a model learns: contact sheets and curves, as PNG."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageDraw

T = TypeVar("T")

TITLES = ("gray", "predicted", "truth")
TITLE_HEIGHT = 18
GAP = 2
CAPTION_WIDTH = 200
CAPTION_LETTERS = 30
"""As many fit into that width, at the default font's size."""


class Row(NamedTuple):
    """Pictures that belong together, RGB uint8 of one size, and what is written beside them, in lines."""

    caption: str
    pictures: Sequence[np.ndarray]


def spread(rows: Sequence[T], most: int) -> list[T]:
    """At most so many of the rows, evenly spaced."""
    return list(rows[:: max(1, len(rows) // most)])[:most]


def contact_sheet(path: Path, rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], across: int = 2) -> None:
    """Write rows of pictures (RGB uint8, all of one size) under their titles, `across` rows side by side."""
    height, width = rows[0][0].shape[:2]
    columns = len(titles)
    down = -(-len(rows) // across)
    block = columns * (width + GAP) + 3 * GAP
    sheet = Image.new("RGB", (across * block, TITLE_HEIGHT + down * (height + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, row in enumerate(rows):
        left, top = (index // down) * block, TITLE_HEIGHT + (index % down) * (height + GAP)
        for column, (picture, title) in enumerate(zip(row, titles, strict=True)):
            x = left + column * (width + GAP)
            sheet.paste(Image.fromarray(picture), (x, top))
            if index % down == 0:
                draw.text((x + 3, 3), title, fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def captioned_sheet(path: Path, sections: Mapping[str, Sequence[Row]], titles: Sequence[str]) -> None:
    """Write sections side by side, each a heading above rows of pictures under their titles, captions on the right.

    All pictures are of one size. A section without rows keeps its heading.
    """
    rows = [row for section in sections.values() for row in section]
    height, width = rows[0].pictures[0].shape[:2] if rows else (0, 0)
    down = max(map(len, sections.values()), default=0)
    block = max(len(titles) * (width + GAP), CAPTION_WIDTH) + CAPTION_WIDTH
    sheet = Image.new("RGB", (len(sections) * block, 2 * TITLE_HEIGHT + down * (height + GAP)), "white")
    for index, (heading, section) in enumerate(sections.items()):
        ImageDraw.Draw(sheet).text((index * block + 3, 3), heading if section else f"{heading}: none", fill="black")
        _draw_section(sheet, index * block, section, titles, (width + GAP, height + GAP))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _draw_section(
    sheet: Image.Image, left: int, section: Sequence[Row], titles: Sequence[str], pitch: tuple[int, int]
) -> None:
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles if section else ()):
        draw.text((left + column * pitch[0] + 3, TITLE_HEIGHT + 3), title, fill="black")
    for place, row in enumerate(section):
        top = 2 * TITLE_HEIGHT + place * pitch[1]
        for column, picture in enumerate(row.pictures):
            sheet.paste(Image.fromarray(picture), (left + column * pitch[0], top))
        draw.text((left + len(titles) * pitch[0] + 3, top + 3), _wrapped(row.caption), fill="black")


def _wrapped(caption: str) -> str:
    return "\n".join(part for line in caption.splitlines() for part in textwrap.wrap(line, CAPTION_LETTERS))


def curve(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Write the figures of every epoch so far: losses above, what people see below."""
    from matplotlib.figure import Figure

    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for name in ("training_loss", "validation_loss"):
        above.plot(epochs, [entry[name] for entry in history], marker=".", label=name.replace("_", " "))
    above.set_ylabel("loss")
    below.plot(epochs, [entry["ciede2000"] for entry in history], marker=".", color="tab:green", label="CIEDE2000")
    below.set_ylabel("CIEDE2000 (lower is better)")
    below.set_xlabel("epoch")
    other = below.twinx()
    other.plot(epochs, [entry["psnr"] for entry in history], marker=".", color="tab:red", label="PSNR")
    other.set_ylabel("PSNR in dB")
    above.legend()
    below.legend(loc="lower left")
    other.legend(loc="lower right")
    figure.savefig(path, dpi=80)
