"""What the encoder gives does not depend on where it writes."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from photochrom.worker.photo.jpeg.encode import encoded


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (400, 600), (400, 600, 3)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True, "quality": 95}])
def test_the_bytes_are_those_of_a_file_in_memory(rng, shape, options):
    image = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    assert encoded(image, **options) == file.getvalue()


def test_it_writes_to_a_descriptor_for_which_other_threads_need_not_wait():
    class Image:
        def save(self, file, kind, **options):
            os.write(file.fileno(), f"{kind} {options}".encode())

    assert encoded(Image(), quality=3) == b"JPEG {'quality': 3}"


def test_the_file_is_closed_whatever_the_encoder_says():
    class Image:
        def save(self, file, kind, **options):
            self.file = file
            raise OSError("cannot write mode RGBA as JPEG")

    image = Image()
    with pytest.raises(OSError, match="mode"):
        encoded(image)
    assert image.file.closed
