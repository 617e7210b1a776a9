"""The state of a run, in one file that is replaced whole: weights, average, optimizer, position, history.

Randomness needs no saving: it follows from the recipe's seed and the position.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from photochrom.training.recipe import Recipe
from photochrom.worker.errors import UsageError, WorkerFault
from photochrom.worker.models.checkpoint import Network
from photochrom.worker.process.exhaustion import shortages_translated

log = logging.getLogger("photochrom.training")

FILE = "state.safetensors"
PARTIAL = ".partial"

ABANDONED_SECONDS = 3600.0
"""Nobody writes at a state for that long: what is as old was left by a process that was killed."""

UNREADABLE = (OSError, SafetensorError, KeyError, TypeError, ValueError)
"""What comes of a file that is no state: cut off, without metadata, or with another's."""

SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""How safetensors, which raises no OSError, tells which one it was."""


class State(BaseModel):
    """Where a run is. `step` counts within the epoch; an epoch is over when its figures are in `history`."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, float]] = Field(default_factory=list)

    @property
    def mean_loss(self) -> float:
        return self.loss_sum / max(1, self.step)

    def add_loss(self, value: float) -> None:
        self.loss_sum += value

    def epochs_since_best(self, measure: str) -> int:
        """0 when the last epoch was the best so far by that measure, or none has ended."""
        values = [figures[measure] for figures in self.history]
        best = max(values, default=0.0) if measure == "psnr" else min(values, default=0.0)
        return len(values) - 1 - values.index(best) if values else 0

    def end_epoch(self, figures: dict[str, float]) -> None:
        """Note the figures and move on to the next epoch."""
        self.history.append(figures)
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0


class Saved(NamedTuple):
    """A state as it was read: where the run is, the network's configuration, and the tensors."""

    state: State
    config: dict[str, Any]
    tensors: dict[str, Tensor]

    def restore(self, network: Network, averaged: Network, optimizer: torch.optim.Optimizer) -> State:
        """Fill the networks and the optimizer, on whatever device they are."""
        learnt = _part(self.tensors, "network.")
        network.load_state_dict(learnt)
        averaged.load_state_dict(learnt | _part(self.tensors, "averaged."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(self.tensors, "optimizer.").items():
            index, moment = name.split(".")
            moments.setdefault(int(index), {})[moment] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        return self.state


def write_state(
    out: Path, recipe: Recipe, state: State, network: Network, averaged: Network, optimizer: torch.optim.Optimizer
) -> None:
    """Replace `out/state.safetensors`; a kill or a power cut at any moment leaves the old one or the new one.

    Several processes may do so at once; the last one wins. Raises DiskFullFault, OutOfMemoryFault, and WorkerFault for
    a folder that cannot be written.
    """
    learnt = network.state_dict()
    tensors = {f"network.{name}": tensor for name, tensor in learnt.items()}
    for name, tensor in averaged.state_dict().items():
        if not torch.equal(tensor, learnt[name]):  # what is frozen need not be kept twice
            tensors[f"averaged.{name}"] = tensor
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
    metadata = {
        "recipe": recipe.model_dump_json(),
        "config": network.config.model_dump_json(),
        "state": state.model_dump_json(),
    }
    with _faults_of(out):
        out.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        partial = Path(tempfile.mkdtemp(PARTIAL, f"{FILE}.", out))
        try:
            save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, partial / FILE, metadata)
            _sync(partial / FILE)
            (partial / FILE).replace(out / FILE)
            _sync(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def read_state(out: Path, recipe: Recipe) -> Saved | None:
    """The run that lies in `out`; None where there is none, or none that can be read.

    Raises UsageError when it was started with another recipe.
    """
    path = out / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            state, config = State.model_validate_json(metadata["state"]), json.loads(metadata["config"])
            if Recipe.model_validate_json(metadata["recipe"]) != recipe:
                raise UsageError(f"{out} holds a run with another recipe: give another --out, or the same settings")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except UNREADABLE as error:
        log.warning("the state in %s is passed over: %s", out, error, extra={"action": "state_unreadable"})
        return None
    return Saved(state, config, tensors)


def read_position(path: Path) -> State | None:
    """Where the run is whose state lies at `path`, without its tensors; None where there is none, or no whole one.

    Its `run` says whose it is.
    """
    try:
        with safe_open(path, "pt") as file:
            return State.model_validate_json(file.metadata()["state"])
    except UNREADABLE:
        return None


def _sweep(out: Path) -> None:
    """Remove what killed writers left."""
    for left in out.glob(f"{FILE}.*{PARTIAL}"):
        with suppress(FileNotFoundError):  # its writer has finished just now
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk and not only on their way to it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _faults_of(out: Path) -> Iterator[None]:
    try:
        with shortages_translated():
            try:
                yield
            except SafetensorError as error:
                number = SYSTEM_ERROR.search(str(error))
                raise OSError(int(number[1]) if number else 0, str(error)) from error
    except OSError as error:
        raise WorkerFault(f"the state cannot be written to {out}: {error.strerror}") from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
