"""Measures of quality, against values that can be worked out by hand."""

import numpy as np
import pytest

from photochrom.training import metrics


def plain(*rgb):
    return np.full((6, 5, 3), rgb, dtype=np.uint8)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)


def test_identical_pictures_score_99_db_and_no_difference(noise):
    score = metrics.score(noise, noise.copy())
    assert score.psnr == 99
    assert score.ciede2000 == 0
    assert score.colourfulness == metrics.colourfulness(noise)


def test_an_error_of_one_level_everywhere_is_48_db():
    assert metrics.psnr(plain(10, 20, 30), plain(11, 19, 31)) == pytest.approx(48.13, abs=0.01)


def test_psnr_does_not_wrap_around_below_zero():
    assert metrics.psnr(plain(0, 0, 0), plain(255, 255, 255)) == pytest.approx(0)
    assert metrics.psnr(plain(255, 255, 255), plain(0, 0, 0)) == pytest.approx(0)


def test_black_and_white_are_100_apart():
    assert metrics.ciede2000(plain(0, 0, 0), plain(255, 255, 255)) == pytest.approx(100, abs=0.01)


def test_ciede2000_is_the_mean_over_the_pixels():
    half = plain(0, 0, 0)
    half[:3] = 255
    assert metrics.ciede2000(half, plain(0, 0, 0)) == pytest.approx(50, abs=0.01)


def test_a_larger_shift_of_hue_is_a_larger_difference():
    truth = plain(180, 90, 60)
    near, far = metrics.ciede2000(plain(180, 95, 60), truth), metrics.ciede2000(plain(60, 90, 180), truth)
    assert 0 < near < 5 < far


def test_a_gray_picture_has_no_colourfulness():
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert metrics.colourfulness(ramp) == 0


def test_colourfulness_of_plain_red_is_its_distance_from_gray():
    assert metrics.colourfulness(plain(255, 0, 0)) == pytest.approx(0.3 * np.hypot(255, 127.5))


def test_two_colours_are_more_colourful_than_either():
    both = plain(255, 0, 0)
    both[:3] = (0, 0, 255)
    # rg is 255 and 0, yb is 127.5 and -255: deviations 127.5 and 191.25, means 127.5 and -63.75
    assert metrics.colourfulness(both) == pytest.approx(np.hypot(127.5, 191.25) + 0.3 * np.hypot(127.5, 63.75))
    assert metrics.colourfulness(both) > metrics.colourfulness(plain(255, 0, 0))


def test_several_results_score_as_each_alone(noise):
    others = [noise, plain(10, 20, 30)[:1, :1] * np.ones_like(noise), 255 - noise]
    found = metrics.scores(others, noise)
    assert found == [metrics.score(other, noise) for other in others]
    for one, other in zip(found, others, strict=True):
        assert one == (metrics.psnr(other, noise), metrics.ciede2000(other, noise), metrics.colourfulness(other))
