"""The photographs to learn from: found in a folder or under an S3 prefix, judged once, split, and cut into batches.

Everything random follows from (seed, epoch, position), so that a resumed run sees the same pictures in the same order.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from training.metrics import colourfulness
from worker.errors import UsageError
from worker.models import color

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
SMALLEST_SIDE = 64
LEAST_COLOURFUL = 6.0
"""Below this a photograph is as good as gray and teaches only gray."""
JUDGED_SIDE = 64
"""Colourfulness and mean chroma are taken from a copy of about this size."""
AHEAD = 3
"""Batches prepared while one is in use."""
BORDER = 0.03
"""Scanned stock photographs carry a dark frame; crops keep this share of each side away from the edge."""


@dataclass(frozen=True)
class Photograph:
    """One encoded photograph, kept in memory as it was found."""

    name: str
    data: bytes

    def rgb(self) -> Image.Image:
        return Image.open(io.BytesIO(self.data)).convert("RGB")


@dataclass
class Collection:
    """Photographs fit to learn from, in two parts that never mix, and what was left out."""

    source: str
    training: list[Photograph] = field(default_factory=list)
    validation: list[Photograph] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    mean_chroma: tuple[float, float] = (0.0, 0.0)


def collect(source: str, validation_share: float = 0.04) -> Collection:
    """Read every photograph under `source`, a folder or an `s3://bucket/prefix`.

    Left out, and counted by reason: what cannot be read, what is smaller than 64 pixels, what has next to no colour,
    and second copies. The side of a photograph is decided by the SHA-256 of its bytes: it is the same in every run.

    Raises UsageError when nothing is left to train on.
    """
    collection = Collection(source)
    seen: set[str] = set()
    chroma = np.zeros(2)
    with ThreadPoolExecutor(2) as pool:
        for photograph, digest, judged in pool.map(_judge, found(source)):
            reason = "copy" if digest in seen else judged if isinstance(judged, str) else None
            seen.add(digest)
            if reason or isinstance(judged, str):
                collection.left_out[str(reason)] += 1
                continue
            if int(digest[:8], 16) < validation_share * 2**32:
                collection.validation.append(photograph)
            else:
                collection.training.append(photograph)
                chroma += judged
    if not collection.training or not collection.validation:
        raise UsageError(f"not enough photographs to train on under {source} (left out: {dict(collection.left_out)})")
    u, v = chroma / len(collection.training)
    collection.mean_chroma = (round(float(u), 5), round(float(v), 5))
    return collection


def found(source: str) -> Iterable[Photograph]:
    """Every photograph under a folder or an `s3://bucket/prefix`, as it lies there. Raises UsageError for no folder."""
    if source.startswith("s3://"):
        from worker.settings import settings
        from worker.store import Location, Store

        store, location = Store(settings()), Location.parse(source)
        for listed in store.list(location.folder()):
            if listed.key.lower().endswith(SUFFIXES):
                yield Photograph(listed.key, store.get(location.bucket, listed.key).data)
        return
    folder = Path(source)
    if not folder.is_dir():
        raise UsageError(f"{source} is not a folder")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield Photograph(str(path.relative_to(folder)), path.read_bytes())


def _judge(photograph: Photograph) -> tuple[Photograph, str, np.ndarray | str]:
    """The photograph, its SHA-256, and its mean chroma (2,) or the reason why it is of no use."""
    digest = hashlib.sha256(photograph.data).hexdigest()
    try:
        image = Image.open(io.BytesIO(photograph.data))
        if min(image.size) < SMALLEST_SIDE:
            return photograph, digest, "too small"
        image.draft("RGB", (JUDGED_SIDE, JUDGED_SIDE))
        small = image.convert("RGB")
        small.thumbnail((2 * JUDGED_SIDE, 2 * JUDGED_SIDE))
    except Exception as error:  # any decoder error means the same here
        return photograph, digest, f"unreadable ({type(error).__name__})"
    rgb = np.asarray(small)
    if colourfulness(rgb) < LEAST_COLOURFUL:
        return photograph, digest, "next to no colour"
    return photograph, digest, color.chroma_of(rgb).mean(axis=(1, 2))


def center_square(image: Image.Image, side: int) -> np.ndarray:
    """The centre square of the short side, at side x side, as RGB uint8."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    box = (left, top, left + short, top + short)
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS, box))


@dataclass(frozen=True)
class Batch:
    """`luma` (n, 1, s, s), as the network sees it, and the truth `rgb` (n, 3, s, s), both float32 in 0..1."""

    luma: np.ndarray
    rgb: np.ndarray


def training_batches(
    photographs: list[Photograph],
    sides: tuple[int, ...],
    size: int,
    count: int,
    seed: int,
    epoch: int,
    first: int = 0,
) -> Iterator[Batch]:
    """Batches first..count of random crops, the next ones prepared while one is in use; one side length per batch."""
    order = _order(len(photographs), size * count, seed, epoch)

    def batch(index: int) -> Batch:
        side = sides[np.random.default_rng((seed, epoch, index)).integers(len(sides))]
        places = range(index * size, (index + 1) * size)
        return _stack([_crop(photographs[order[p]], side, np.random.default_rng((seed, epoch, 1, p))) for p in places])

    with ThreadPoolExecutor(1) as pool:
        ahead = deque(pool.submit(batch, index) for index in range(first, min(first + AHEAD, count)))
        for index in range(first + AHEAD, count + AHEAD):
            if index < count:
                ahead.append(pool.submit(batch, index))
            if ahead:
                yield ahead.popleft().result()


def validation_batches(photographs: list[Photograph], side: int, size: int) -> Iterator[Batch]:
    """Centre squares of all photographs, in order, with their own luma."""
    for start in range(0, len(photographs), size):
        squares = [center_square(photograph.rgb(), side) for photograph in photographs[start : start + size]]
        grays = [np.asarray(Image.fromarray(rgb).convert("L")) for rgb in squares]
        pairs = zip(grays, squares, strict=True)
        yield _stack([(gray / np.float32(255), rgb / np.float32(255)) for gray, rgb in pairs])


def _order(photographs: int, wanted: int, seed: int, epoch: int) -> np.ndarray:
    """`wanted` indices: whole shuffles of the collection, continued from where the epoch before stopped."""
    start = epoch * wanted
    first, last = start // photographs, (start + wanted - 1) // photographs
    shuffles = [np.random.default_rng((seed, 2, k)).permutation(photographs) for k in range(first, last + 1)]
    offset = start - first * photographs
    return np.concatenate(shuffles)[offset : offset + wanted]


def _crop(photograph: Photograph, side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random square as (luma (s, s), rgb (s, s, 3)) float32: zoomed, flipped, its luma as from a tired old film."""
    image = photograph.rgb()
    margin = BORDER * min(image.size)
    span = (min(image.size) - 2 * margin) * random.uniform(0.55, 1.0)
    left = random.uniform(margin, image.width - margin - span)
    top = random.uniform(margin, image.height - margin - span)
    image = image.resize((side, side), Image.Resampling.BICUBIC, (left, top, left + span, top + span), reducing_gap=2)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _aged(image.convert("L"), random), np.asarray(image, dtype=np.float32) / 255


def _aged(gray: Image.Image, random: np.random.Generator) -> np.ndarray:
    """Luma (h, w) float32 in 0..1 of an 8-bit gray picture, with mild changes of sharpness, tone and grain."""
    if random.random() < 0.2:
        gray = gray.filter(ImageFilter.BoxBlur(random.uniform(0.3, 1.2)))
    luma = (np.asarray(gray, dtype=np.float32) / 255) ** random.uniform(0.75, 1.35)
    low, high = random.uniform(0, 0.06), random.uniform(0.92, 1)
    luma = low + (high - low) * luma
    if random.random() < 0.3:
        luma = luma + random.normal(0, random.uniform(0.005, 0.03), luma.shape)
    return np.clip(luma, 0, 1).astype(np.float32)


def _stack(samples: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
    luma, rgb = zip(*samples, strict=True)
    return Batch(np.stack(luma)[:, None], np.ascontiguousarray(np.stack(rgb).transpose(0, 3, 1, 2)))
