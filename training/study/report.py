"""A study for people and machines: tables, curves, one JSON with everything, and pages of pictures."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from photochrom.training import pictures
from photochrom.training.data.photographs import center_square
from photochrom.training.data.readable import Readable
from photochrom.training.evaluation.evaluate import CONFIDENCE, SIDE, bootstrap, coloured, gray_of, plain_gray
from photochrom.training.metrics import MEASURES
from photochrom.training.study.engines import engine_of
from photochrom.training.study.finding import Finding, Judged
from photochrom.training.study.variant import Study

SMALL_SIDE = 96
"""Of the pictures on the small page, which is to be put into documentation."""
JPEG_QUALITY = 60

HEAD = (
    "| variant | | images/s | PSNR, dB (over gray) | CIEDE2000 (over gray) | colour "
    "| nearer than gray by PSNR / CIEDE2000 | CIEDE2000 over {reference} |"
)


def write(study: Study, findings: Sequence[Finding], out: Path) -> None:
    """Write `study.md`, `study.json` and `curves.png` about what was measured so far."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "study.md").write_text(markdown(study, findings) + "\n")
    (out / "study.json").write_text(json.dumps(everything(study, findings), indent=1) + "\n")
    curves(findings, out / "curves.png")


def everything(study: Study, findings: Sequence[Finding]) -> dict[str, Any]:
    """All that is known as plain JSON values: declarations, recipes, histories, the score of every photograph."""
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "torch": torch.__version__}
    return {
        "study": asdict(study),
        "machine": {**machine, "threads": torch.get_num_threads()},
        "findings": [entry.model_dump(mode="json") for entry in findings],
    }


def markdown(study: Study, findings: Sequence[Finding]) -> str:
    """A table for each evaluation set; "colour" is colourfulness as a share of the truth's."""
    sets = dict.fromkeys(name for entry in findings for name in entry.judged)
    return "\n\n".join([f"# {study.title}", *(_table(study, findings, name) for name in sets)])


def _table(study: Study, findings: Sequence[Finding], name: str) -> str:
    rows = [(entry, entry.judged[name]) for entry in findings if name in entry.judged]
    reference = next((judged for entry, judged in rows if entry.name == study.reference), None)
    summary = rows[0][1].summary
    lines = [
        f"{name}: {summary['photographs']} photographs, {CONFIDENCE:.0%} confidence",
        "",
        HEAD.format(reference=study.reference),
        "|---" * (HEAD.count("|") - 1) + "|",
    ]
    for contender in ("gray", "mean chroma"):
        means = summary["means"][contender]
        share = f"{means['colourfulness_ratio']:.0%}"
        lines.append(f"| {contender} | | | {means['psnr']:.2f} | {means['ciede2000']:.2f} | {share} | | |")
    return "\n".join([*lines, *(_row(entry, judged, reference) for entry, judged in rows)])


def _row(entry: Finding, judged: Judged, reference: Judged | None) -> str:
    summary = judged.summary
    means, gains = summary["means"]["model"], summary["gains"]
    cells = [
        entry.name,
        entry.about,
        f"{entry.images_per_second:.1f}" if entry.images_per_second else "",
        f"{means['psnr']:.2f} ({_interval(*gains['psnr_over_gray'].values())})",
        f"{means['ciede2000']:.2f} ({_interval(*gains['ciede2000_over_gray'].values())})",
        f"{means['colourfulness_ratio']:.0%}",
        f"{summary['better_than_gray_by_psnr']:.0%} / {summary['better_than_gray_by_ciede2000']:.0%}",
        _interval(*against(judged, reference)) if reference and reference is not judged else "",
    ]
    return f"| {' | '.join(cells)} |"


def against(judged: Judged, reference: Judged, measure: str = "ciede2000") -> tuple[float, float, float]:
    """Mean of judged minus reference over the photographs of both, with the ends of its paired interval."""
    column = MEASURES.index(measure)
    other = {name: scores[column] for name, scores in zip(reference.names, reference.scores, strict=True)}
    pairs = zip(judged.names, judged.scores, strict=True)
    return bootstrap(np.array([scores[column] - other[name] for name, scores in pairs if name in other]))


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:+.2f}, {low:+.2f} to {high:+.2f}"


def curves(findings: Sequence[Finding], path: Path) -> None:
    """CIEDE2000 and PSNR on the validation photographs over the images seen, a line for each trained variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for entry in findings:
        if entry.recipe:
            batches = max(1, entry.recipe["images_per_epoch"] // entry.recipe["batch"])
            seen = [figures["epoch"] * batches * entry.recipe["batch"] for figures in entry.history]
            for axes, measure in ((above, "ciede2000"), (below, "psnr")):
                axes.plot(seen, [figures[measure] for figures in entry.history], marker=".", label=entry.name)
    above.set_ylabel("CIEDE2000 (lower is better)")
    below.set_ylabel("PSNR in dB")
    below.set_xlabel("images seen")
    if above.lines:
        above.legend(ncols=2, fontsize="small")
    figure.savefig(path, dpi=80)


def page(study: Study, findings: Sequence[Finding], photographs: Sequence[Readable], out: Path) -> None:
    """Write `page.png`: photographs, 224 x 224, in gray, by every entry, and true; `page.jpg` is the same, small."""
    truths = [center_square(photograph.rgb(), SIDE) for photograph in photographs]
    there = {entry.name for entry in findings}
    grays = [gray_of(truth) for truth in truths]
    columns = [[plain_gray(gray) for gray in grays]]
    titles = ["gray"]
    for entry in study.entries:
        if entry.name in there:
            engine = engine_of(entry, out)
            columns.append([coloured(gray, engine) for gray in grays])
            titles.append(entry.name)
    rows = list(zip(*columns, truths, strict=True))
    pictures.contact_sheet(out / "page.png", rows, [*titles, "truth"], across=1)
    small = [[np.asarray(Image.fromarray(picture).resize((SMALL_SIDE, SMALL_SIDE))) for picture in row] for row in rows]
    pictures.contact_sheet(out / "page-small.png", small, [*titles, "truth"], across=1)
    with Image.open(out / "page-small.png") as sheet:
        sheet.save(out / "page.jpg", quality=JPEG_QUALITY)
    (out / "page-small.png").unlink()
