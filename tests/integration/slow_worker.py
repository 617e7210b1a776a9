"""`photochrom` with a stand-in for the model that works for as long as there is a file `hang` in its folder."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tests.chaos.worker import Engine, put_stand_ins

HANG = "hang"

HANGING = "hanging"
"""Made when a picture is in hand."""


class Slow(Engine):
    """Like the chaos runs' stand-in, when there is nothing to wait for."""

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        while Path(HANG).exists():
            Path(HANGING).touch()
            time.sleep(0.05)
        return super().predict(gray, vividness)


if __name__ == "__main__":
    put_stand_ins(Slow())
    from photochrom.deploy.cli import main

    main()
