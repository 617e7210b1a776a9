"""A gray JPEG spliced, against the ordinary way of decode, join at full size, encode; and against its own bound.

The bound is the network alone and the codec alone, one after the other: what is left to the story is reading, hashing,
counting and passing on. All of it in one process with one thread and the same engine, by turns.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from photochrom.deploy.bench.bounds import BareParts
from photochrom.deploy.bench.photographs import gray_jpeg
from photochrom.worker.coloring.colorize import colorize_file
from photochrom.worker.inference.engine import Engine, load_engine, prepare_process
from photochrom.worker.photo.base.colorspace import G_FROM_U, G_FROM_V, U_SCALE, V_SCALE
from photochrom.worker.photo.base.options import Options
from photochrom.worker.settings import Settings
from tests.benchmarks.figures import Figure, Plan, Section, at_least, median_seconds

MODEL = "vgg16-yuv"
SIZES, SHORT_SIZES = (1, 12), (0.3, 1)
"""Megapixels; the last is the one that the ordinary way is compared at."""

OPTIONS = Options()


def measure(plan: Plan) -> Section:
    prepare_process(threads=1)
    cv2.setNumThreads(1)
    engine = load_engine(MODEL)
    figures: list[Figure] = []
    sizes = plan.of(SIZES, SHORT_SIZES)
    for size in sizes:
        found = median_seconds(ways(gray_jpeg(size), engine), plan.of(3 * plan.repetitions, 1))
        figures += figures_of(size, found, compared=size == sizes[-1])
    return Section("A gray JPEG on local files, one thread", tuple(figures))


def figures_of(size: float, seconds: dict[str, float], compared: bool) -> list[Figure]:
    """Milliseconds of each way, the share of the bound that the story reaches, and the times of the ordinary way."""
    figures = [
        Figure(f"{size:g}mp_{_key(name)}_ms", f"{size:g} MP: {name}", 1e3 * s, "ms") for name, s in seconds.items()
    ]
    reached = (seconds["network"] + seconds["codec, spliced"]) / seconds["story, spliced"]
    figures.append(Figure(f"{size:g}mp_of_bound", f"{size:g} MP: story, of its bound", reached, "", at_least(0.95)))
    for part, least in (("story", 2.3), ("codec", 4.0)):
        times = seconds[f"{part}, ordinary way"] / seconds[f"{part}, spliced"]
        what = f"{size:g} MP: {part}, of the ordinary way's images/s"
        figures.append(Figure(f"{size:g}mp_{part}_times", what, times, "times", at_least(least) if compared else None))
    return figures


def _key(name: str) -> str:
    return name.replace(", ", "_").replace(" ", "_")


def ways(data: bytes, engine: Engine) -> dict[str, Callable[[], object]]:
    """What is timed. A codec part is all but the network, on chroma that was predicted before."""
    settings = Settings()
    bare = BareParts(data, engine, OPTIONS)
    [gray], [chroma] = bare.grays, bare.chroma
    size = gray.shape

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
        "codec, spliced": bare.codec,
        "codec, ordinary way": ordinary_codec,
        "network": bare.network,
    }


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
