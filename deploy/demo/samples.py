"""Free photographs to show Photochrom with: what ships inside installed packages, or a folder of the user's own."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from photochrom.worker.errors import UsageError
from photochrom.worker.formats import SUFFIXES

JPEG_QUALITY = 95
TORN_SHARE = 0.4  # of the broken file that is there

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
COLOURLESS = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
"""Pillow's modes of pictures that are gray already."""


class Sample(NamedTuple):
    """A photograph that ships inside a package, and where it comes from."""

    key: str
    title: str
    origin: str
    package: str
    path: str


SAMPLES = (
    Sample("flower.tif", "Flower", "vultilion, CC BY 2.0", "sklearn", "datasets/images/flower.jpg"),
    Sample("coffee.jpg", "Coffee", "Rachel Michetti, CC0", "skimage", "data/coffee.png"),
    Sample("chelsea.jpg", "Chelsea the cat", "Stéfan van der Walt, CC0", "skimage", "data/chelsea.png"),
    Sample("china.jpg", "Temple in China", "danielbuechele, CC BY 2.0", "sklearn", "datasets/images/china.jpg"),
    Sample("astronaut.jpg", "Eileen Collins, astronaut", "NASA, public domain", "skimage", "data/astronaut.png"),
    Sample("rocket.jpg", "Falcon 9 with DSCOVR", "SpaceX, public domain", "skimage", "data/rocket.jpg"),
    Sample(
        "grace-hopper.jpg",
        "Grace Hopper",
        "James S. Davis, US Navy, public domain",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
    ),
    Sample("camera.jpg", "At the camera", "Lav Varshney, CC0", "skimage", "data/camera.png"),
    Sample("coins.png", "Greek coins", "Brooklyn Museum, no known restrictions", "skimage", "data/coins.png"),
)


@dataclass(frozen=True)
class Photograph:
    """A file to be coloured. `colour` is the picture it was made gray from, as JPEG, where it had colours."""

    key: str
    title: str
    origin: str
    data: bytes
    colour: bytes | None = None
    broken: bool = False
    """On purpose: it is to end in quarantine."""


def samples() -> Iterator[tuple[Sample, Image.Image]]:
    """The sample photographs that are installed here, each as 8-bit RGB or gray."""
    for sample in SAMPLES:
        spec = find_spec(sample.package)
        path = Path(spec.origin).parent / sample.path if spec and spec.origin else None
        if path and path.exists():
            with Image.open(path) as picture:
                yield sample, picture.convert("L" if picture.mode in COLOURLESS else "RGB")


def sample_photographs() -> Iterator[Photograph]:
    """The samples as gray files, most of them JPEG, and one that is torn off. Raises UsageError if there are none."""
    made = [_made_gray(sample.key, sample.title, sample.origin, picture) for sample, picture in samples()]
    if not made:
        raise UsageError("no sample photographs: pip install 'photochrom[demo]', or name a folder with --photos")
    yield from made
    whole = next(photograph.data for photograph in made if photograph.key.endswith(".jpg"))
    yield Photograph("torn.jpg", "Torn file", "broken on purpose", whole[: int(len(whole) * TORN_SHARE)], broken=True)


def own_photographs(folder: Path, besides: Path) -> Iterator[Photograph]:
    """The photographs in a folder and below, colour ones made gray; hidden ones and those in `besides` left out.

    What cannot be read is given as it is: it is the workers' to judge. Raises UsageError.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (here / name).resolve() != besides.resolve()
        )
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield _own(here / name, (here / name).relative_to(folder).as_posix())


def _own(path: Path, key: str) -> Photograph:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.mode not in COLOURLESS:
                return _made_gray(key, path.stem, "", ImageOps.exif_transpose(picture).convert("RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        pass
    return Photograph(key, path.stem, "", data)


def _made_gray(key: str, title: str, origin: str, picture: Image.Image) -> Photograph:
    colour = encoded(picture, "JPEG") if picture.mode == "RGB" else None
    return Photograph(key, title, origin, encoded(picture.convert("L"), FORMATS[Path(key).suffix.lower()]), colour)


def encoded(picture: Image.Image, format: str) -> bytes:
    """The bytes of a file of this format."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **({"quality": JPEG_QUALITY} if format == "JPEG" else {}))
    return buffer.getvalue()
