"""What the networks are trained to make small, and that the decoder undoes what the loss weighs."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from photochrom.training.fit import losses
from photochrom.worker.models.autoencoder import Autoencoder, AutoencoderConfig
from photochrom.worker.models.vgg_yuv import ChromaBins, VggYuvConfig
from photochrom.worker.photo.base import colorspace

NONE = 2e-4  # the loss keeps off the kink of the square root by 1e-4


def planes(seed, *shape):
    return 0.4 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def two(u, v):
    """U and V of one picture each, as chroma (1, 2, h, w)."""
    return torch.stack([u, v])[None]


def chroma_at(u, v):
    return torch.tensor([u, v]).view(1, 2, 1, 1)


@pytest.fixture
def bins():
    return ChromaBins(15, 0.04)


def test_true_chroma_is_the_chroma_of_the_picture():
    rgb = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = losses.true_chroma(rgb)
    for n in range(2):
        torch.testing.assert_close(found[n], torch.stack(colorspace.split(rgb[n])[1:]))


def test_blurred_distance_of_equal_chroma_is_none():
    chroma = planes(0, 2, 2, 12, 12)
    assert losses.blurred_distance(chroma, chroma) < NONE


def test_an_error_in_u_alone_counts_the_same_whatever_v_is():
    wrong, right = planes(1, 9, 9), planes(2, 9, 9)
    distances = [losses.blurred_distance(two(wrong, v), two(right, v)) for v in (planes(3, 9, 9), planes(4, 9, 9))]
    torch.testing.assert_close(*distances)


def test_u_and_v_are_blurred_apart():
    u, v, truth = planes(5, 9, 9), planes(6, 9, 9), torch.zeros(1, 2, 9, 9)
    turned = losses.blurred_distance(two(u, -v), truth)
    torch.testing.assert_close(losses.blurred_distance(two(u, v), truth), turned)
    torch.testing.assert_close(losses.blurred_distance(two(v, u), truth), turned)


def test_a_plain_cast_costs_its_euclidean_length():
    cast = chroma_at(0.3, 0.4).expand(1, 2, 400, 400)
    assert losses.blurred_distance(cast, torch.zeros_like(cast)).item() == pytest.approx(0.5, rel=0.01)


def test_blurring_spreads_an_error_and_keeps_its_sum():
    spot = torch.zeros(1, 2, 11, 11)
    spot[0, 0, 5, 5] = 1.0
    for side in losses.BLUR_SIDES:
        blurred = losses._blur(spot, side)
        assert blurred[0, 0].sum().item() == pytest.approx(1.0, abs=1e-5)
        assert blurred[0, 1].abs().max() == 0
        assert (blurred[0, 0] > 0).sum() == side**2
        assert blurred[0, 0, 5, 5] == blurred.max()


def test_fine_noise_costs_less_than_a_cast_of_the_same_strength():
    checks = torch.ones(1, 2, 40, 40)
    checks[..., ::2, 1::2] = checks[..., 1::2, ::2] = -1
    truth = torch.zeros_like(checks)
    assert losses.blurred_distance(0.1 * checks, truth) < 0.6 * losses.blurred_distance(0.1 * checks.abs(), truth)


@given(st.floats(-0.7, 0.7), st.floats(-0.7, 0.7))
def test_soft_labels_sum_to_one_and_lie_on_the_grid(u, v):
    index, share = losses.soft_labels(ChromaBins(15, 0.04), chroma_at(u, v))
    assert share.sum().item() == pytest.approx(1, abs=1e-5)
    assert share.min() >= 0
    assert index.min() >= 0
    assert index.max() < 225
    assert len(index.unique()) == 9


@given(st.floats(-0.24, 0.24), st.floats(-0.24, 0.24))
def test_the_mean_of_soft_labels_is_the_chroma_they_stand_for(u, v):
    bins = ChromaBins(15, 0.04)
    index, share = losses.soft_labels(bins, chroma_at(u, v))
    mean = (bins.centers[:, index.flatten()] * share.flatten()).sum(1)
    assert mean.tolist() == pytest.approx([u, v], abs=0.002)


@pytest.mark.parametrize("bin_index", [0, 14, 16, 112, 113, 127, 224])
def test_a_label_at_a_bins_centre_is_mostly_that_bin(bins, bin_index):
    index, share = losses.soft_labels(bins, bins.centers[:, bin_index].view(1, 2, 1, 1))
    assert index.flatten()[share.flatten().argmax()] == bin_index


def test_chroma_outside_the_grid_is_labelled_at_its_edge(bins):
    index, share = losses.soft_labels(bins, chroma_at(0.5, -0.5))
    assert index.flatten()[share.flatten().argmax()] == 14 * 15


def soft_distribution(bins, chroma):
    index, share = losses.soft_labels(bins, chroma)
    return torch.full((1, 225, 1, 1), 1e-12).scatter_(1, index, share)


@pytest.mark.parametrize("rebalance", [0.0, 0.5, 1.0])
def test_cross_entropy_is_least_at_the_rebalanced_soft_label(bins, rebalance):
    bins.log_rarity.copy_(torch.linspace(-1, 2, 225))
    chroma = chroma_at(0.07, -0.11)
    best = soft_distribution(bins, chroma).log() + rebalance * bins.log_rarity.view(1, -1, 1, 1)
    least = losses.distribution_cross_entropy(bins, best, chroma, rebalance)
    for seed in range(20):
        other = best + planes(seed, 1, 225, 1, 1)
        assert losses.distribution_cross_entropy(bins, other, chroma, rebalance) > least
    best.requires_grad_()
    losses.distribution_cross_entropy(bins, best, chroma, rebalance).backward()
    assert best.grad.abs().max() < 1e-4


def test_without_vividness_decoding_undoes_what_rebalancing_did(bins):
    """A network that has learnt perfectly under rebalancing is read out at the true mean."""
    bins.log_rarity.copy_(torch.linspace(-1, 2, 225))
    chroma = chroma_at(0.07, -0.11)
    learnt = bins.add_rarity(soft_distribution(bins, chroma).log(), 0.5)
    torch.testing.assert_close(bins.mean(bins.add_rarity(learnt, -0.5), 1.0), chroma, rtol=0, atol=0.002)


def test_a_miss_on_rare_chroma_costs_more_under_rebalancing(bins):
    bins.log_rarity[112], bins.log_rarity[126] = -1.0, 2.0
    blank = torch.zeros(1, 225, 1, 1)
    common, rare = (bins.centers[:, index].view(1, 2, 1, 1) for index in (112, 126))
    plain = [losses.distribution_cross_entropy(bins, blank, chroma, 0.0) for chroma in (common, rare)]
    rebalanced = [losses.distribution_cross_entropy(bins, blank, chroma, 1.0) for chroma in (common, rare)]
    torch.testing.assert_close(*plain)
    assert rebalanced[1] > 2 * rebalanced[0]


def test_rarer_chroma_weighs_more_and_the_weights_average_to_one(bins):
    samples = torch.zeros(1, 2, 10, 10)
    samples[0, :, :3, :] = torch.tensor([0.08, 0.0]).view(2, 1, 1)
    samples[0, :, 0, 0] = torch.tensor([0.0, 0.2])
    losses.measure_rarity(bins, samples)
    grey, blue, red, never = 7 * 15 + 7, 9 * 15 + 7, 7 * 15 + 12, 0
    weight = bins.log_rarity.exp()
    assert weight[grey] < weight[blue] < weight[red] < weight[never]
    index, share = losses.soft_labels(bins, samples)
    assert (weight[index] * share).sum(1).mean().item() == pytest.approx(1, abs=1e-4)


def test_no_chroma_is_so_rare_that_its_weight_explodes(bins):
    losses.measure_rarity(bins, torch.zeros(1, 2, 8, 8))
    weight = bins.log_rarity.exp()
    assert weight.max() / weight.min() < 225


def test_the_residual_loss_is_none_when_the_planes_are_the_truth_about_a_half():
    rgb = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    network = SimpleNamespace(config=VggYuvConfig(decoder="residual"))
    assert losses.loss(network, losses.true_chroma(rgb) + 0.5, rgb) < NONE
    assert losses.loss(network, losses.true_chroma(rgb) + 128 / 255, rgb) > 10 * NONE


def test_the_distribution_loss_compares_with_the_truth_at_the_outputs_size():
    config = VggYuvConfig(rebalance=0.0)
    network = SimpleNamespace(config=config, bins=ChromaBins(config.grid_side, config.grid))
    rgb = torch.stack(colorspace.join(*(torch.full((1, 8, 8), value) for value in (0.5, 0.12, -0.08))), dim=1)
    right, wrong = (torch.zeros(1, 225, 2, 2).index_fill_(1, torch.tensor([index]), 3.0) for index in (10 * 15 + 5, 0))
    assert losses.loss(network, right, rgb) < losses.loss(network, wrong, rgb) - 1


def test_the_autoencoder_is_compared_with_the_whole_picture():
    network = Autoencoder(AutoencoderConfig(side=8, filters=(2, 2), dense=2))
    rgb = torch.full((1, 3, 8, 8), 0.25)
    least = losses.loss(network, rgb.logit(), rgb)
    assert losses.loss(network, rgb.logit() + 0.1, rgb) > least
    assert losses.loss(network, rgb.logit() - 0.1, rgb) > least
