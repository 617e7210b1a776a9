"""Installations as a plain `pip install` makes them: the base dependencies, or some extras, and nothing else."""

from __future__ import annotations

import csv
import os
import subprocess
import sysconfig
import venv
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import Distribution, distributions
from itertools import accumulate
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
OURS = "photochrom"
FOLDERS = ("photochrom",)

ALONE = ("-P", "-s")
"""For Python: nothing of the user's, of the current folder, or of a script's."""

TIMEOUT = 300.0
"""Seconds for a command; only what is broken takes so long."""


class Installation:
    """A virtual environment that holds links to what is installed here, as far as these extras need it."""

    def __init__(self, folder: Path, extras: Iterable[str] = ()) -> None:
        self.folder, self.packages = folder, needed(extras)
        venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
        [site] = folder.glob("lib/python*/site-packages")
        for name in FOLDERS:
            (site / name).symlink_to(ROOT / name)
        _link(self.packages, site)
        self.environment = {"PATH": os.defpath, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run `python ARGUMENTS` in it, away from the checkout, in an environment of its own."""
        return subprocess.run(
            [*self._python, *arguments],
            cwd=self.folder,
            env=self.environment | (environment or {}),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    def photochrom(
        self, *arguments: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `photochrom ARGUMENTS` in it."""
        return self.run("-m", "photochrom.deploy.cli", *arguments, environment=environment)

    def command(self, *arguments: str) -> list[str]:
        """The command line of `photochrom ARGUMENTS` in it, to be run in its `environment`."""
        return [*self._python, "-m", "photochrom.deploy.cli", *arguments]

    @property
    def _python(self) -> list[str]:
        return [str(self.folder / "bin" / "python"), *ALONE]


def needed(extras: Iterable[str] = ()) -> set[str]:
    """Names of all distributions that `pip install photochrom[EXTRAS]` brings here, our own among them."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    wanted = [(OURS, extra) for extra in ("", *extras)]
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) not in seen:
            seen.add((name, extra))
            found.add(name)
            wanted += _required(name, extra)
    return found


def _required(name: str, extra: str) -> Iterator[tuple[str, str]]:
    for line in _installed()[name].requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield from ((canonicalize_name(requirement.name), of_it) for of_it in ("", *requirement.extras))


@cache
def _installed() -> dict[str, Distribution]:
    """By name; not what lies in the checkout, such as an egg-info that is years old."""
    return {canonicalize_name(found.name): found for found in distributions(path=[sysconfig.get_path("purelib")])}


@cache
def _files() -> dict[str, list[str]]:
    """Of each distribution, relative to where it is installed; without what makes an installation editable."""
    return {
        name: [path for path, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()) if not _is_apart(path)]
        for name, found in _installed().items()
    }


def _is_apart(path: str) -> bool:
    return path.startswith(("..", "/", "__pycache__", "__editable__"))


def _link(packages: set[str], site: Path) -> None:
    """Link folders as wholes, but for those that other distributions have files in as well."""
    others = {part for name, paths in _files().items() if name not in packages for path in paths for part in _way(path)}
    links = {next(part for part in _way(path) if part not in others) for name in packages for path in _files()[name]}
    for link in sorted(links):
        (site / link).parent.mkdir(parents=True, exist_ok=True)
        (site / link).symlink_to(Path(sysconfig.get_path("purelib"), link))


def _way(path: str) -> Iterable[str]:
    """a, a/b, a/b/c"""
    return accumulate(path.split("/"), "{}/{}".format)
