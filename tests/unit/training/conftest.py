"""Small colour photographs, generated: every one different, every one colourful enough to learn from."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from photochrom.training.data.cache import Cache
from photochrom.training.data.photographs import collect
from photochrom.training.data.readable import Encoded
from photochrom.worker.settings import settings as settings_of_process


@pytest.fixture(autouse=True)
def training_folder(no_settings, monkeypatch, tmp_path_factory):
    """Nothing of these tests lands in the folder of whoever runs them."""
    folder = tmp_path_factory.getbasetemp() / "training"
    monkeypatch.setenv("PHOTOCHROM_TRAINING_FOLDER", str(folder))
    settings_of_process.cache_clear()
    return folder


@pytest.fixture(autouse=True)
def drawn_anew():
    """What a test draws with torch does not depend on the tests before it, which differ with the processes."""
    torch.manual_seed(0)


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "cache") as cache:
        yield cache


def colourful_picture(index, width=72, height=64):
    """Two soft colours that run into each other, with grain that makes every file differ."""
    random = np.random.default_rng(index)
    corners = random.integers(20, 235, (2, 2, 3), dtype=np.uint8)
    corners[0, 0] = (220, 60, 40) if index % 2 else (30, 80, 210)
    image = np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC), dtype=int)
    return Image.fromarray(np.clip(image + random.integers(-6, 7, image.shape), 0, 255).astype(np.uint8))


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def picture():
    """Makes the colourful picture of a number."""
    return colourful_picture


@pytest.fixture(scope="session")
def encode():
    """Turns a picture into the bytes of a file."""
    return encoded


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Thirty colourful photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    for index in range(30):
        (folder / f"{index:02d}.png").write_bytes(encoded(colourful_picture(index)))
    return folder


@pytest.fixture(scope="session")
def photographs(folder, tmp_path_factory):
    with Cache(tmp_path_factory.mktemp("cache")) as cache:
        yield collect(str(folder), 0.3, cache)


@pytest.fixture(scope="session")
def plain_photographs():
    """Twelve photographs, each of one colour by which it can be told from the others."""
    return [
        Encoded(f"{red}.png", encoded(Image.new("RGB", (64, 64), (red, 90, 250 - red)))) for red in range(0, 240, 20)
    ]
