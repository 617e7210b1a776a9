"""What a training run is asked to do, by settings or by hand; it never changes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from photochrom.training.recipe import Recipe, recipe_for
from photochrom.training.who import who as whoever
from photochrom.worker.errors import UsageError
from photochrom.worker.models.registry import CHAMPION, Registry
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, NotFoundError, Store
from photochrom.worker.settings import Settings
from photochrom.worker.version import VERSION

NAME_PATTERN = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
FROM_ENCODER = "encoder"


class Request(BaseModel):
    """What a run is to do; it never changes."""

    model_config = ConfigDict(frozen=True)  # a version that comes after may know more

    name: str
    model: str = Field(description="name of the recipe: there is one run a model at a time")
    recipe: Recipe
    source: str = Field(description="s3://bucket/prefix of the photographs to learn from")
    evaluation: str = Field("", description="name of the evaluation set that selects and decides; empty: no promotion")
    start: str = Field(CHAMPION, description="the weights it starts from: a version's SHA-256, a starter, or encoder")
    encoder: str = Field("", description="first weights of the VGG16, where it starts from encoder")
    promote: bool = Field(True, description="whether a challenger that passes the gate is promoted")
    who: str = Field(default_factory=whoever)
    created: str = Field(default_factory=lambda: now())
    code_version: str = VERSION

    def asks_the_same(self, other: Request) -> bool:
        """Whoever asked, and whenever."""
        apart = {"who", "created", "code_version"}
        return self.model_dump(exclude=apart) == other.model_dump(exclude=apart)


def request_of(settings: Settings, store: Store, name: str = "", **asked: Any) -> Request:
    """A run as the settings describe it, with what is asked for in place of them.

    The weights that it starts from are settled here: a champion is the one of this moment. Raises UsageError.
    """
    chosen = {
        "model": settings.training_recipe,
        "source": settings.training_source,
        "evaluation": settings.training_evaluation,
        "start": settings.training_start,
        "overrides": settings.training_overrides,
    } | {key: value for key, value in asked.items() if value is not None}
    if not chosen["source"]:
        raise UsageError("where are the photographs? Name a source, or set PHOTOCHROM_TRAINING_SOURCE")
    Location.parse(chosen["source"])
    if chosen["evaluation"]:
        _check_evaluation_set(chosen["evaluation"], store, settings)
    recipe = recipe_for(chosen["model"], [], chosen.pop("overrides"))
    registry = Registry(store, settings)
    start = chosen.pop("start")
    if start != FROM_ENCODER:
        start = registry.whole(start)
        made = json.loads(registry.card(start)).get("architecture")
        if made != recipe.architecture:
            raise UsageError(f"the architecture of {start[:12]} is {made}, the recipe's {recipe.architecture}")
    name = name or f"{chosen['model']}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a run: letters, digits, - and _")
    encoder = settings.training_encoder if start == FROM_ENCODER else ""
    return Request(name=name, recipe=recipe, start=start, encoder=encoder, **chosen)


def _check_evaluation_set(name: str, store: Store, settings: Settings) -> None:
    try:
        store.head(settings.state_bucket, state_keys.evaluation_set(name))
    except NotFoundError as error:
        raise UsageError(f"there is no evaluation set {name!r}: photochrom evaluation create makes one") from error


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
