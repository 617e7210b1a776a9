"""How well a model colours photographs whose colours are known, beside plain gray and one constant tint.

Each photograph's centre square at 224 x 224 is turned gray and coloured by the very code that serves. Figures are
averaged over photographs; confidence intervals come from a paired bootstrap over photographs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from training import metrics
from training.metrics import MEASURES
from training.photographs import Photograph as Encoded
from training.photographs import center_square
from worker.colorize import predict
from worker.engine import Engine
from worker.photo.luma import join
from worker.photo.raster import Raster

SIDE = 224
RESAMPLES = 5000
CONFIDENCE = 0.95
CONTENDERS = ("model", "gray", "mean chroma")


@dataclass
class Evaluation:
    """Scores (photographs, measures) of each contender, and the truth's own colourfulness (photographs,)."""

    names: list[str]
    scores: dict[str, np.ndarray]
    truth_colourfulness: np.ndarray
    left_out: Counter[str] = field(default_factory=Counter)

    def means(self, contender: str) -> dict[str, float]:
        """Mean of every measure, and the colourfulness as a share of the truth's."""
        found = dict(zip(MEASURES, self.scores[contender].mean(axis=0).tolist(), strict=True))
        return {**found, "colourfulness_ratio": found["colourfulness"] / float(self.truth_colourfulness.mean())}

    def gain(self, measure: str, over: str) -> tuple[float, float, float]:
        """Mean of model minus `over`, with the ends of its confidence interval."""
        column = MEASURES.index(measure)
        return bootstrap(self.scores["model"][:, column] - self.scores[over][:, column])

    def share_better(self, measure: str, over: str, *, higher_is_better: bool) -> float:
        """Share of photographs on which the model beats `over`."""
        column = MEASURES.index(measure)
        difference = self.scores["model"][:, column] - self.scores[over][:, column]
        return float(np.mean(difference > 0 if higher_is_better else difference < 0))

    def summary(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        gains = {
            f"{measure}_over_{over.replace(' ', '_')}": dict(
                zip(("mean", "low", "high"), self.gain(measure, over), strict=True)
            )
            for measure in ("psnr", "ciede2000")
            for over in CONTENDERS[1:]
        }
        return {
            "photographs": len(self.names),
            "left_out": dict(self.left_out),
            "side": SIDE,
            "confidence": CONFIDENCE,
            "truth_colourfulness": float(self.truth_colourfulness.mean()),
            "means": {contender: self.means(contender) for contender in CONTENDERS},
            "gains": gains,
            "better_than_gray_by_psnr": self.share_better("psnr", "gray", higher_is_better=True),
            "better_than_gray_by_ciede2000": self.share_better("ciede2000", "gray", higher_is_better=False),
        }


def bootstrap(differences: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean of paired differences (n,), and the ends of its percentile bootstrap confidence interval."""
    random = np.random.default_rng(seed)
    counts = random.multinomial(len(differences), np.full(len(differences), 1 / len(differences)), RESAMPLES)
    means = counts @ differences / len(differences)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(differences.mean()), float(low), float(high)


def evaluate(
    photographs: Iterable[Encoded],
    engine: Engine,
    mean_chroma: tuple[float, float],
    vividness: float | None = None,
    each: Callable[[np.ndarray, np.ndarray, np.ndarray], None] = lambda gray, coloured, truth: None,
) -> Evaluation:
    """Score the model on photographs in colour; `each` is given (gray, coloured, truth), RGB uint8 (224, 224, 3).

    `mean_chroma` is the constant tint to compare with: that of the training photographs.
    """
    names: list[str] = []
    rows: dict[str, list[metrics.Scores]] = {contender: [] for contender in CONTENDERS}
    truths: list[float] = []
    left_out: Counter[str] = Counter()
    constant = np.asarray(mean_chroma, np.float32).reshape(2, 1, 1)
    for photograph in photographs:
        try:
            truth = center_square(photograph.rgb(), SIDE)
        except Exception as error:  # any decoder error means the same here
            left_out[f"unreadable ({type(error).__name__})"] += 1
            continue
        gray = gray_of(truth)
        results = {
            "model": join(gray.luma, predict(gray, engine, vividness)),
            "gray": join(gray.luma, np.zeros_like(constant)),
            "mean chroma": join(gray.luma, constant),
        }
        for contender, result in results.items():
            rows[contender].append(metrics.score(result, truth))
        names.append(photograph.name)
        truths.append(metrics.colourfulness(truth))
        each(results["gray"], results["model"], truth)
    return Evaluation(names, {name: np.array(scores) for name, scores in rows.items()}, np.array(truths), left_out)


def gray_of(rgb: np.ndarray) -> Raster:
    """A photograph as if it had been read from a gray file: the luma of RGB uint8 (h, w, 3)."""
    return Raster(np.asarray(Image.fromarray(rgb).convert("L")))


def table(evaluation: Evaluation, title: str) -> str:
    """The figures for people, as Markdown."""
    lines = [
        f"{title}: {len(evaluation.names)} photographs, {CONFIDENCE:.0%} confidence",
        "",
        "| | PSNR, dB | CIEDE2000 | colourfulness, share of the truth's |",
        "|---|---|---|---|",
    ]
    for contender in CONTENDERS:
        mean = evaluation.means(contender)
        row = f"{mean['psnr']:.2f} | {mean['ciede2000']:.2f} | {mean['colourfulness_ratio']:.0%}"
        lines.append(f"| {contender} | {row} |")
    for over in CONTENDERS[1:]:
        psnr, difference = evaluation.gain("psnr", over), evaluation.gain("ciede2000", over)
        shares = np.array(difference) / evaluation.means(over)["ciede2000"]
        left = f"{psnr[0]:+.2f} ({psnr[1]:+.2f} to {psnr[2]:+.2f})"
        right = f"{difference[0]:+.2f} ({difference[1]:+.2f} to {difference[2]:+.2f}), {shares[0]:+.1%}"
        lines.append(f"| model minus {over} | {left} | {right} | |")
    better = evaluation.summary()
    lines += [
        "",
        f"Nearer to the truth than gray: {better['better_than_gray_by_psnr']:.0%} of the photographs by PSNR, "
        f"{better['better_than_gray_by_ciede2000']:.0%} by CIEDE2000.",
    ]
    return "\n".join(lines)
