"""How a result is to be made: everything that decides its bytes beside the photograph and the model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from photochrom.worker.formats import COMPOSITE, Format, JpegProfile


class OptionSettings(Protocol):
    """What `Settings` has of options."""

    @property
    def jpeg_profile(self) -> JpegProfile: ...
    @property
    def jpeg_quality(self) -> int: ...
    @property
    def chroma_quality(self) -> int: ...
    @property
    def digital_source_type(self) -> str: ...


@dataclass(frozen=True)
class Options:
    """`format` None is the source's own. `jpeg_quality` is for what is encoded anew, `chroma_quality` for splicing."""

    format: Format | None = None
    jpeg: JpegProfile = "archive"
    jpeg_quality: int = 95
    chroma_quality: int = 90
    digital_source_type: str = COMPOSITE

    @classmethod
    def of(cls, settings: OptionSettings, format: Format | None, jpeg: JpegProfile | None) -> Options:
        """What is asked for, and otherwise what is set."""
        return cls(
            format,
            jpeg or settings.jpeg_profile,
            settings.jpeg_quality,
            settings.chroma_quality,
            settings.digital_source_type,
        )

    def identity(self) -> str:
        """As JSON on one line: what decides a result beside its source and its model."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    def with_format(self, format: Format | None) -> Options:
        """The same with a format, where none is asked for."""
        return self if self.format else replace(self, format=format)
