"""What a training run is made of, in numbers. A recipe stands in the card of every checkpoint it makes."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from photochrom.worker.errors import UsageError

Side = Annotated[int, Field(ge=8)]
"""Of a training crop, in pixels."""

MULTIPLES = {"vgg16-yuv": 16}
"""What sides are multiples of, by architecture; written out, since who only asks for a run has no torch."""


class Recipe(BaseModel):
    """Settings of one run; everything random follows from `seed`.

    A record of another version may have settings that this one does not know: they are passed over.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    architecture: str
    config: dict[str, Any] = Field(default_factory=dict)
    epochs: int = Field(12, ge=1)
    images_per_epoch: int = Field(8000, ge=1)
    chunks: int = Field(1, ge=1, description="parts of the photographs; each epoch learns from one, in turn")
    batch: int = Field(24, ge=2)
    sides: tuple[Side, ...] = Field(
        (128, 160, 192), min_length=1, description="side lengths of training crops, one per batch"
    )
    validation_side: Side = 160
    validation_share: float = Field(0.04, gt=0, lt=1)
    rate: float = Field(1e-3, gt=0, description="peak learning rate of AdamW")
    final_rate: float = Field(0.02, ge=0, le=1, description="share of the rate left at the end of the cosine")
    warmup: int = Field(200, ge=0, description="steps")
    decay: float = Field(0.01, ge=0)
    encoder_blocks: tuple[str, ...] = Field((), description="VGG blocks that learn too")
    encoder_rate: float = Field(0.1, gt=0, description="their share of the learning rate")
    average: float = Field(0.998, ge=0, lt=1, description="of the exponential moving average that is kept")
    select: Literal["ciede2000", "psnr"] = Field("ciede2000", description="validation figure that the best one wins by")
    patience: int = Field(4, ge=1, description="epochs without a better validation figure before stopping early")
    low_precision: bool = Field(True, description="bfloat16 autocast, where the processor has it")
    seed: int = 0

    @field_validator("sides", "validation_side")
    @classmethod
    def _fits(cls, given: tuple[int, ...] | int, info: ValidationInfo) -> tuple[int, ...] | int:
        sides = given if isinstance(given, tuple) else (given,)
        multiple = MULTIPLES.get(info.data.get("architecture", ""), 1)
        if any(side % multiple for side in sides):
            raise ValueError(f"this network wants multiples of {multiple}")
        return given

    @property
    def steps_per_epoch(self) -> int:
        return max(1, self.images_per_epoch // self.batch)


RECIPES: dict[str, Recipe] = {
    "vgg16-yuv": Recipe(
        architecture="vgg16-yuv",
        encoder_blocks=("conv5",),
        # how it is read, and at what size, decide as much as how it learns: docs/recipes.md
        config={"temperature": 0.5, "vividness": 0.0, "working_side": 160},
    ),
    # the published form and loss
    "vgg16-yuv-residual": Recipe(architecture="vgg16-yuv", config={"decoder": "residual"}),
    # bfloat16 slows a network that is mostly dense layers
    "autoencoder": Recipe(
        architecture="autoencoder",
        sides=(80,),
        validation_side=80,
        batch=25,
        average=0.99,
        select="psnr",  # by CIEDE2000, its blurred colours lose to gray long before they are the best that they can be
        low_precision=False,
    ),
}


def recipe_for(model: str, config: list[str], settings: dict[str, Any]) -> Recipe:
    """The recipe of that name, with the given settings and network configuration ("name=JSON") in place of its own.

    Raises UsageError for an unknown recipe and for settings that do not fit.
    """
    if model not in RECIPES:
        raise UsageError(f"unknown model {model!r}: there are {', '.join(RECIPES)}")
    network = parse_settings(config)
    recipe, settings = RECIPES[model], dict(settings)
    if unknown := settings.keys() - Recipe.model_fields.keys():
        raise UsageError(f"recipe {model}: {min(unknown)}: there is no such setting")
    if not isinstance(settings.get("config", {}), dict):
        raise UsageError(f'recipe {model}: config: wants an object, such as {{"dense": 160}}')
    try:
        if "side" in network:  # a network of one size learns, and is judged, at that size
            settings = {"sides": (network["side"],), "validation_side": network["side"], **settings}
        network = {**recipe.config, **settings.pop("config", {}), **network}
        return Recipe(**{**recipe.model_dump(), **settings, "config": network})
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"recipe {model}: {problem['loc'][0]}: {problem['msg']}") from error


def parse_settings(entries: list[str]) -> dict[str, Any]:
    """Settings given as NAME=JSON. Raises UsageError for what is not, NaN and infinities included."""
    try:
        pairs = (entry.split("=", 1) for entry in entries)
        return {name: json.loads(value, parse_constant=_no_number) for name, value in pairs}
    except ValueError as error:
        raise UsageError(f"settings are NAME=JSON, such as dense=160 or filters=[128,64]: {error}") from error


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")
