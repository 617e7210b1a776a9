"""Photographs to learn from, as the training loop asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from photochrom.training.data.cache import Cache
from photochrom.training.data.manifest import Entry, Manifest, NotPreparedError, Side
from photochrom.training.data.readable import Readable
from photochrom.training.data.source import identity
from photochrom.worker.errors import UsageError
from photochrom.worker.s3.store import Listed


@dataclass(frozen=True)
class CachedPhotograph:
    """One photograph of which only the name is in memory."""

    name: str
    sha256: str
    cache: Cache

    def rgb(self) -> Image.Image:
        """At working size, from the cache, which has to be open. Raises UsageError where it lost the photograph."""
        return Image.fromarray(self.cache.pixels(self.sha256))


@dataclass
class Collection:
    """Photographs fit to learn from, in two parts that never mix, and what was left out."""

    source: str
    training: Sequence[Readable] = ()
    validation: Sequence[Readable] = ()
    left_out: Counter[str] = field(default_factory=Counter)
    mean_chroma: tuple[float, float] = (0.0, 0.0)


def open_collection(manifest: Manifest, cache: Cache) -> Collection:
    """The photographs of a manifest, read from the cache when their pixels are asked for; it has to stay open.

    Each is told by the SHA-256 of its bytes. Raises NotPreparedError where the cache lacks one and does not know it as
    it was listed: `prepare` with the manifest's own listing fetches it. Raises UsageError where it is another one now,
    or was not to be had.
    """
    held = cache.holds(entry.sha256 for entry in manifest.entries)
    for entry, there in zip(manifest.entries, held, strict=True):
        if not there:
            raise _lacking(entry, manifest.source, cache)

    def part(side: Side) -> list[CachedPhotograph]:
        return [CachedPhotograph(entry.key, entry.sha256, cache) for entry in manifest.of(side)]

    left_out = Counter(manifest.left_out)
    return Collection(manifest.source, part("training"), part("validation"), left_out, manifest.mean_chroma)


def _lacking(entry: Entry, source: str, cache: Cache) -> UsageError:
    now = cache.record(identity(source, Listed(entry.key, entry.etag, entry.size)))
    cache.forget_unfetched()  # whoever tries again looks again
    what = f"{entry.key} of {source} is not in the cache as it was frozen"
    if now is None:
        return NotPreparedError(f"{what}: prepare the photographs again")
    return UsageError(f"{what}: {now.reason or 'it is another photograph now'}")
