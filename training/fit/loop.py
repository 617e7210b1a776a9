"""The training loop: `train` reads from top to bottom; what stands below it are its steps."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from photochrom.training import metrics, pictures
from photochrom.training.data.collection import Collection
from photochrom.training.data.photographs import Batch, training_batches, validation_batches
from photochrom.training.data.readable import Readable
from photochrom.training.fit import losses
from photochrom.training.fit.checks import check_finite, check_photographs, check_sides, training_shortages_translated
from photochrom.training.fit.pretrained import load_encoder, normalization_of
from photochrom.training.fit.state import State, read_state, write_state
from photochrom.training.recipe import Recipe
from photochrom.worker.errors import UsageError
from photochrom.worker.inference.cpu import has_fast_bfloat16, keep_freed_memory
from photochrom.worker.models import checkpoint
from photochrom.worker.models.card import Card, TrainedOn, read_card
from photochrom.worker.models.checkpoint import Network
from photochrom.worker.models.vgg_yuv import VggYuv
from photochrom.worker.photo.base.luma import join

STEPS_BETWEEN_STATES = 100
SHEET_ROWS = 12
RARITY_BATCHES = 40
VALIDATION_BATCH = 16


@dataclass(frozen=True)
class Progress:
    """Where a run is: told after every step, and with `figures` at the end of an epoch."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_second: float
    figures: dict[str, float] = field(default_factory=dict)


@training_shortages_translated()
def train(
    recipe: Recipe,
    photographs: Collection,
    out: Path,
    name: str,
    encoder: str | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
    start: Path | None = None,
    until: Callable[[], bool] = lambda: False,
) -> Card | None:
    """Train a model and give back the card of the best checkpoint, `out/best.safetensors`.

    Best is the best mean of `recipe.select` on the validation photographs. A run that was cut off goes on from
    `out/state.safetensors` when it is started again; it then sees the pictures it would have seen. Per epoch a contact
    sheet and a curve are written. `encoder` names the VGG16's first weights (see `pretrained.py`), `start` a
    checkpoint to go on from. After every step `until` is asked: when it says so, the state is written and None given
    back, for whoever takes the run up again.

    Raises UsageError for photographs or a start that the recipe does not fit, for a folder that holds another run, and
    where training diverges; DiskFullFault and OutOfMemoryFault; what reading a photograph raises.
    """
    keep_freed_memory()
    check_photographs(photographs, recipe)
    saved = read_state(out, recipe)
    network = (
        checkpoint.build(recipe.architecture, saved.config)
        if saved
        else first_network(recipe, photographs, encoder, start)
    )
    check_sides(network, recipe)
    network.to(device()).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(parameter_groups(network, recipe), betas=(0.9, 0.99), weight_decay=recipe.decay)
    averaged = copy.deepcopy(network).requires_grad_(False)
    state = saved.restore(network, averaged, optimizer) if saved else State()
    steps = recipe.steps_per_epoch

    while state.epoch < recipe.epochs and state.epochs_since_best(recipe.select) < recipe.patience:
        network.train()
        started, first = time.monotonic(), state.step
        learnt = chunk(photographs.training, recipe.chunks, state.epoch)
        for batch in training_batches(learnt, recipe.sides, recipe.batch, steps, recipe.seed, state.epoch, first):
            set_rate(optimizer, recipe, state.epoch * steps + state.step)
            state.add_loss(training_step(network, optimizer, batch, recipe))
            average(averaged, network, recipe.average)
            state.step += 1
            speed = (state.step - first) * recipe.batch / (time.monotonic() - started)
            tell(Progress(state.epoch, recipe.epochs, state.step, steps, state.mean_loss, speed))
            stopped = until()
            if stopped or state.step % STEPS_BETWEEN_STATES == 0:
                write_state(out, recipe, state, network, averaged, optimizer)
            if stopped:
                return None

        figures, sheet = validate(averaged, photographs, recipe)
        check_finite(figures)
        figures = {"epoch": state.epoch + 1, "training_loss": state.mean_loss, **figures}
        state.end_epoch(figures)
        if state.epochs_since_best(recipe.select) == 0:
            card = describe(name, averaged, recipe, photographs, state, start or encoder)
            checkpoint.write(averaged, card, out / "best.safetensors")
        pictures.contact_sheet(out / f"epoch-{state.epoch:03d}.png", sheet, pictures.TITLES)
        pictures.curve(out / "curve.png", state.history)
        write_state(out, recipe, state, network, averaged, optimizer)
        tell(Progress(state.epoch, recipe.epochs, 0, steps, figures["training_loss"], 0.0, figures))

    return read_card(out / "best.safetensors")


def device() -> torch.device:
    """Where training runs: the accelerator, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def chunk(photographs: Sequence[Readable], chunks: int, epoch: int) -> Sequence[Readable]:
    """The part of the photographs that an epoch learns from: every `chunks`-th one, another part each epoch."""
    return photographs[epoch % chunks :: chunks]


def first_network(recipe: Recipe, photographs: Collection, encoder: str | None, start: Path | None) -> Network:
    """The network as it stands before the first step: fresh, or as a checkpoint has it."""
    torch.manual_seed(recipe.seed)
    return _started(recipe, start) if start else fresh_network(recipe, photographs, encoder)


def fresh_network(recipe: Recipe, photographs: Collection, encoder: str | None) -> Network:
    """A network that has learnt nothing: encoder weights loaded, rarity of colours measured."""
    config = dict(recipe.config)
    if encoder and recipe.architecture == VggYuv.architecture:
        config.setdefault("normalization", normalization_of(encoder))
    network = checkpoint.build(recipe.architecture, config)
    if isinstance(network, VggYuv):
        if encoder:
            load_encoder(network.encoder, encoder)
        if network.config.decoder == "distribution":
            losses.measure_rarity(network.bins, _chroma_samples(photographs, recipe))
    return network


def _started(recipe: Recipe, start: Path) -> Network:
    network, card = checkpoint.read(start)
    if card.architecture != recipe.architecture:
        raise UsageError(f"{start} is a {card.architecture}, and the recipe is for a {recipe.architecture}")
    return network


def _chroma_samples(photographs: Collection, recipe: Recipe) -> Tensor:
    batches = training_batches(photographs.training, (128,), 50, RARITY_BATCHES, recipe.seed, 0)
    return torch.cat([functional.avg_pool2d(losses.true_chroma(torch.from_numpy(b.rgb)), 4) for b in batches])


def parameter_groups(network: Network, recipe: Recipe) -> list[dict]:
    """Parameters for the optimizer, each group with its `peak` rate; encoder blocks not in the recipe stay frozen."""
    if not isinstance(network, VggYuv):
        return [{"params": list(network.parameters()), "peak": recipe.rate}]
    network.encoder.freeze(trainable=recipe.encoder_blocks)
    tuned = [parameter for parameter in network.encoder.parameters() if parameter.requires_grad]
    groups = [{"params": list(network.decoder.parameters()), "peak": recipe.rate}]
    return [*groups, {"params": tuned, "peak": recipe.rate * recipe.encoder_rate}] if tuned else groups


def set_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, step: int) -> None:
    """A short linear warm-up, then a cosine down to `final_rate` of the peak."""
    total = recipe.epochs * recipe.steps_per_epoch
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    share = min(1.0, (step + 1) / max(1, recipe.warmup)) * (recipe.final_rate + (1 - recipe.final_rate) * cosine)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share


def training_step(network: Network, optimizer: torch.optim.Optimizer, batch: Batch, recipe: Recipe) -> float:
    value = _forward(network, batch, recipe)[1]
    if not torch.isfinite(value):
        raise UsageError(f"training diverged: the loss is {value.item()}; try a lower --rate")
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    optimizer.step()
    return value.item()


def _forward(network: Network, batch: Batch, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """What the network gives for a batch, and its loss (a scalar), on the network's device."""
    place = next(network.parameters()).device
    luma = torch.from_numpy(batch.luma).contiguous(memory_format=torch.channels_last).to(place)
    low = recipe.low_precision and (place.type != "cpu" or has_fast_bfloat16())
    with torch.autocast(place.type, torch.bfloat16, enabled=low):
        output = network(luma)
    return output, losses.loss(network, output, torch.from_numpy(batch.rgb).to(place))


@torch.no_grad()
def average(averaged: Network, network: Network, keep: float) -> None:
    """One step of the exponential moving average; buffers (batch norm's statistics) are taken as they are."""
    for mean, parameter in zip(averaged.parameters(), network.parameters(), strict=True):
        if parameter.requires_grad:
            mean.lerp_(parameter, 1 - keep)
    for kept, buffer in zip(averaged.buffers(), network.buffers(), strict=True):
        kept.copy_(buffer)


@torch.no_grad()
def validate(network: Network, photographs: Collection, recipe: Recipe) -> tuple[dict[str, float], list]:
    """Mean figures on the validation photographs, and rows (gray, predicted, truth) of some, evenly spread over them.

    In one piece, that nothing cuts short: at 160 pixels a side a photograph takes some 13 ms to measure, and the VGG16
    190 ms of one processor core, or next to nothing of an accelerator. Pictures are kept of `SHEET_ROWS` only.
    """
    network.eval()
    scores: list[metrics.Scores] = []
    values, truths, rows = [], [], []
    shown = set(pictures.spread(range(len(photographs.validation)), SHEET_ROWS))
    for batch in validation_batches(photographs.validation, recipe.validation_side, VALIDATION_BATCH):
        output, value = _forward(network, batch, recipe)
        values.append(value.item())
        chromas = network.read_out(output).cpu().numpy()
        for gray, chroma, rgb in zip(_bytes(batch.luma), chromas, batch.rgb, strict=True):
            truth, predicted = _bytes(rgb.transpose(1, 2, 0)), join(gray[0], chroma)
            if len(scores) in shown:
                rows.append((np.repeat(gray[0][..., None], 3, axis=2), predicted, truth))
            scores.append(metrics.score(predicted, truth))
            truths.append(metrics.colourfulness(truth))
    psnr, ciede2000, colourfulness = np.mean(scores, axis=0)
    figures = {
        "validation_loss": float(np.mean(values)),
        "psnr": float(psnr),
        "ciede2000": float(ciede2000),
        "colourfulness_ratio": float(colourfulness / np.mean(truths)),
    }
    return figures, rows


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values * 255).astype(np.uint8)


def describe(
    name: str, network: Network, recipe: Recipe, photographs: Collection, state: State, start: Path | str | None
) -> Card:
    """The card of the network as it stands: what it is, what it was trained on and how, how well it does."""
    steps = state.epoch * recipe.steps_per_epoch
    if isinstance(start, Path):
        first_weights: dict[str, str | None] = {"start": read_card(start).sha256}
    else:
        first_weights = {"encoder": Path(start).name if start and isinstance(network, VggYuv) else None}
    return Card(
        name=name,
        architecture=recipe.architecture,
        config=network.config.model_dump(mode="json"),
        trained_on=TrainedOn(
            source=photographs.source,
            photographs=len(photographs.training),
            validation_photographs=len(photographs.validation),
            mean_chroma=photographs.mean_chroma,
        ),
        recipe={**recipe.model_dump(mode="json", exclude={"architecture", "config"}), **first_weights},
        steps=steps,
        images_seen=steps * recipe.batch,
        metrics={key: round(value, 4) for key, value in state.history[-1].items() if key != "epoch"},
    )
