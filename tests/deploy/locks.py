"""The lock files of the images: made for this pyproject.toml, with hashes, and of one torch."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.findings import Finding

FOLDER = "deploy/docker"
EXTRAS = {"submit.lock": (), "cuda.lock": ("training",), "cpu.lock": ("training",)}
"""Each lock file, and for which extras of ours it has to hold what they ask."""

OF_THEIR_OWN_INDEX = {"torch", "torchvision"}
"""Not in cpu.lock, but in torch-cpu.txt."""


def check(root: Path) -> list[Finding]:
    """All that is wrong with the lock files of a repository."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    found = []
    for name, extras in EXTRAS.items():
        text = (root / FOLDER / name).read_text()
        wanted = [*project["dependencies"], *(line for extra in extras for line in _of_extra(extra, project))]
        pins = versions(text)
        if name == "cpu.lock":
            pins |= versions((root / FOLDER / "torch-cpu.txt").read_text())
            found += [Finding(name, f"{left} is for GPUs") for left in pins if left.startswith(("nvidia-", "cuda-"))]
        found += [Finding(name, problem) for problem in _unmet(wanted, pins)]
    for lock in sorted((root / FOLDER).glob("*.lock")):
        found += [Finding(lock.name, problem) for problem in _without_hash(lock.read_text())]
    cuda, cpu = (versions((root / FOLDER / name).read_text()) for name in ("cuda.lock", "torch-cpu.txt"))
    if cpu != {name: cuda.get(name) for name in OF_THEIR_OWN_INDEX}:
        found.append(Finding("torch-cpu.txt", "it is not the torch of cuda.lock"))
    return found


def versions(text: str) -> dict[str, str]:
    """Pinned versions by name."""
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([\w.+!]+)", text, re.M)}


def _of_extra(extra: str, project: dict) -> Iterator[str]:
    for line in project["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == project["name"]:
            for other in sorted(requirement.extras):
                yield from _of_extra(other, project)
        else:
            yield line


def _unmet(wanted: list[str], pins: dict[str, str]) -> Iterator[str]:
    for line in wanted:
        requirement = Requirement(line)
        version = pins.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield f"{line} is not met by {version}: make lock"


def _without_hash(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip() and not line.lstrip().startswith("#") and "--hash=sha256:" not in line:
            yield f"no hash for {line.split()[0]}"
