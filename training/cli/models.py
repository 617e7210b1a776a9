"""`photochrom models`: which versions there are, which one is served, and since when."""

from __future__ import annotations

import json as json_lines
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from photochrom.training.promotion import Promotions
    from photochrom.worker.models.registry import Promotion

models = typer.Typer(no_args_is_help=True, help="Versions of models, and which of them is served.")

Json = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
Version = Annotated[str, typer.Argument(help="SHA-256 of a version, or 8 of its first digits; or a starter's name.")]


@models.command(name="list")
def list_versions(json: Json = False) -> None:
    """Every version, what it is, and which one is served."""
    promotions = _promotions()
    served = promotions.registry.pointer().promotion
    rows = [{**_card(promotions, sha256), "served": sha256 == served.sha256} for sha256 in _known(promotions)]
    if json:
        for row in rows:
            typer.echo(json_lines.dumps(row))
        return
    for row in rows:
        mark = f"*  promotion {served.sequence}" if row["served"] else ""
        _print(f"{row['sha256'][:12]}  {row['name']:<16} {row['images_seen']:>9,} images  {row['created']}  {mark}")


@models.command()
def show(version: Version) -> None:
    """The card of a version, and its evaluation if there is one."""
    promotions = _promotions()
    sha256 = promotions.registry.whole(version)
    said = {"card": _card(promotions, sha256), "evaluation": promotions.evaluation(sha256)}
    typer.echo(json_lines.dumps(said, indent=2))


@models.command()
def history(json: Json = False) -> None:
    """Every promotion: which, when, by whom, why."""
    for promotion in _promotions().history():
        if json:
            typer.echo(json_lines.dumps(promotion.model_dump(mode="json"), separators=(",", ":")))
        else:
            _print(
                f"{promotion.sequence:>4}  {promotion.sha256[:12]}  {promotion.name:<16} {promotion.when}  "
                f"{promotion.who}: {promotion.why}"
            )


@models.command()
def diff(first: Version, second: Version) -> None:
    """What two versions do not have in common: settings, training, figures."""
    promotions = _promotions()
    one, other = (_flat(_card(promotions, promotions.registry.whole(version))) for version in (first, second))
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            _print(f"{name}: {one.get(name, '-')} -> {other.get(name, '-')}")


@models.command()
def publish(
    weights: Annotated[Path, typer.Argument(help="A checkpoint (.safetensors, its card beside it).")],
    evaluation: Annotated[Path | None, typer.Option(help="What `photochrom evaluate --json` printed of it.")] = None,
) -> None:
    """Put a checkpoint into the state bucket as a version; it is not served before it is promoted."""
    measured = json_lines.loads(evaluation.read_text()) if evaluation else None
    typer.echo(_promotions().publish(weights, measured))


@models.command()
def promote(version: Version, why: Annotated[str, typer.Option(help="For the history.")] = "by hand") -> None:
    """Let all workers serve a version, within half a minute. A starter is published first."""
    promotions = _promotions()
    _echo(promotions.promote(promotions.registry.whole(version), why))


@models.command()
def rollback(why: Annotated[str, typer.Option(help="For the history.")] = "rolled back by hand") -> None:
    """Serve again what was served before the present champion."""
    _echo(_promotions().rollback(why))


@models.command()
def clean(
    keep: Annotated[int, typer.Option(min=1, help="So many of the last promoted, and of the newest, stay.")] = 5,
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it, only say what would go.")] = False,
) -> None:
    """Remove versions that nobody needs. Never one that is promoted, or was among the last."""
    promotions = _promotions()
    for sha256 in promotions.collectable(keep):
        if delete:
            promotions.delete(sha256)
        typer.echo(f"{'deleted' if delete else 'would delete'} {sha256}")


def _promotions() -> Promotions:
    from photochrom.training.promotion import Promotions
    from photochrom.worker.s3.store import Store
    from photochrom.worker.settings import settings

    return Promotions(Store(settings()), settings())


def _echo(promotion: Promotion) -> None:
    typer.echo(json_lines.dumps(promotion.model_dump(mode="json"), indent=2))


def _print(line: str) -> None:
    from photochrom.worker.cli.terminal import printable

    typer.echo(printable(line))


def _known(promotions: Promotions) -> list[str]:
    from photochrom.worker.models.registry import sha256_of_starter, starters

    return list(dict.fromkeys([*map(sha256_of_starter, starters()), *promotions.registry.versions()]))


def _card(promotions: Promotions, sha256: str) -> dict[str, Any]:
    card: dict[str, Any] = json_lines.loads(promotions.registry.card(sha256))
    return card


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
