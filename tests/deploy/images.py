"""What all files say of images and of the processes in them: pinned versions, no shell, known settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

PINNED = re.compile(
    r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?[a-z0-9.-]*(@sha256:[0-9a-f]{64})?|[a-z0-9./:-]+@sha256:[0-9a-f]{64}"
)
SHELLS = ("sh", "bash", "dash", "ash")
IMPORTING = re.compile(r"python[\d.]*|photochrom|celery")
"""Programs that a health check must not be: each start of theirs costs more than what it asks."""

HEARTBEAT, READY = "/run/photochrom/heartbeat", "/run/photochrom/ready"
"""Files that say that a process is alive, whatever else is away, and that it could work now."""

CACHE = "/var/cache/photochrom"
"""Where the images keep what they fetch: models, photographs to learn from, first weights."""

BESIDE_SETTINGS = {"PHOTOCHROM_READY_FILE"}
"""What the processes take from the environment and is no field of the settings."""


def is_pinned(image: str) -> bool:
    """Whether an image names a version (1.2 or 1.2.3, with whatever follows) or a digest."""
    return bool(PINNED.fullmatch(image))


def program_of(command: Iterable[str]) -> str:
    """The file name of what a command in exec form starts."""
    return next(iter(command), "").rpartition("/")[2]


def faults_of_check(command: list[str]) -> Iterator[str]:
    """What is wrong with a health check or probe."""
    if program_of(command) in SHELLS:
        yield "it starts a shell"
    if any(IMPORTING.fullmatch(program_of([word])) for word in command):
        yield "it imports the application"


@cache
def settings_names() -> frozenset[str]:
    """Every environment variable of ours."""
    from photochrom.worker.settings import PREFIX, Settings

    return frozenset(PREFIX + name.upper() for name in Settings.model_fields) | BESIDE_SETTINGS


@cache
def commands() -> frozenset[str]:
    """Every command of `photochrom`."""
    import typer.main

    from photochrom.deploy.cli import app

    return frozenset(typer.main.get_command(app).commands) | {"--help"}  # type: ignore[attr-defined]


def unknown_settings(names: Iterable[str]) -> list[str]:
    """Those of the names that look like settings of ours and are none."""
    return sorted(name for name in names if name.startswith("PHOTOCHROM_") and name not in settings_names())
