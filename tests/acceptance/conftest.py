"""A whole Photochrom for each test: real servers, a real control process; tests start the workers."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from photochrom.deploy.stack.stack import Stack
from photochrom.worker.s3.store import Store
from photochrom.worker.settings import Settings

SOURCE, DESTINATION = "s3://archive/scans", "s3://coloured/scans"


@pytest.fixture
def stack() -> Iterator[Stack]:
    # the small model: these tests are about the way of the images, not about their colours
    environment = {"PHOTOCHROM_MODEL": "autoencoder", "PHOTOCHROM_CONTROL_INTERVAL": "0.2"}
    with Stack(read=["s3://archive/"], write=["s3://coloured/"], workers=0, environment=environment) as running:
        yield running


@pytest.fixture
def settings(stack: Stack) -> Iterator[Settings]:
    with stack.exported() as settings:
        yield settings


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings)


def gray_jpeg(seed: int, height: int = 96, width: int = 128) -> bytes:
    """A gray photograph of its own: smooth blobs, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and then holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    pixels = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + pixels + chunk(b"IEND", b"")
