"""`photochrom` with a stand-in for the model that takes its time, so that several pictures are in hand at once."""

from __future__ import annotations

import time

import numpy as np

from tests.chaos.worker import Engine, put_stand_ins

SECONDS = 0.3


class Late(Engine):
    """Like the chaos runs' stand-in, a little later."""

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        time.sleep(SECONDS)
        return super().predict(gray, vividness)


if __name__ == "__main__":
    put_stand_ins(Late())
    from photochrom.deploy.cli import main

    main()
