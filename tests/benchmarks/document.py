"""The tables of docs/speed.md, and one of docs/fidelity.md, made of what was measured: nobody copies a figure by hand.

In docs/measured/, bench.json is what `make bench` has written, passages.json what `photochrom bench --stack --json`
printed. Each table stands between two comments, `<!-- measured: NAME -->` and `<!-- /measured -->`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from photochrom.deploy.bench.ratios import Place, bound_rows, ratio_rows
from photochrom.worker.telemetry.stages import STAGES
from tests.benchmarks.capacity import Assumed, costs, report
from tests.benchmarks.figures import shown

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENTS = (DOCS / "speed.md", DOCS / "fidelity.md")
BENCH, PASSAGES = DOCS / "measured/bench.json", DOCS / "measured/passages.json"

GPU_IMAGES_PER_SECOND = 300.0
"""What the document assumes of a GPU's network; none was measured."""

PLACES: dict[Place, str] = {"local": "On local files, one process of one thread", "stack": "Through queue and S3"}


def document(text: str) -> str:
    """The text with its tables anew. Raises KeyError for a name that no table has."""
    bench, passages = json.loads(BENCH.read_text()), json.loads(PASSAGES.read_text())
    tables: dict[str, Callable[[], Iterable[str]]] = {
        "machine": lambda: [f"Machine: {bench['machine']}; {bench['engine']}."],
        "targets": lambda: _targets(bench),
        "splicing": lambda: _splicing(bench),
        "passages": lambda: _passages(passages),
        "figures": lambda: _figures(bench),
        "capacity": lambda: [report(costs(bench), Assumed(gpu_images_per_second=GPU_IMAGES_PER_SECOND)).strip()],
    }

    def anew(found: re.Match[str]) -> str:
        lines = "\n".join(tables[found[1]]())
        return f"<!-- measured: {found[1]} -->\n{lines}\n<!-- /measured -->"

    return re.sub(r"<!-- measured: (\w+) -->\n.*?<!-- /measured -->", anew, text, flags=re.DOTALL)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    right = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(line)} |" for line in (head, right, *rows)]


def _targets(bench: dict[str, Any]) -> list[str]:
    """All figures that have one."""
    rows = [
        (figure["what"].strip(), _value(figure), figure["target"], "yes" if figure["met"] else "**no**")
        for section in bench["sections"].values()
        for figure in section["figures"].values()
        if "target" in figure
    ]
    return _table(("", "figure", "target", "met"), rows)


def _splicing(bench: dict[str, Any]) -> list[str]:
    """A gray JPEG of 12 MP, spliced and encoded anew."""
    story = {key: figure["value"] for key, figure in bench["sections"]["story"]["figures"].items()}
    rows = [
        (what, *(f"{shown(story[f'12mp_{part}_{way}_ms'])} ms" for way in ("spliced", "ordinary_way")), times)
        for part, what, times in (
            ("codec", "codec part: all but the network", shown(story["12mp_codec_times"])),
            ("story", "the whole story without S3", shown(story["12mp_story_times"])),
        )
    ]
    network = f"{shown(story['12mp_network_ms'])} ms"
    table = _table(("", "spliced", "the ordinary way", "times"), [*rows, ("the network in both", network, network, "")])
    return [*table, "", f"Machine: {bench['machine']}."]


def _figures(bench: dict[str, Any]) -> Iterator[str]:
    """Every figure, section by section."""
    for name, section in bench["sections"].items():
        yield f"### {section['title']}\n"
        yield f'`make bench BENCH_ARGS="--only {name}"`. {section["note"]}'.strip() + "\n"
        rows = [(figure["what"].strip(), _value(figure)) for figure in section["figures"].values()]
        yield from _table(("", "figure"), rows)
        yield ""


def _value(figure: dict[str, Any]) -> str:
    return f"{shown(figure['value'])} {figure['unit']}".strip()


def _passages(measured: dict[str, Any]) -> Iterator[str]:
    """Where the time goes, and how near that is to its bounds: stages down, kinds of photographs across."""
    for place, title in PLACES.items():
        passages = measured[place]
        stages = (stage for stage in STAGES if any(passage["seconds_an_image"][stage] for passage in passages))
        rows = [(stage, *(_stage(passage, stage) for passage in passages)) for stage in stages]
        rows.append(("CPU of the process", *(_ms(passage["process_cpu_seconds_an_image"]) for passage in passages)))
        if place == "stack":
            rows.append(("CPU of the servers", *(_ms(passage["servers_cpu_seconds_an_image"]) for passage in passages)))
        rows += bound_rows(place, passages)
        rows.append(("images/s", *(f"{passage['images_per_second']:.1f}" for passage in passages)))
        rows += ratio_rows(passages)
        processes = passages[0]["processes"]
        yield f"**{title}{f', {processes} processes' if place == 'stack' else ''}**, ms an image\n"
        yield from _table(("", *(passage["kind"] for passage in passages)), rows)
        yield ""
    yield measured["bottleneck"]


def _stage(passage: dict[str, Any], stage: str) -> str:
    seconds = passage["seconds_an_image"]
    return f"{_ms(seconds[stage])} ({seconds[stage] / sum(seconds.values()):.0%})"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}"


def main() -> None:
    argparse.ArgumentParser(prog="python -m tests.benchmarks.document", description=__doc__).parse_args()
    for path in DOCUMENTS:
        path.write_text(document(path.read_text()))


if __name__ == "__main__":
    main()
