"""Images a second for a 12 MP gray JPEG: spliced, against the ordinary way of decode, join at full size, encode.

Both sides use the same engine, in one process with one thread, by turns. `python -m tests.benchmarks.jpeg --help`.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from tests.benchmarks.machine import describe
from worker.colorize import colorize_file, compose, predict
from worker.engine import Engine, prepare_process
from worker.local import load_engine
from worker.models.color import G_FROM_U, G_FROM_V, U_SCALE, V_SCALE
from worker.photo.jpeg import metadata, source
from worker.photo.jpeg.splice import splice
from worker.photo.limits import Limits
from worker.photo.options import Options
from worker.photo.xmp import Statement
from worker.settings import Settings

STATEMENT = Statement("benchmark", "0" * 64, "0" * 64, "spliced")
OPTIONS = Options()


def gray_jpeg(megapixels: float) -> bytes:
    """A gray JPEG, 4 : 3, of large shapes with film grain on them, at quality 90."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    rng = np.random.default_rng(0)
    shapes = Image.fromarray(rng.integers(20, 236, (12, 16), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 5, (height, width)).astype(np.float32)
    encoded = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def ordinary_join(luma: np.ndarray, chroma: np.ndarray) -> bytes:
    """Chroma brought to full size in float32, joined, clipped, encoded at quality 95."""
    height, width = luma.shape
    u, v = (
        255 * cv2.resize(np.ascontiguousarray(plane), (width, height), interpolation=cv2.INTER_CUBIC)
        for plane in chroma
    )
    y = luma.astype(np.float32)
    rgb = np.dstack([y + V_SCALE * v, y + G_FROM_U * u + G_FROM_V * v, y + U_SCALE * u])
    encoded = io.BytesIO()
    Image.fromarray(np.clip(rgb + 0.5, 0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=95)
    return encoded.getvalue()


def decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def shrink(luma: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(luma).resize(size[::-1], Image.Resampling.BICUBIC))


def ways(data: bytes, engine: Engine) -> dict[str, Callable[[], object]]:
    """What is timed. A codec part is all but the network, on chroma that was predicted before."""
    settings = Settings()
    opened = source.read(data, Limits())
    size = engine.input_size(*opened.upright_size)
    chroma = predict(opened, engine)
    gray = opened.gray(*size)

    def spliced_codec() -> bytes:
        jpeg = source.read(data, Limits())
        jpeg.gray(*size)
        planes = np.asarray(compose(jpeg, chroma))
        changes = metadata.changes(jpeg.segments, STATEMENT)
        return splice(jpeg, planes, changes, OPTIONS.chroma_quality, keep_original=True)

    def ordinary_codec() -> bytes:
        luma = decode(data)
        shrink(luma, size)
        return ordinary_join(luma, chroma)

    def ordinary() -> bytes:
        luma = decode(data)
        return ordinary_join(luma, engine.predict(shrink(luma, size)))

    return {
        "story, spliced": lambda: colorize_file(io.BytesIO(data), engine, settings, OPTIONS),
        "story, ordinary way": ordinary,
        "codec, spliced": spliced_codec,
        "codec, ordinary way": ordinary_codec,
        "network": lambda: engine.predict(gray),
    }


def medians(ways: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median seconds of each way, measured by turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(measured[1:]) for name, measured in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--model", default="vgg16-yuv")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    wanted = parser.parse_args()
    prepare_process(threads=1)
    cv2.setNumThreads(1)
    data = gray_jpeg(wanted.megapixels)
    found = medians(ways(data, load_engine(wanted.model)), wanted.repetitions)
    ratios = {part: found[f"{part}, ordinary way"] / found[f"{part}, spliced"] for part in ("story", "codec")}
    table = Table(
        "way",
        "ms",
        "images/s",
        "times the ordinary",
        title=f"{wanted.megapixels:g} MP gray JPEG of {len(data):,} bytes",
    )
    for name, seconds in found.items():
        part, _, way = name.partition(", ")
        table.add_row(
            name, f"{seconds * 1e3:.1f}", f"{1 / seconds:.1f}", f"{ratios[part]:.2f}" if way == "spliced" else ""
        )
    Console().print(table)
    Console().print(describe())
    if wanted.json:
        figures = {"machine": describe(), "seconds": found, "ratios": ratios}
        Path(wanted.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
