"""What a study is made of: variants, each with a recipe to train by, and decodes, other ways to read a trained one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from photochrom.training.recipe import Recipe, recipe_for
from photochrom.worker.errors import UsageError

WARMUP_SHARE = 0.1
"""Of a short run's steps; a fixed warm-up would be most of it."""
AVERAGED_STEPS = 20
"""A run is at least so many times longer than the moving average looks back; else its first weights stay in there."""


@dataclass(frozen=True)
class Variant:
    """A recipe by name, with other settings and another configuration of the network."""

    name: str
    about: str
    recipe: str
    settings: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0
    """Of the epochs, and so of the images, that the others have."""


@dataclass(frozen=True)
class Decode:
    """A trained variant read out in another way; needs no training. None leaves what the checkpoint says."""

    name: str
    about: str
    of: str
    vividness: float | None = None
    temperature: float | None = None
    mirrored: bool = False
    """The mean of the photograph's chroma and its mirror image's, turned back."""


Entry = Variant | Decode


@dataclass(frozen=True)
class Study:
    """A declared list of variants and decodes, and what is the same for all of them.

    `validated` is how many of the validation photographs are looked at after each epoch. With `judges_validation` the
    validation photographs are an evaluation set of their own. `reference` is what the others are compared with.
    """

    name: str
    title: str
    reference: str
    variants: tuple[Variant, ...]
    decodes: tuple[Decode, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    epochs: int = 4
    validation_share: float = 0.04
    validated: int = 100
    judges_validation: bool = False

    @property
    def entries(self) -> tuple[Entry, ...]:
        return (*self.variants, *self.decodes)

    def chosen(self, only: list[str]) -> list[Entry]:
        """The entries of these names, with the variants that their decodes need; all for no name.

        Raises UsageError for an unknown name.
        """
        if unknown := set(only) - {entry.name for entry in self.entries}:
            raise UsageError(f"no {sorted(unknown)[0]!r} in it: {', '.join(entry.name for entry in self.entries)}")
        needed = set(only) | {decode.of for decode in self.decodes if decode.name in only}
        return [entry for entry in self.entries if not only or entry.name in needed]


class Changes(NamedTuple):
    """What is asked for in place of a study's own numbers: "NAME=JSON" each, for every variant."""

    settings: list[str]
    config: list[str]


def recipe_of(study: Study, variant: Variant, images: int, changes: Changes) -> Recipe:
    """The recipe of a variant for a budget of `images`; warm-up and average are shortened to fit a short run.

    Raises UsageError for settings that do not fit.
    """
    config = {**study.config, **variant.config}
    written = [f"{name}={json.dumps(value)}" for name, value in config.items()]
    settings = {**study.settings, **variant.settings, **_parsed(changes.settings)}
    settings["validation_share"] = study.validation_share
    recipe = recipe_for(variant.recipe, [*written, *changes.config], settings)
    epochs = max(1, min(study.epochs, images // recipe.batch))
    recipe = recipe.model_copy(
        update={"images_per_epoch": max(1, images // epochs), "epochs": max(1, round(epochs * variant.share))}
    )
    steps = recipe.epochs * recipe.steps_per_epoch
    return recipe.model_copy(
        update={
            "warmup": min(recipe.warmup, int(WARMUP_SHARE * steps)),
            "average": min(recipe.average, max(0.0, round(1 - AVERAGED_STEPS / steps, 4))),
        }
    )


def _parsed(settings: list[str]) -> dict[str, Any]:
    try:
        return {name: json.loads(value) for name, value in (entry.split("=", 1) for entry in settings)}
    except ValueError as error:
        raise UsageError(f"--setting wants NAME=JSON, such as rate=0.002 or sides=[64]: {error}") from error
