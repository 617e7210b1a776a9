"""The rules by which a challenger passes or not, on figures that are given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.training.evaluation.evaluate import Evaluation, bootstrap
from photochrom.training.evaluation.promotion_gate import Gate, figures_of, rules


def test_the_gate_is_as_the_settings_say(settings):
    chosen = settings.model_copy(update={"gate_measure": "psnr", "gate_confidence": 0.9, "gate_ciede2000": 0.2})
    assert Gate.of(chosen) == Gate("psnr", 0.9, 0.05, 0.2, 0.05)
    assert (Gate.of(settings).measure, Gate.of(settings).other) == ("ciede2000", "psnr")


def figures(**changes):
    return {
        "photographs": 100.0,
        "colourfulness_ratio": 0.6,
        "colourfulness_ratio_champion": 0.6,
        **{f"psnr_change{end}": value for end, value in (("", 0.5), ("_low", 0.2), ("_high", 0.8))},
        **{f"ciede2000_change{end}": value for end, value in (("", -0.5), ("_low", -0.8), ("_high", -0.2))},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "gate", "met"),
    [
        ({}, Gate(), (True, True, True)),
        ({"ciede2000_change_high": 0.0}, Gate(), (False, True, True)),
        ({"ciede2000_change_high": 0.01}, Gate(), (False, True, True)),
        ({"psnr_change": -0.05}, Gate(), (True, True, True)),
        ({"psnr_change": -0.06}, Gate(), (True, False, True)),
        ({"psnr_change": -0.06}, Gate(psnr=0.1), (True, True, True)),
        ({"psnr_change_low": -0.01}, Gate("psnr"), (False, True, True)),
        ({"ciede2000_change": 0.06}, Gate("psnr"), (True, False, True)),
        ({"ciede2000_change": 0.04}, Gate("psnr"), (True, True, True)),
        ({"colourfulness_ratio": 0.56}, Gate(), (True, True, True)),
        ({"colourfulness_ratio": 0.54}, Gate(), (True, True, False)),
        ({"colourfulness_ratio": 1.44}, Gate(), (True, True, True)),
        ({"colourfulness_ratio": 1.46}, Gate(), (True, True, False)),
        ({"colourfulness_ratio": 0.54}, Gate(colourfulness=0.1), (True, True, True)),
    ],
)
def test_each_rule_looks_at_its_own_figures(changes, gate, met):
    assert tuple(rule.met for rule in rules(figures(**changes), gate)) == met


@pytest.mark.parametrize("name", figures())
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_figure_that_is_not_finite_is_refused(name, value):
    (rule,) = rules(figures(**{name: value}), Gate())
    assert not rule.met


@pytest.mark.parametrize(("confidence", "fewest"), [(0.9, 5), (0.95, 6), (0.99, 8)])
def test_so_few_photographs_cannot_be_sure(confidence, fewest):
    gate = Gate(confidence=confidence)
    assert gate.fewest == fewest
    assert all(rule.met for rule in rules(figures(photographs=fewest), gate))
    assert not all(rule.met for rule in rules(figures(photographs=fewest - 1), gate))


@pytest.mark.parametrize("confidence", [0.95, 0.7])
def test_the_figures_are_of_the_challenger_against_the_champion(confidence):
    random = np.random.default_rng(0)
    champion, challenger = random.uniform((20, 8, 10), (25, 12, 30), (2, 50, 3))
    scores = {"champion": champion, "challenger": challenger}
    evaluation = Evaluation([""] * 50, scores, np.full(50, 40.0))
    found = figures_of(evaluation, Gate(confidence=confidence))
    changes = challenger - champion
    expected = {
        "photographs": 50,
        "psnr": challenger[:, 0].mean(),
        "psnr_champion": champion[:, 0].mean(),
        "ciede2000": challenger[:, 1].mean(),
        "ciede2000_champion": champion[:, 1].mean(),
        "colourfulness_ratio": challenger[:, 2].mean() / 40,
        "colourfulness_ratio_champion": champion[:, 2].mean() / 40,
        "psnr_better_share": (changes[:, 0] > 0).mean(),
        "ciede2000_better_share": (changes[:, 1] < 0).mean(),
    }
    for column, measure in enumerate(("psnr", "ciede2000")):
        interval = bootstrap(changes[:, column], confidence=confidence)
        expected |= {
            f"{measure}_change{end}": value for end, value in zip(("", "_low", "_high"), interval, strict=True)
        }
    assert found == pytest.approx(expected, abs=1e-4)


@given(
    st.lists(st.tuples(*[st.floats(5, 40)] * 4), min_size=6, max_size=40),
    st.sampled_from(["psnr", "ciede2000"]),
    st.floats(0, 5),
)
def test_of_two_models_never_both_would_replace_the_other(rows, measure, tolerance):
    values = np.array(rows)
    first, second = (np.column_stack([values[:, k : k + 2], np.full(len(rows), 20)]) for k in (0, 2))
    gate = Gate(measure, psnr=tolerance, ciede2000=tolerance)
    passed = []
    for champion, challenger in ((first, second), (second, first)):
        scores = {"champion": champion, "challenger": challenger}
        found = figures_of(Evaluation([""] * len(rows), scores, np.full(len(rows), 30.0)), gate)
        passed.append(all(rule.met for rule in rules(found, gate)))
    assert not all(passed)
