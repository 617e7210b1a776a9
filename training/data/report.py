"""What a run learns from, to look at: how many photographs, from where, how large, how colourful, and some of them."""

from __future__ import annotations

import io
import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from photochrom.training.data.cache import Cache
from photochrom.training.data.collection import open_collection
from photochrom.training.data.manifest import Entry, Manifest
from photochrom.training.data.photographs import center_square
from photochrom.training.data.source import is_s3
from photochrom.training.data.working_copy import Traits
from photochrom.training.pictures import spread
from photochrom.worker.s3.store import Location

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_FOLDERS = 30
"""Folders by name, the largest ones; what is left counts as one more."""

NO_FOLDER, OTHER_FOLDERS = "(no folder)", "(other folders)"
LETTERS = 200
"""Of a line above the charts."""

SAMPLES = 96
ACROSS = 16
SAMPLE_SIDE = 96
WIDTH = ACROSS * SAMPLE_SIDE
DPI = 96


def write_report(manifest: Manifest, cache: Cache, folder: Path) -> tuple[Path, Path]:
    """Write `dataset.json` and `dataset.png` into a folder, made if it is not there, and give back both paths.

    Sizes are those of the photographs themselves, in pixels; colourfulness is Hasler and Suesstrunk's, on 0..255; mean
    chroma is U and V of the training photographs, centred on 0. The samples are spread evenly over those.
    Raises UsageError where the cache lacks a photograph of the manifest.
    """
    photographs = open_collection(manifest, cache)
    traits = [_traits(cache, entry) for entry in manifest.entries]
    figures = _figures(manifest, traits)
    charts = _charts(figures, [trait.colourfulness for trait in traits])
    samples = _sheet([center_square(p.rgb(), SAMPLE_SIDE) for p in spread(photographs.training, SAMPLES)])
    page = Image.new("RGB", (WIDTH, charts.height + samples.height), "white")
    page.paste(charts, (0, 0))
    page.paste(samples, (0, charts.height))
    folder.mkdir(parents=True, exist_ok=True)
    text, picture = folder / "dataset.json", folder / "dataset.png"
    text.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    page.save(picture)
    return text, picture


def _traits(cache: Cache, entry: Entry) -> Traits:
    record = cache.photograph(entry.sha256)
    assert record and record.traits  # the collection is open
    return record.traits


def _figures(manifest: Manifest, traits: Sequence[Traits]) -> dict[str, Any]:
    sides = Counter(entry.side for entry in manifest.entries)
    return {
        "source": manifest.source,
        "photographs": len(manifest.entries),
        "training": sides["training"],
        "validation": sides["validation"],
        "left_out": manifest.left_out,
        "folders": _folders(manifest),
        "short_side": _quantiles([min(trait.height, trait.width) for trait in traits]),
        "megapixels": _quantiles([trait.height * trait.width / 1e6 for trait in traits]),
        "colourfulness": _quantiles([trait.colourfulness for trait in traits]),
        "mean_chroma": manifest.mean_chroma,
    }


def _folders(manifest: Manifest) -> dict[str, int]:
    """How many photographs come from each folder directly below the source, the largest first."""
    inside = len(Location.parse(manifest.source).folder().prefix) if is_s3(manifest.source) else 0
    tops = (entry.key[inside:].rpartition("/")[0].partition("/")[0] or NO_FOLDER for entry in manifest.entries)
    counts = Counter(tops)
    largest = dict(counts.most_common(MOST_FOLDERS))
    rest = counts.total() - sum(largest.values())
    return {**largest, OTHER_FOLDERS: rest} if rest else largest


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    names = [f"{quantile:.0%}" for quantile in QUANTILES]
    return {name: round(float(value), 3) for name, value in zip(names, np.quantile(values, QUANTILES), strict=True)}


def _charts(figures: dict[str, Any], colourfulness: Sequence[float]) -> Image.Image:
    """Colourfulness on the left, where the photographs come from on the right; in words, how many and what not."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    folders, drawn = figures["folders"], io.BytesIO()
    with rc_context({"text.parse_math": False}):  # a folder may be named $: it is no formula
        figure = Figure(figsize=(WIDTH / DPI, 2.6 + 0.18 * len(folders)), dpi=DPI, layout="constrained")
        figure.suptitle(_title(figures), fontsize=10)
        left, right = figure.subplots(1, 2)
        left.hist(colourfulness, bins=40)
        left.set_xlabel("colourfulness (Hasler and Suesstrunk)")
        left.set_ylabel("photographs")
        bars = right.barh(list(folders), list(folders.values()))
        right.bar_label(bars, padding=3, fontsize=8)
        right.tick_params(axis="y", labelsize=8)
        right.invert_yaxis()
        right.margins(x=0.12)
        right.set_xlabel("photographs from each folder")
        figure.savefig(drawn, format="png", dpi=DPI)
    return Image.open(drawn).convert("RGB")


def _title(figures: dict[str, Any]) -> str:
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in figures["left_out"].items()) or "nothing"
    fit = f"{figures['training']:,} photographs to learn from, {figures['validation']:,} to validate with"
    return textwrap.fill(f"{figures['source']}: {fit}; left out: {left_out}", LETTERS)


def _sheet(samples: Sequence[np.ndarray]) -> Image.Image:
    """Squares, RGB uint8, side by side."""
    sheet = Image.new("RGB", (WIDTH, -(-len(samples) // ACROSS) * SAMPLE_SIDE), "white")
    for index, sample in enumerate(samples):
        row, column = divmod(index, ACROSS)
        sheet.paste(Image.fromarray(sample), (column * SAMPLE_SIDE, row * SAMPLE_SIDE))
    return sheet
