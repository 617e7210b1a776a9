"""`photochrom` with a stand-in for the model: the processes of a chaos run, without torch.

All but the model is the real thing. The stand-in's chroma follows from the gray picture that it saw, so that every
result says which picture it was made of. Poison kills the process that decodes it, and a trap the worker that takes
the next job.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from tests.chaos.pictures import KILLER, chroma

TRAP = "die-taking-a-job"
"""A file in the processes' folder: the next worker that has taken a message, and not yet noted that it has, removes
the file and dies. Then the message is nowhere: only the reconciler brings its images back."""


SECONDS = "CHAOS_SECONDS_AN_IMAGE"
"""Environment variable: so long does the stand-in take."""


class Card(NamedTuple):
    """What the worker wants to know of a model."""

    name: str = "stand-in"
    sha256: str = "5" * 64


class Engine:
    """Predicts what `pictures.chroma` says, from the whole picture."""

    card = Card()
    promotion = 0

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def predict(self, gray: np.ndarray, vividness: float | None = None) -> np.ndarray:
        time.sleep(float(os.environ.get(SECONDS, "0")))
        return chroma(gray)


class Serving:
    """Serves one engine for ever."""

    def follow(self, interval: float) -> None:
        """There is nothing to follow."""


def put_stand_ins(one: Engine | None = None) -> None:
    """To be called before anything of the worker is imported; `one` is the engine of all models."""
    one = one or Engine()
    _module("photochrom.worker.models.checkpoint", Card=Card, Network=object)
    _module("photochrom.worker.inference.engine", Engine=Engine, prepare_process=lambda threads: None)
    _module("photochrom.worker.inference.served_models", engine_for=lambda model: one, serving=lambda: Serving())
    _make_poison_deadly()
    if "worker" in sys.argv[1:2]:
        _make_taking_deadly()


def _make_poison_deadly() -> None:
    from photochrom.worker.photo import read as reading

    read = reading.read

    def read_or_die(file: BinaryIO, limits: Limits, options: Options) -> reading.Photograph:
        if KILLER in file.read():
            os.kill(os.getpid(), signal.SIGKILL)
        file.seek(0)
        return read(file, limits, options)

    reading.read = read_or_die


def _make_taking_deadly() -> None:
    from kombu.transport.redis import QoS

    append = QoS.append

    def append_or_die(self: QoS, message: Any, delivery_tag: str) -> None:
        with suppress(FileNotFoundError):
            Path(TRAP).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, message, delivery_tag)

    QoS.append = append_or_die


def _module(name: str, **contents: object) -> None:
    stand_in = ModuleType(name)
    vars(stand_in).update(contents)
    sys.modules[name] = stand_in


if __name__ == "__main__":
    put_stand_ins()
    from photochrom.deploy.cli import main

    main()
