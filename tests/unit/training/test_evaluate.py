"""Scores of a model beside gray and one tint: what is measured, what is left out, and how sure the means are."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photochrom.training import metrics
from photochrom.training.data.readable import Encoded
from photochrom.training.evaluation import evaluate as evaluation
from photochrom.training.evaluation.evaluate import (
    Evaluation,
    bootstrap,
    coloured,
    evaluate,
    gray_of,
    measure,
    plain_gray,
    table,
)
from photochrom.worker.errors import CheckpointError, ImageFault, RetryableError, UsageError


@pytest.fixture(autouse=True)
def small_squares(monkeypatch):
    monkeypatch.setattr(evaluation, "SIDE", 24)


@pytest.fixture
def photographs(picture, encode):
    return [Encoded(f"{index}.png", encode(picture(index))) for index in range(5)]


class Broken:
    name = "broken.jpg"

    def __init__(self, error):
        self.error = error

    def rgb(self):
        raise self.error


def test_every_contender_is_scored_on_every_photograph_against_the_truth(photographs, engine):
    seen = []
    found = evaluate(photographs, engine, (0.05, 0.02), each=seen.append)
    assert found.names == [photograph.name for photograph in photographs]
    for index, one in enumerate(seen):
        assert one.truth.shape == (24, 24, 3)
        for contender in ("model", "gray", "mean chroma"):
            assert tuple(found.scores[contender][index]) == metrics.score(one.results[contender], one.truth)
        assert found.truth_colourfulness[index] == metrics.colourfulness(one.truth)
        luma = gray_of(one.truth).luma
        assert all((gray_of(result).luma == luma).all() for result in one.results.values())
        assert (one.results["gray"] == luma[..., None]).all()
        assert not (one.results["model"] == one.results["mean chroma"]).all()
    assert len(seen) == len(photographs)


def test_the_models_own_vividness_is_replaced_where_another_is_given(photographs, engine, monkeypatch):
    asked = []
    monkeypatch.setattr(engine, "predict", lambda gray, vividness=None: asked.append(vividness) or np.zeros((2, 8, 8)))
    evaluate(photographs[:1], engine, (0, 0))
    evaluate(photographs[:1], engine, (0, 0), 0.7)
    assert asked == [None, 0.7]


def test_what_cannot_be_decoded_is_left_out_and_counted_by_reason(photographs, engine):
    broken = [Broken(OSError("cut")), Broken(ImageFault("gone", "not there")), Encoded("text.jpg", b"no photograph")]
    found = evaluate([*broken, *photographs], engine, (0, 0))
    assert found.left_out == {"unreadable (OSError)": 1, "gone": 1, "unreadable (UnidentifiedImageError)": 1}
    assert len(found.names) == 5
    assert found.summary()["left_out"] == dict(found.left_out)


@pytest.mark.parametrize("error", [UsageError("altered"), RetryableError("slow")])
def test_what_is_no_photographs_fault_ends_it(photographs, engine, error):
    with pytest.raises(type(error), match=str(error)):
        evaluate([*photographs, Broken(error)], engine, (0, 0))


@pytest.mark.parametrize("names", [[], ["gray.png"]])
def test_photographs_without_any_colour_are_refused(engine, picture, encode, names):
    gray = encode(picture(1).convert("L"))
    with pytest.raises(UsageError, match="colour ones are needed"):
        evaluate([Encoded(name, gray) for name in names], engine, (0, 0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_colours_that_are_not_finite_are_refused(engine, monkeypatch, value):
    gray = gray_of(np.full((16, 16, 3), 90, np.uint8))
    monkeypatch.setattr(type(engine), "blue", value)
    with pytest.raises(CheckpointError, match=r"stand-in 555555555555 .* not finite"):
        coloured(gray, engine)


def test_plain_gray_is_the_luma_three_times():
    luma = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (plain_gray(SimpleNamespace(luma=luma)) == np.stack([luma] * 3, axis=-1)).all()


def test_scores_of_single_photographs_are_plain_values(photographs, engine):
    found = measure(photographs, {"gray": plain_gray})
    first = found.per_image()[0]
    assert first["name"] == "0.png"
    assert first["gray"] == pytest.approx(dict(zip(metrics.MEASURES, found.scores["gray"][0], strict=True)), abs=1e-4)
    assert first["truth_colourfulness"] == pytest.approx(found.truth_colourfulness[0], abs=1e-4)
    assert [type(value) for value in first["gray"].values()] == [float] * 3


def scored(**scores):
    count = len(next(iter(scores.values())))
    return Evaluation([str(index) for index in range(count)], {k: np.array(v) for k, v in scores.items()}, np.ones(2))


def test_gains_and_shares_are_of_one_contender_over_another():
    found = scored(model=[(30, 5, 1), (20, 9, 1)], gray=[(28, 8, 0), (21, 10, 0)])
    assert found.gain("psnr", "gray")[0] == 0.5
    assert found.gain("psnr", "model", of="gray")[0] == -0.5
    assert found.gain("ciede2000", "gray")[0] == -2
    assert found.share_better("psnr", "gray", higher_is_better=True) == 0.5
    assert found.share_better("ciede2000", "gray", higher_is_better=False) == 1
    assert found.share_better("ciede2000", "model", higher_is_better=False, of="gray") == 0
    assert found.means("model") == {"psnr": 25, "ciede2000": 7, "colourfulness": 1, "colourfulness_ratio": 1}


def test_the_interval_is_that_of_means_of_resampled_differences():
    differences = np.random.default_rng(3).normal(0.1, 1, 40)
    random = np.random.default_rng(1)
    means = [random.choice(differences, 40).mean() for _ in range(5000)]
    mean, low, high = bootstrap(differences)
    assert mean == pytest.approx(differences.mean())
    assert (low, high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.02)
    assert bootstrap(differences, confidence=0.6)[1:] == pytest.approx(np.quantile(means, [0.2, 0.8]), abs=0.02)


def test_the_resamples_are_always_the_same_five_thousand():
    differences = np.random.default_rng(4).normal(0, 1, 30)
    counts = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), 5000)
    expected = np.quantile(counts @ differences / 30, [0.025, 0.975])
    assert bootstrap(differences)[1:] == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.floats(0.55, 0.99))
def test_more_confidence_is_a_wider_interval_about_the_same_mean(differences, confidence):
    values = np.array(differences)
    mean, low, high = bootstrap(values, confidence=confidence)
    surer = bootstrap(values, confidence=min(0.999, confidence + 0.05))
    assert surer[0] == mean
    assert surer[1] <= low <= high <= surer[2]
    assert values.min() - 1e-9 <= surer[1]
    assert surer[2] <= values.max() + 1e-9
    assert bootstrap(values, confidence=confidence) == (mean, low, high)


def test_the_table_names_all_contenders_and_what_the_model_gains(photographs, engine):
    text = table(evaluate(photographs, engine, (0.05, 0.02)), "stand-in on some")
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("|")]
    assert rows[2:] == ["| model", "| gray", "| mean chroma", "| model minus gray", "| model minus mean chroma"]
    assert text.startswith("stand-in on some: 5 photographs, 95% confidence")


def test_a_photograph_is_read_as_a_viewer_shows_it(picture, encode):
    upright = picture(3, width=80, height=64)
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert (np.asarray(Encoded("turned", encode(turned, exif=exif)).rgb()) == np.asarray(upright)).all()
