"""One colorizer in a process of its own, which times what it is asked to: ours as a worker runs it, and its peers.

Peers' weights are not here, and the time does not depend on them: stand-ins of the same layers, or of fewer, have
random ones. Each runs as its published scripts do, float32 and unfolded, with the memory allocator as it comes.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib import image as matplotlib_image
from PIL import Image
from skimage import color
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import convnext_tiny

from photochrom.worker.coloring.colorize import colorize_file
from photochrom.worker.inference.engine import Engine, load_engine, prepare_process
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg import source
from photochrom.worker.settings import Settings
from tests.benchmarks.child import serve
from tests.benchmarks.story import MODEL, OPTIONS

Network = Callable[[Tensor], Tensor]
Ways = dict[str, Callable[[], object]]

ECCV16_SIDE, DDCOLOR_SIDE = 256, 512
"""Sides of their networks' input, by default."""

ECCV16_BLOCKS = (
    ((64, 1, 1), (64, 2, 1)),
    ((128, 1, 1), (128, 2, 1)),
    ((256, 1, 1), (256, 1, 1), (256, 2, 1)),
    ((512, 1, 1),) * 3,
    ((512, 1, 2),) * 3,
    ((512, 1, 2),) * 3,
    ((512, 1, 1),) * 3,
)
"""Channels, stride and dilation of the 3 x 3 convolutions, each block with batch norm behind it: Zhang, Isola and
Efros, Colorful Image Colorization, 2016, as published in PyTorch."""

ECCV16_BINS = 313


def ours(data: bytes) -> Ways:
    """The whole story, the network alone, and the story with chroma that is there."""
    prepare_process(threads=1)
    engine, settings = load_engine(MODEL), Settings()
    opened = source.read(data, Limits())
    gray = opened.gray(*engine.input_size(*opened.upright_size))
    known = _Known(engine, engine.predict(gray))
    return {
        "whole": lambda: colorize_file(io.BytesIO(data), engine, settings, OPTIONS),
        "network": lambda: engine.predict(gray),
        "codec": lambda: colorize_file(io.BytesIO(data), known, settings, OPTIONS),
    }


def eccv16(data: bytes) -> Ways:
    """The same, and the whole as published: saved as PNG, by matplotlib."""
    network = Eccv16().eval()
    light = torch.rand(1, 1, ECCV16_SIDE, ECCV16_SIDE) * 100
    ab = inferred(network, light)
    return {
        "whole": lambda: saved_as_jpeg(eccv16_story(data, network)),
        "network": lambda: inferred(network, light),
        "codec": lambda: saved_as_jpeg(eccv16_story(data, lambda _: ab)),
        "published": lambda: saved_by_matplotlib(eccv16_story(data, network)),
    }


def ddcolor(data: bytes) -> Ways:
    """The same; what is published saves whatever the file's name says."""
    network = ddcolor_encoder()
    picture = torch.rand(1, 3, DDCOLOR_SIDE, DDCOLOR_SIDE)
    features = inferred(network, picture)
    return {
        "whole": lambda: ddcolor_story(data, network),
        "network": lambda: inferred(network, picture),
        "codec": lambda: ddcolor_story(data, lambda _: features),
    }


class _Known:
    """An engine's place, with chroma that was predicted before."""

    def __init__(self, engine: Engine, chroma: np.ndarray) -> None:
        self.card, self.promotion, self.input_size = engine.card, engine.promotion, engine.input_size
        self._chroma = chroma

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        return self._chroma


def inferred(network: Network, value: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(value)


class Eccv16(nn.Module):
    """L float32 (1, 1, h, w) in 0..100 to ab (1, 2, h, w), by the published layers."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for block in ECCV16_BLOCKS:
            for channels, stride, dilation in block:
                layers += [nn.Conv2d(inputs, channels, 3, stride, dilation, dilation), nn.ReLU(True)]
                inputs = channels
            layers.append(nn.BatchNorm2d(inputs))
        layers += [nn.ConvTranspose2d(inputs, 256, 4, 2, 1), nn.ReLU(True)]
        for _ in range(2):
            layers += [nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(True)]
        layers += [nn.Conv2d(256, ECCV16_BINS, 1), nn.Softmax(1), nn.Conv2d(ECCV16_BINS, 2, 1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Upsample(scale_factor=4, mode="bilinear"))

    def forward(self, light: Tensor) -> Tensor:
        return self.layers((light - 50) / 100) * 110


def eccv16_story(data: bytes, network: Network) -> np.ndarray:
    """Full decode, Lab of scikit-image at full and at small size, ab bilinear to full size, and back.

    Gives RGB float32 (h, w, 3) in 0..1.
    """
    decoded = Image.open(io.BytesIO(data)).convert("RGB")
    small = decoded.resize((ECCV16_SIDE, ECCV16_SIDE), Image.Resampling.BICUBIC)
    light, small_light = (
        torch.from_numpy(color.rgb2lab(np.asarray(picture))[None, None, :, :, 0]).float()
        for picture in (decoded, small)
    )
    ab = functional.interpolate(inferred(network, small_light), size=light.shape[2:], mode="bilinear")
    lab = torch.cat((light, ab), dim=1).numpy()[0].transpose(1, 2, 0)
    return color.lab2rgb(lab)


def saved_as_jpeg(rgb: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray((255 * rgb).astype(np.uint8)).save(encoded, "JPEG", quality=95)
    return encoded.getvalue()


def saved_by_matplotlib(rgb: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    matplotlib_image.imsave(encoded, rgb, format="png")
    return encoded.getvalue()


def ddcolor_encoder() -> nn.Module:
    """RGB float32 (1, 3, h, w) in 0..1 to features (1, 768, h / 32, w / 32)."""
    return convnext_tiny(weights=None).features.eval()


def ddcolor_story(data: bytes, network: Network) -> bytes:
    """Full decode, float32 Lab of OpenCV at full and at small size, ab to full size, back, saved."""
    bgr = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) / 255.0).astype(np.float32)
    light = cv2.cvtColor(bgr, cv2.COLOR_BGR2Lab)[:, :, :1]
    small = cv2.cvtColor(cv2.resize(bgr, (DDCOLOR_SIDE, DDCOLOR_SIDE)), cv2.COLOR_BGR2Lab)[:, :, :1]
    gray = cv2.cvtColor(np.concatenate((small, np.zeros_like(small), np.zeros_like(small)), -1), cv2.COLOR_LAB2RGB)
    features = inferred(network, torch.from_numpy(gray.transpose(2, 0, 1)).float()[None])
    small_ab = functional.interpolate(features[:, :2], size=(DDCOLOR_SIDE, DDCOLOR_SIDE))  # as the decoder gives it
    ab = functional.interpolate(small_ab, size=bgr.shape[:2])[0].numpy().transpose(1, 2, 0)
    joined = cv2.cvtColor(np.concatenate((light, ab), -1), cv2.COLOR_LAB2BGR)
    pixels = (joined * 255.0).round().clip(0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def main(name: str, photograph: Path) -> None:
    """What the child does: it answers a way's name by the seconds that it took."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    ways = {"ours": ours, "eccv16": eccv16, "ddcolor": ddcolor}[name](photograph.read_bytes())

    def answer(way: str) -> str:
        begun = time.perf_counter()
        ways[way]()
        return repr(time.perf_counter() - begun)

    serve(answer)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
