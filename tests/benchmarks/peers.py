"""Against the ways that existing colorizers take with a large gray JPEG: each in a process with one thread."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from photochrom.deploy.bench.photographs import gray_jpeg
from tests.benchmarks.child import Child
from tests.benchmarks.figures import Figure, Plan, Section, at_least, by_turns, medians

MEGAPIXELS, SHORT_MEGAPIXELS = 12, 1

PARTS = ("whole", "network", "codec")
PUBLISHED = "published"
"""What each is asked to time; and, of eccv16, what is published as it is."""

OURS, ECCV16, DDCOLOR = "ours", "eccv16", "ddcolor"

NOTE = "Peers' networks in float32, not folded. DDColor's decoder is left out: the whole network takes longer."


class Row(NamedTuple):
    """Who it is, what stands in for the network, and how many times its images/s ours are to be."""

    name: str
    network: str
    least: float | None


ROWS = {
    OURS: Row("Photochrom", "network", None),
    ECCV16: Row(
        "richzhang/colorization's way, with scikit-image's Lab, saved as JPEG",
        "network: eccv16's layers at 256, random weights",
        20,
    ),
    DDCOLOR: Row(
        "DDColor's way, with OpenCV's float Lab, saved as JPEG",
        "network: DDColor-T's encoder alone (ConvNeXt-T at 512), random weights",
        5,
    ),
}


def measure(plan: Plan) -> Section:
    megapixels = plan.of(MEGAPIXELS, SHORT_MEGAPIXELS)
    with ExitStack() as ends:
        file = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="photochrom-"))) / "photograph.jpg"
        file.write_bytes(gray_jpeg(megapixels))
        children = {who: ends.enter_context(Child("tests.benchmarks.peer_process", who, str(file))) for who in ROWS}
        asked = [*((who, part) for who in ROWS for part in PARTS), (ECCV16, PUBLISHED)]
        ways = {f"{who} {part}": _way(children[who], part) for who, part in asked}
        by_turns(ways, 1 - plan.short)
        found = medians(by_turns(ways, plan.of(plan.repetitions, 1)))
    return Section(f"One {megapixels} MP gray JPEG, against other colorizers", tuple(figures_of(found)), NOTE)


def _way(child: Child, part: str) -> Callable[[], float]:
    return lambda: float(child.ask(part))


def figures_of(seconds: dict[str, float]) -> list[Figure]:
    """Of each: images/s, the network's and the codec's milliseconds, and how many times its images/s ours are."""
    figures = []
    for who, row in ROWS.items():
        whole, network, codec = (seconds[f"{who} {part}"] for part in PARTS)
        figures += [
            Figure(f"{who}_images_per_second", row.name, 1 / whole, "images/s"),
            Figure(f"{who}_network_ms", f"  {row.network}", 1e3 * network, "ms"),
            Figure(f"{who}_codec_ms", "  all but the network", 1e3 * codec, "ms"),
            Figure(f"{who}_network_share", "  the network's share", network / (network + codec)),
        ]
        if row.least:
            what = f"  Photochrom's images/s, of {row.name.partition(',')[0]}"
            figures.append(_times(who, what, whole / seconds[f"{OURS} whole"], row.least))
    published = seconds[f"{ECCV16} {PUBLISHED}"] / seconds[f"{OURS} whole"]
    what = "richzhang/colorization as published, saved as PNG by matplotlib: Photochrom's images/s, of its"
    return [*figures, _times(f"{ECCV16}_{PUBLISHED}", what, published, None)]


def _times(key: str, what: str, times: float, least: float | None) -> Figure:
    return Figure(f"{key}_times", what, times, "times", at_least(least) if least else None)
