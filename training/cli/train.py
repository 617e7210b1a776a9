"""`photochrom train`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from photochrom.training.fit.loop import Progress
    from photochrom.worker.cli.terminal import ProgressDisplay


def train(
    source: Annotated[str, typer.Argument(help="Colour photographs: a folder, or s3://bucket/prefix.")],
    model: Annotated[str, typer.Option(help="Recipe: vgg16-yuv, vgg16-yuv-residual or autoencoder.")] = "vgg16-yuv",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run (default runs/MODEL); a run there goes on.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="First weights of the VGG16: 'torchvision' (downloads), or a .safetensors file.")
    ] = "torchvision",
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint (.safetensors) to go on from, instead of fresh weights.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="How often to validate; default from the recipe.")] = None,
    images_per_epoch: Annotated[int | None, typer.Option(help="Photographs between two validations.")] = None,
    batch: Annotated[int | None, typer.Option(help="Photographs a step.")] = None,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without a better figure before it stops.")] = None,
    seed: Annotated[int | None, typer.Option(help="Everything random follows from it.")] = None,
    config: Annotated[
        list[str] | None, typer.Option(help="Setting of the network, as NAME=JSON; may be repeated.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads; default all.")] = None,
) -> None:
    """Train a colorizer on colour photographs.

    Writes into the run's folder, per epoch: a contact sheet (gray, predicted, truth), a curve, the figures in the
    state file; and the best checkpoint with its card as best.safetensors and best.json. Start it again to go on where
    it was cut off.
    """
    import torch

    from photochrom.training.data.photographs import collect
    from photochrom.training.fit.loop import train as run
    from photochrom.training.recipe import recipe_for
    from photochrom.worker.cli.terminal import ProgressDisplay, printable

    settings = {
        "epochs": epochs, "images_per_epoch": images_per_epoch, "batch": batch, "rate": rate, "patience": patience,
        "seed": seed,
    }  # fmt: skip
    recipe = recipe_for(model, config or [], {name: value for name, value in settings.items() if value is not None})
    if threads:
        torch.set_num_threads(threads)
    typer.echo(f"Reading {printable(source)}", err=True)
    photographs = collect(source, recipe.validation_share)
    left_out = ", ".join(f"{count} {reason}" for reason, count in photographs.left_out.items()) or "none"
    counts = (
        f"{len(photographs.training):,} photographs to learn from, {len(photographs.validation):,} to validate with"
    )
    typer.echo(printable(f"{counts}; left out: {left_out}"), err=True)
    folder = out or Path("runs") / model
    with ProgressDisplay("starting", "steps") as display:
        card = run(
            recipe, photographs, folder, name=model, encoder=encoder, tell=partial(_show, display=display), start=start
        )
    assert card is not None  # nothing told it to stop
    typer.echo(printable(f"Best checkpoint: {folder / 'best.safetensors'} {card.metrics}"))


def _show(now: Progress, display: ProgressDisplay) -> None:
    """An epoch's figures as a line that stays, and the steps of the next one."""
    if now.figures:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in now.figures.items() if name != "epoch")
        display.print(f"epoch {now.epoch}/{now.epochs}: {figures}")
    description = f"epoch {now.epoch + 1}, loss {now.loss:.4f}, {now.images_per_second:.0f} images/s"
    display.update(now.step, now.steps, description)
