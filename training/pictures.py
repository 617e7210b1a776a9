"""What people look at while a model learns: contact sheets and curves, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw

T = TypeVar("T")

TITLES = ("gray", "predicted", "truth")
TITLE_HEIGHT = 18
GAP = 2


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
