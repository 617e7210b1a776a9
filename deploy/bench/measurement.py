"""What was measured of photographs on their way through, and which part of it is the slowest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from photochrom.worker.telemetry.stages import STAGES, Spent, Stage

Bare = Literal["network", "codec", "s3_client"]
"""Parts of a photograph's way that are measured alone, with nothing around them."""

COLOURING: tuple[Stage, ...] = ("read", "predict", "compose", "write")
"""Stages that follow one another for a photograph; S3 is asked beside them for the next one and the one before."""

IDLE_BELOW = 0.5
"""A worker that spends less than this of its time in its busiest lane waits for work, not for a stage."""

WHAT: dict[Stage, tuple[str, str]] = {
    "fetch": ("getting the source", "a faster disk, or a network closer to S3"),
    "read": ("decoding", "more cores"),
    "predict": ("the network", "more cores or a GPU"),
    "compose": ("joining colour to luma", "more cores"),
    "write": ("encoding", "more cores"),
    "store": ("putting the result in its place", "a faster disk, or a network closer to S3"),
}
"""What a stage does, and what would make it faster."""


@dataclass(frozen=True)
class Passage:
    """Photographs of one kind that went through, all together: `images` of them, in `seconds` of wall clock.

    `stages` and `cpu` are sums over the `processes` that coloured them, `cpu` with what they did beside the stages;
    `servers_cpu` is that of Redis, S3 and control. Seconds of overlapping stages add up to more than the clock's.
    `bounds` are what bare parts take for one image, by themselves, as far as they were measured.
    """

    kind: str
    images: int
    seconds: float
    stages: dict[Stage, Spent]
    cpu: float
    processes: int = 1
    servers_cpu: float = 0.0
    overlapping: bool = False
    bounds: dict[Bare, Spent] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds

    @property
    def in_stages(self) -> Spent:
        """The sum of all stages."""
        return _sum(self.stages.values())

    @property
    def bound(self) -> Spent:
        """The least that one image can take: its bare parts, one after the other."""
        return _sum(self.bounds.values())

    @property
    def cpu_beside(self) -> float:
        """CPU seconds that the processes spent outside of the stages: queue, ledger, garbage."""
        return max(0.0, self.cpu - self.in_stages.cpu)

    def share(self, stage: Stage) -> float:
        """A stage's part, 0..1, of the seconds of all stages."""
        return self.stages[stage].seconds / (self.in_stages.seconds or 1.0)

    @property
    def slowest(self) -> Stage | None:
        """The stage that bounds the images per second; None where the processes waited for work instead."""
        colouring = sum(self.stages[stage].seconds for stage in COLOURING)
        lanes = {"fetch": self.stages["fetch"].seconds, "store": self.stages["store"].seconds}
        if self.overlapping and max(colouring, *lanes.values()) < IDLE_BELOW * self.seconds * self.processes:
            return None
        among = COLOURING if self.overlapping and colouring >= max(lanes.values()) else STAGES
        return max(among, key=lambda stage: self.stages[stage].seconds)

    def summary(self) -> dict[str, Any]:
        """Everything as plain JSON values, per image where it adds up."""
        return {
            "kind": self.kind,
            "images": self.images,
            "images_per_second": self.images_per_second,
            "processes": self.processes,
            "seconds_an_image": {stage: spent.seconds / self.images for stage, spent in self.stages.items()},
            "cpu_seconds_an_image": {stage: spent.cpu / self.images for stage, spent in self.stages.items()},
            "process_cpu_seconds_an_image": self.cpu / self.images,
            "servers_cpu_seconds_an_image": self.servers_cpu / self.images,
            "slowest": self.slowest,
            "bounds": {name: {"seconds": bare.seconds, "cpu_seconds": bare.cpu} for name, bare in self.bounds.items()},
        }


def _sum(parts: Collection[Spent]) -> Spent:
    return Spent(sum(spent.seconds for spent in parts), sum(spent.cpu for spent in parts))


def bottleneck(passages: list[Passage]) -> str:
    """What is the slowest part for these kinds of photographs, and what would help, in one line."""
    parts: dict[Stage | None, list[str]] = {}
    for passage in passages:
        slowest = passage.slowest
        share = f" ({passage.share(slowest):.0%})" if slowest else ""
        parts.setdefault(slowest, []).append(passage.kind + share)
    return "; ".join(_named(stage, kinds) for stage, kinds in parts.items())


def _named(stage: Stage | None, kinds: list[str]) -> str:
    if stage is None:
        return f"none for {', '.join(kinds)}: the workers waited for work"
    does, help = WHAT[stage]
    return f"{stage}, {does}, for {', '.join(kinds)}: {help} would help first"
