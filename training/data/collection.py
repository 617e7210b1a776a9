"""Photographs to learn from, as the training loop asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from training.data.cache import Cache
from training.data.manifest import Manifest, Side
from training.data.readable import Readable
from training.data.source import identity
from worker.errors import UsageError


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

    Each is told by the SHA-256 of its bytes. Raises UsageError where the cache lacks one: `prepare` with the
    manifest's own listing fetches it, as long as it lies where it lay and is what it was.
    """
    for entry, listed in zip(manifest.entries, manifest.listing(), strict=True):
        found = cache.photograph(entry.sha256)
        if found is None or found.traits is None:
            now = cache.record(identity(manifest.source, listed))
            cache.forget_unfetched()  # whoever tries again looks again
            why = "prepare the photographs again" if now is None else now.reason or "it is another photograph now"
            raise UsageError(f"{entry.key} of {manifest.source} is not in the cache as it was frozen: {why}")

    def part(side: Side) -> list[CachedPhotograph]:
        return [CachedPhotograph(entry.key, entry.sha256, cache) for entry in manifest.of(side)]

    left_out = Counter(manifest.left_out)
    return Collection(manifest.source, part("training"), part("validation"), left_out, manifest.mean_chroma)
