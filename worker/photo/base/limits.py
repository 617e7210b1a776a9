"""What a file may claim before anything of it is decoded."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from photochrom.worker.errors import ImageFault


class LimitSettings(Protocol):
    """What `Settings` has of limits."""

    @property
    def max_pixels(self) -> int: ...
    @property
    def max_pages(self) -> int: ...
    @property
    def max_segments(self) -> int: ...


class Limits(NamedTuple):
    """Most pixels of a page, pages of a file, and segments, chunks or tags of its structure."""

    pixels: int = 300_000_000
    pages: int = 1000
    segments: int = 100_000

    @classmethod
    def of(cls, settings: LimitSettings) -> Limits:
        """As a worker is set."""
        return cls(settings.max_pixels, settings.max_pages, settings.max_segments)

    def check_size(self, width: int, height: int) -> None:
        """Raises ImageFault ("too-many-pixels", or "damaged" for a picture without any)."""
        if width < 1 or height < 1:
            raise ImageFault("damaged", f"a picture of {width} x {height} pixels")
        if width * height > self.pixels:
            raise ImageFault("too-many-pixels", f"{width} x {height} pixels are more than the limit of {self.pixels:,}")

    def check_pages(self, pages: int) -> None:
        """Raises ImageFault ("too-many-pages")."""
        if pages > self.pages:
            raise ImageFault("too-many-pages", f"{pages:,} pages are more than the limit of {self.pages:,}")

    def check_segments(self, segments: int) -> None:
        """Raises ImageFault ("too-many-segments")."""
        if segments > self.segments:
            raise ImageFault("too-many-segments", f"{segments:,} segments are more than the limit of {self.segments:,}")
