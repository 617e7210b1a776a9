"""The Dockerfile: hadolint's rules, and ours about users, exec form, health checks, hashes and what is copied."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.deploy.findings import Finding, run
from tests.deploy.images import CACHE, HEARTBEAT, SHELLS, faults_of_check, is_pinned, program_of
from tests.deploy.locks import EXTRAS

DOCKERFILE = "deploy/docker/Dockerfile"
CACHES = ("PHOTOCHROM_MODEL_CACHE", "PHOTOCHROM_TRAINING_FOLDER", "TORCH_HOME")
"""Where images that train put what they fetch; by itself that is in a home that nobody can write to."""


class Stage(NamedTuple):
    """A stage: its name, what it is made from, and its instructions in order, as (keyword, rest of the line)."""

    name: str
    parent: str
    instructions: list[tuple[str, str]]


def check(root: Path) -> list[Finding]:
    """All that is wrong with the Dockerfile of a repository."""
    found = [Finding(DOCKERFILE, problem) for problem in _hadolint(root)]
    stages = parse((root / DOCKERFILE).read_text())
    for stage in stages.values():
        found += [Finding(f"{DOCKERFILE} {stage.name}", problem) for problem in _of_stage(stage, stages, root)]
    for name in images(stages):
        found += [Finding(f"{DOCKERFILE} {name}", problem) for problem in _of_image(name, stages)]
    return found


def parse(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in order."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: dict[str, Stage] = {}
    for line in filter(str.strip, joined.splitlines()):
        keyword, _, rest = line.strip().partition(" ")
        if keyword.upper() == "FROM":
            parent, _, name = rest.partition(" AS ")
            stage = Stage(name or str(len(stages)), parent.strip(), [])
            stages[stage.name] = stage
        else:
            stage.instructions.append((keyword.upper(), rest.strip()))
    return stages


def images(stages: dict[str, Stage]) -> list[str]:
    """The stages that nothing else is made of: what is built and run."""
    used = {stage.parent for stage in stages.values()}
    copied = {
        match
        for stage in stages.values()
        for _, rest in stage.instructions
        for match in re.findall(r"--from=(\S+)", rest)
    }
    return [name for name in stages if name not in used | copied]


def chain(name: str, stages: dict[str, Stage]) -> list[tuple[str, str]]:
    """The instructions that made a stage, those of its ancestors first."""
    stage = stages[name]
    return (chain(stage.parent, stages) if stage.parent in stages else []) + stage.instructions


def _hadolint(root: Path) -> Iterator[str]:
    _, output, errors = run("hadolint", "--no-color", "--format", "json", DOCKERFILE, root=root)
    if errors:
        yield errors
    yield from (f"line {found['line']}: {found['code']} {found['message']}" for found in json.loads(output or "[]"))


def _of_stage(stage: Stage, stages: dict[str, Stage], root: Path) -> Iterator[str]:
    if stage.parent not in stages and not is_pinned(stage.parent):
        yield f"{stage.parent} names no version"
    for keyword, rest in stage.instructions:
        if keyword == "RUN":
            yield from _of_run(rest)
        elif keyword in ("COPY", "ADD") and "--from=" not in rest:
            yield from (f"{source} is not there" for source in rest.split()[:-1] if not list(root.glob(source)))
        elif keyword in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
            yield from _of_command(keyword, rest)


def _of_run(line: str) -> Iterator[str]:
    for command in line.split("&&"):
        if not (installs := re.search(r"\bpip\b.* install\b(.*)", command)):
            continue
        if not re.search(r"--require-hashes|--no-deps", command):
            yield f"neither hashes nor --no-deps: {command.strip()}"
        # names, but for the files that -r names, and what lies here
        named = re.sub(r"\s(-r|--requirement)[\s=]\S+|\s-\S+", " ", installs[1]).split()
        yield from (f"{name} is installed in any version" for name in named if "==" not in name and "/" not in name)


def _of_command(keyword: str, rest: str) -> Iterator[str]:
    if keyword == "HEALTHCHECK":
        if rest == "NONE":
            return
        rest = rest.partition("CMD")[2].strip()
    try:
        command = json.loads(rest)
    except ValueError:
        yield f"{keyword} is not in exec form"
        return
    if keyword == "HEALTHCHECK":
        yield from (f"health check: {problem}" for problem in faults_of_check(command))
        if HEARTBEAT not in command:
            yield f"health check: it does not ask for {HEARTBEAT}"
    elif program_of(command) in SHELLS:
        yield f"{keyword} starts a shell as process 1"


def _of_image(name: str, stages: dict[str, Stage]) -> Iterator[str]:
    instructions = chain(name, stages)
    users = [rest for keyword, rest in instructions if keyword == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1]):
        yield "it does not end as a user by number that is not root"
    for needed in ("ENTRYPOINT", "HEALTHCHECK"):
        if needed not in {keyword for keyword, _ in instructions}:
            yield f"it has no {needed}"
    if _trains(instructions, stages):
        values = environment(instructions)
        yield from (f"{name} is not in {CACHE}" for name in CACHES if not values.get(name, "").startswith(f"{CACHE}/"))


def environment(instructions: list[tuple[str, str]]) -> dict[str, str]:
    """What ENV instructions set, the last word for each name."""
    words = [word for keyword, rest in instructions if keyword == "ENV" for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


def _trains(instructions: list[tuple[str, str]], stages: dict[str, Stage]) -> bool:
    """Whether an image holds what a lock file with the extra `training` has."""
    copied = [match for _, rest in instructions for match in re.findall(r"--from=(\S+)", rest)]
    text = " ".join(rest for name in copied if name in stages for _, rest in chain(name, stages))
    return any(name in text for name, extras in EXTRAS.items() if "training" in extras)
