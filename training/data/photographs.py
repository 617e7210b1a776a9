"""The photographs to learn from: read, judged once, split, and cut into batches.

Everything random follows from (seed, epoch, position), so that a resumed run sees the same pictures in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from photochrom.training.data.ageing import aged
from photochrom.training.data.cache import Cache
from photochrom.training.data.collection import Collection, open_collection
from photochrom.training.data.manifest import Manifest, freeze
from photochrom.training.data.prepare import prepare
from photochrom.training.data.readable import Readable
from photochrom.training.data.source import list_source, store_of
from photochrom.worker.settings import settings

VALIDATION_SHARE = 0.04
"""As in the recipes."""
AHEAD = 3
"""Batches prepared while one is in use."""
BORDER = 0.03
"""Scanned stock photographs carry a dark frame; crops keep this share of each side away from the edge."""


def collect(source: str, validation_share: float = VALIDATION_SHARE, cache: Cache | None = None) -> Collection:
    """Read every photograph under `source`, a folder or an `s3://bucket/prefix`, as far as the cache does not know it.

    Without `cache`, that of the settings' folder is used, and stays open. Left out, and counted by reason: what cannot
    be read, what is smaller than 64 pixels, what has next to no colour, and second copies. The side of a photograph is
    decided by the SHA-256 of its bytes: it is the same in every run.

    Raises UsageError for no folder, and when nothing is left to train on; RetryableError and WorkerFault as S3 does.
    """
    cache = cache or Cache(settings().training_folder)
    return open_collection(gather(source, cache, validation_share), cache)


def gather(
    source: str,
    cache: Cache,
    validation_share: float = VALIDATION_SHARE,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """What `collect` finds, frozen. `tell` hears how many photographs are read, of how many. Raises as `collect`."""
    store = store_of(source)
    cache.forget_unfetched()
    listing = list_source(source, store)
    prepare(source, listing, cache, store, tell=tell)
    return freeze(source, listing, cache, validation_share)


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
    photographs: Sequence[Readable],
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


def validation_batches(photographs: Sequence[Readable], side: int, size: int) -> Iterator[Batch]:
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


def _crop(photograph: Readable, side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random square as (luma (s, s), rgb (s, s, 3)) float32: zoomed, flipped, its luma as from a tired old film."""
    image = photograph.rgb()
    margin = BORDER * min(image.size)
    span = (min(image.size) - 2 * margin) * random.uniform(0.55, 1.0)
    left = random.uniform(margin, image.width - margin - span)
    top = random.uniform(margin, image.height - margin - span)
    image = image.resize((side, side), Image.Resampling.BICUBIC, (left, top, left + span, top + span), reducing_gap=2)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return aged(image.convert("L"), random), np.asarray(image, dtype=np.float32) / 255


def _stack(samples: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
    luma, rgb = zip(*samples, strict=True)
    return Batch(np.stack(luma)[:, None], np.ascontiguousarray(np.stack(rgb).transpose(0, 3, 1, 2)))
