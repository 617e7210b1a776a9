"""The state of a run, in one file that is replaced whole: weights, average, optimizer, position, history.

Randomness needs no saving: it follows from the recipe's seed and the position.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from training.recipe import Recipe
from worker.errors import UsageError
from worker.models.checkpoint import Network

FILE = "state.safetensors"


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
    """Replace `out/state.safetensors`; a kill at any moment leaves the old one or the new one."""
    learnt = network.state_dict()
    tensors = {f"network.{name}": tensor for name, tensor in learnt.items()}
    for name, tensor in averaged.state_dict().items():
        if not torch.equal(tensor, learnt[name]):  # what is frozen need not be kept twice
            tensors[f"averaged.{name}"] = tensor
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
    out.mkdir(parents=True, exist_ok=True)
    metadata = {
        "recipe": recipe.model_dump_json(),
        "config": network.config.model_dump_json(),
        "state": state.model_dump_json(),
    }
    partial = out / f"{FILE}.partial"
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, partial, metadata)
    partial.replace(out / FILE)


def read_state(out: Path, recipe: Recipe) -> Saved | None:
    """The run that lies in `out`, if one does. Raises UsageError when it was started with another recipe."""
    path = out / FILE
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        if Recipe.model_validate_json(metadata["recipe"]) != recipe:
            raise UsageError(f"{out} holds a run with another recipe: give another --out, or the same settings")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    return Saved(State.model_validate_json(metadata["state"]), json.loads(metadata["config"]), tensors)


def read_position(path: Path) -> State | None:
    """Where the run is whose state lies at `path`, without its tensors; None where there is none, or no whole one."""
    try:
        with safe_open(path, "pt") as file:
            return State.model_validate_json(file.metadata()["state"])
    except (OSError, SafetensorError, KeyError, TypeError, ValidationError):
        return None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
