"""An engine that needs no network, so that what happens around it is tested in milliseconds, and in processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from photochrom.deploy import cli
from photochrom.worker.cli.local import command
from photochrom.worker.cli.local.attempt import Request
from photochrom.worker.cli.local.processes import NewPool, begin, processes
from photochrom.worker.settings import Settings


class StandInEngine:
    """The same chroma everywhere, from a gray copy of at most 8 x 8."""

    promotion = 0
    blue, red = 0.1, -0.05

    def __init__(self, sha256: str = "5" * 64) -> None:
        self.card = SimpleNamespace(name="stand-in", sha256=sha256)
        self.seen: list[np.ndarray] = []

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        return min(height, 8), min(width, 8)

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        self.seen.append(gray)
        return np.stack([np.full(gray.shape, self.blue), np.full(gray.shape, self.red)]).astype(np.float32)


def in_this_process(request: Request, settings: Settings, weights: Path) -> NewPool:
    """Executors for `colorize_files` whose work is done here."""
    begin(request, settings, partial(StandInEngine, request.model_sha256))
    return ThreadPoolExecutor


def in_processes(request: Request, settings: Settings, weights: Path) -> NewPool:
    """Executors as the command has them."""
    return processes(request, settings, partial(StandInEngine, request.model_sha256))


if __name__ == "__main__":  # python -m tests.stand_in colorize ...: the command with this engine
    command.colorize_files = partial(command.colorize_files, pools=in_processes)
    cli.main()
