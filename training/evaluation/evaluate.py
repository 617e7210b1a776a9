"""How well a model colours photographs whose colours are known, beside plain gray and one constant tint.

Each photograph's centre square at 224 x 224 is turned gray and coloured by the very code that serves. Figures are
averaged over photographs; confidence intervals come from a paired bootstrap over photographs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from photochrom.training import metrics
from photochrom.training.data.photographs import center_square
from photochrom.training.data.readable import Readable
from photochrom.training.metrics import MEASURES, Scores
from photochrom.worker.coloring.colorize import predict
from photochrom.worker.errors import CheckpointError, ImageFault, PhotochromError, UsageError
from photochrom.worker.inference.engine import Engine
from photochrom.worker.photo.base.luma import join
from photochrom.worker.photo.base.raster import Raster

SIDE = 224
RESAMPLES = 5000
RESAMPLES_AT_ONCE = 250
"""As many rows of counts, each as long as there are photographs, lie in memory."""
CONFIDENCE = 0.95
CONTENDERS = ("model", "gray", "mean chroma")

Contender = Callable[[Raster], np.ndarray]
"""Makes a picture, RGB uint8 (h, w, 3), of a gray one."""


class Measured(NamedTuple):
    """One photograph: the truth, and what each contender made of it, as RGB uint8 (224, 224, 3), with its scores."""

    name: str
    truth: np.ndarray
    results: dict[str, np.ndarray]
    scores: dict[str, Scores]


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

    def differences(self, measure: str, of: str, over: str) -> np.ndarray:
        """Per photograph, `of` minus `over`: (photographs,)."""
        column = MEASURES.index(measure)
        difference: np.ndarray = self.scores[of][:, column] - self.scores[over][:, column]
        return difference

    def gain(
        self, measure: str, over: str, of: str = "model", confidence: float = CONFIDENCE
    ) -> tuple[float, float, float]:
        """Mean of `of` minus `over`, with the ends of its confidence interval."""
        return bootstrap(self.differences(measure, of, over), confidence=confidence)

    def share_better(self, measure: str, over: str, *, higher_is_better: bool, of: str = "model") -> float:
        """Share of photographs on which `of` beats `over`."""
        difference = self.differences(measure, of, over)
        return float(np.mean(difference > 0 if higher_is_better else difference < 0))

    def summary(self) -> dict[str, Any]:
        """Everything about the model as plain JSON values, but for the single photographs."""
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

    def per_image(self) -> list[dict[str, Any]]:
        """Of every photograph its name, and the scores of each contender, as plain JSON values."""
        return [
            {
                "name": name,
                "truth_colourfulness": round(float(self.truth_colourfulness[index]), 4),
                **{contender: _rounded(scores[index]) for contender, scores in self.scores.items()},
            }
            for index, name in enumerate(self.names)
        ]


def _rounded(scores: np.ndarray) -> dict[str, float]:
    return {measure: round(float(value), 4) for measure, value in zip(MEASURES, scores, strict=True)}


def bootstrap(differences: np.ndarray, seed: int = 0, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Mean of paired differences (n,), and the ends of its percentile bootstrap confidence interval."""
    random = np.random.default_rng(seed)
    count = len(differences)
    means = [
        random.multinomial(count, np.full(count, 1 / count), RESAMPLES_AT_ONCE) @ differences / count
        for _ in range(RESAMPLES // RESAMPLES_AT_ONCE)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(differences.mean()), float(low), float(high)


def evaluate(
    photographs: Iterable[Readable],
    engine: Engine,
    mean_chroma: tuple[float, float],
    vividness: float | None = None,
    each: Callable[[Measured], None] = lambda measured: None,
) -> Evaluation:
    """Score the model on photographs in colour, beside gray and `mean_chroma`, that of the training photographs.

    Raises CheckpointError for a model whose colours are not finite, UsageError where no photograph has any colour.
    """
    constant = np.asarray(mean_chroma, np.float32).reshape(2, 1, 1)
    contenders: dict[str, Contender] = {
        "model": partial(coloured, engine=engine, vividness=vividness),
        "gray": plain_gray,
        "mean chroma": lambda gray: join(gray.luma, constant),
    }
    return measure(photographs, contenders, each)


def measure(
    photographs: Iterable[Readable],
    contenders: Mapping[str, Contender],
    each: Callable[[Measured], None] = lambda measured: None,
) -> Evaluation:
    """Let all contenders colour the same photographs and score what they make of them; `each` is told one by one.

    Photographs that cannot be decoded are left out and counted. Raises UsageError where nothing is left, or what is
    left has no colour; and whatever a contender raises.
    """
    names: list[str] = []
    rows: dict[str, list[Scores]] = {contender: [] for contender in contenders}
    truths: list[float] = []
    left_out: Counter[str] = Counter()
    for name, truth in _squares(photographs, left_out):
        gray = gray_of(truth)
        results = {contender: make(gray) for contender, make in contenders.items()}
        scores = dict(zip(results, metrics.scores(results.values(), truth), strict=True))
        for contender, score in scores.items():
            rows[contender].append(score)
        names.append(name)
        truths.append(metrics.colourfulness(truth))
        each(Measured(name, truth, results, scores))
    if not any(truths):
        raise UsageError(f"{len(names)} photographs to measure with, and none has any colour: colour ones are needed")
    return Evaluation(names, {name: np.array(scores) for name, scores in rows.items()}, np.array(truths), left_out)


def _squares(photographs: Iterable[Readable], left_out: Counter[str]) -> Iterator[tuple[str, np.ndarray]]:
    for photograph in photographs:
        try:
            truth = center_square(photograph.rgb(), SIDE)
        except ImageFault as fault:
            left_out[fault.reason] += 1
            continue
        except PhotochromError:
            raise
        except Exception as error:  # any decoder error means the same here
            left_out[f"unreadable ({type(error).__name__})"] += 1
            continue
        yield photograph.name, truth


def coloured(gray: Raster, engine: Engine, vividness: float | None = None) -> np.ndarray:
    """What the model makes of a gray picture: RGB uint8 (h, w, 3). Raises CheckpointError for chroma not finite."""
    chroma = predict(gray, engine, vividness)
    if not np.isfinite(chroma).all():
        raise CheckpointError(f"{engine.card.name} {engine.card.sha256[:12]} gives colours that are not finite")
    return join(gray.luma, chroma)


def plain_gray(gray: Raster) -> np.ndarray:
    """The gray picture itself, as RGB uint8 (h, w, 3)."""
    return np.repeat(gray.luma[..., None], 3, axis=2)


def gray_of(rgb: np.ndarray) -> Raster:
    """A photograph as if it had been read from a gray file: the luma of RGB uint8 (h, w, 3)."""
    return Raster(np.asarray(Image.fromarray(rgb).convert("L")))


def table(evaluation: Evaluation, title: str) -> str:
    """The figures for people, as Markdown."""
    lines = [
        f"{title}: {len(evaluation.names)} photographs, {CONFIDENCE:.0%} confidence",
        "",
        *means_table(evaluation, CONTENDERS),
    ]
    for over in CONTENDERS[1:]:
        psnr, difference = evaluation.gain("psnr", over), evaluation.gain("ciede2000", over)
        lines.append(f"| model minus {over} | {gain_cells(psnr, difference, evaluation.means(over))} | |")
    better = evaluation.summary()
    lines += [
        "",
        f"Nearer to the truth than gray: {better['better_than_gray_by_psnr']:.0%} of the photographs by PSNR, "
        f"{better['better_than_gray_by_ciede2000']:.0%} by CIEDE2000.",
    ]
    return "\n".join(lines)


def means_table(evaluation: Evaluation, contenders: Iterable[str]) -> list[str]:
    """The head of a table and a line for each contender's means."""
    lines = ["| | PSNR, dB | CIEDE2000 | colourfulness, share of the truth's |", "|---|---|---|---|"]
    for contender in contenders:
        mean = evaluation.means(contender)
        row = f"{mean['psnr']:.2f} | {mean['ciede2000']:.2f} | {mean['colourfulness_ratio']:.0%}"
        lines.append(f"| {contender} | {row} |")
    return lines


def gain_cells(
    psnr: tuple[float, float, float], difference: tuple[float, float, float], over: Mapping[str, float]
) -> str:
    """Two cells of a table: the gains, their intervals, and that of CIEDE2000 as a share of the other's mean too."""
    left = f"{psnr[0]:+.2f} ({psnr[1]:+.2f} to {psnr[2]:+.2f})"
    share = difference[0] / over["ciede2000"]
    return f"{left} | {difference[0]:+.2f} ({difference[1]:+.2f} to {difference[2]:+.2f}), {share:+.1%}"
