"""VGG16-YUV: shapes, the encoder's fidelity to VGG16, and how chroma is read out of a distribution."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torchvision.models.vgg import cfgs, make_layers

from photochrom.worker.models.vgg_yuv import LONGEST_SIDE, STRIDE, ChromaBins, VggYuv, VggYuvConfig

DISTRIBUTION = VggYuvConfig(decoder="distribution", width=8, grid_side=5, grid=0.1)


@pytest.fixture(scope="module")
def distribution():
    torch.manual_seed(0)
    return VggYuv(DISTRIBUTION).eval()


@pytest.fixture(scope="module")
def residual():
    torch.manual_seed(0)
    return VggYuv(VggYuvConfig(decoder="residual")).eval()


@pytest.fixture(scope="module")
def published_vgg16():
    torch.manual_seed(1)
    return make_layers(cfgs["D"])


@pytest.mark.parametrize("size", [(32, 32), (32, 96), (80, 48)])
def test_a_distribution_comes_at_a_quarter_of_the_size(distribution, size):
    luma = torch.rand(2, 1, *size)
    with torch.no_grad():
        logits, chroma = distribution(luma), distribution.chroma(luma)
    assert logits.shape == (2, 25, size[0] // 4, size[1] // 4)
    assert chroma.shape == (2, 2, size[0] // 4, size[1] // 4)
    assert chroma.dtype == torch.float32
    assert abs(chroma).max() <= 0.2  # the outermost bins


@pytest.mark.parametrize("size", [(32, 32), (32, 96), (80, 48)])
def test_the_residual_decoder_gives_chroma_at_full_size(residual, size):
    luma = torch.rand(2, 1, *size)
    with torch.no_grad():
        planes, chroma = residual(luma), residual.chroma(luma)
    assert planes.shape == chroma.shape == (2, 2, *size)
    assert planes.min() >= 0
    assert planes.max() <= 1
    torch.testing.assert_close(chroma, planes - 0.5)


@pytest.mark.parametrize("network", ["distribution", "residual"])
@pytest.mark.parametrize("size", [(31, 32), (32, 40), (224, 200)])
def test_sides_that_are_no_multiples_of_the_stride_are_refused(request, network, size):
    with pytest.raises(ValueError, match=f"input of {size[0]} x {size[1]}: both sides must be multiples of {STRIDE}"):
        request.getfixturevalue(network)(torch.rand(1, 1, *size))


def test_the_served_network_has_the_size_that_its_layers_add_up_to():
    with torch.device("meta"):
        network = VggYuv(VggYuvConfig())
    encoder = 14_714_688  # torchvision's vgg16().features
    norms = 2 * (256 + 512 + 512)
    laterals = 2 * (512 * 256 + 256) + (256 * 256 + 256)
    convolutions = 3 * (9 * 256 * 256 + 2 * 256)
    to_bins = 256 * 225 + 225
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == encoder + norms + laterals + convolutions + to_bins


def test_encoder_tensors_have_torchvisions_names_and_shapes(distribution, published_vgg16):
    theirs = {f"features.{name}": tensor.shape for name, tensor in published_vgg16.state_dict().items()}
    assert {name: tensor.shape for name, tensor in distribution.encoder.state_dict().items()} == theirs


def test_the_residual_encoder_ends_behind_conv4_3(residual):
    assert max(int(name.split(".")[1]) for name in residual.encoder.state_dict()) == 21


@pytest.mark.parametrize(
    ("normalization", "prepare"),
    [
        ("imagenet-rgb", lambda y: (y - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])),
        ("vgg-bgr", lambda y: 255 * y - torch.tensor([103.939, 116.779, 123.68])),
    ],
)
def test_the_taps_are_what_torchvisions_vgg16_computes(published_vgg16, normalization, prepare):
    network = VggYuv(DISTRIBUTION.model_copy(update={"normalization": normalization}))
    network.encoder.features.load_state_dict(published_vgg16.state_dict())
    luma = torch.rand(1, 1, 32, 32)
    x = prepare(luma.permute(0, 2, 3, 1).expand(-1, -1, -1, 3)).permute(0, 3, 1, 2)
    with torch.no_grad():
        found = network.encoder(luma)
        for last, tap in ((16, "conv3_3"), (23, "conv4_3"), (30, "conv5_3")):
            torch.testing.assert_close(found[tap], published_vgg16[:last](x), rtol=1e-3, atol=1e-4)


def test_frozen_blocks_get_no_gradients_and_conv5_learns(distribution):
    distribution.encoder.freeze(trainable=("conv5",))
    try:
        distribution.zero_grad()
        distribution(torch.rand(1, 1, 32, 32)).square().sum().backward()
        learns = {name for name, tensor in distribution.encoder.named_parameters() if tensor.grad is not None}
        moved = [tensor.grad.abs().max() for tensor in distribution.encoder.parameters() if tensor.grad is not None]
    finally:
        distribution.requires_grad_(True).zero_grad()
    assert learns == {f"features.{index}.{kind}" for index in (24, 26, 28) for kind in ("weight", "bias")}
    assert min(moved) > 0


def test_freezing_everything_leaves_the_decoder_to_learn(distribution):
    distribution.encoder.freeze()
    try:
        assert not any(tensor.requires_grad for tensor in distribution.encoder.parameters())
        assert all(tensor.requires_grad for tensor in distribution.decoder.parameters())
    finally:
        distribution.requires_grad_(True)


def certain_of(bins, index):
    """Logits (1, bins, 1, 1) that leave no doubt about one bin."""
    return torch.zeros(1, bins, 1, 1).index_fill_(1, torch.tensor([index]), 1000.0)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 4), (3, 1), (2, 2), (4, 3)])
def test_a_certain_bin_is_read_out_at_its_centre(distribution, row, column):
    u, v = distribution.read_out(certain_of(25, row * 5 + column)).flatten().tolist()
    assert (u, v) == (pytest.approx((row - 2) * 0.1), pytest.approx((column - 2) * 0.1))


def test_no_opinion_is_read_out_as_gray(distribution):
    torch.testing.assert_close(distribution.read_out(torch.zeros(1, 25, 3, 3)), torch.zeros(1, 2, 3, 3))


def test_a_lower_temperature_comes_nearer_to_the_likeliest_bin():
    bins = ChromaBins(5, 0.1)
    logits = torch.zeros(1, 25, 1, 1)
    logits[0, 24] = 3.0
    sharp, dull = (bins.mean(logits, temperature)[0, 0, 0, 0] for temperature in (0.3, 2.0))
    assert 0 < dull < sharp <= 0.2


def test_vividness_moves_the_mean_towards_rare_bins(distribution):
    common, rare = 12, 14  # gray, and red without blue
    logits = torch.full((1, 25, 1, 1), -50.0)
    logits[0, [common, rare]] = 0.0
    distribution.bins.log_rarity[common], distribution.bins.log_rarity[rare] = -1.0, 1.5
    try:
        v = [distribution.read_out(logits, vividness)[0, 1, 0, 0].item() for vividness in (0.0, 0.25, 0.5, 1.0)]
        unset, default = (distribution.read_out(logits, v)[0, 1, 0, 0].item() for v in (None, 0.2))
    finally:
        distribution.bins.log_rarity.zero_()
    assert v == sorted(set(v))
    assert v[2] == pytest.approx(0.1)  # training's own rebalancing (0.5): the logits as they are, half and half
    assert unset == default
    assert v[0] < unset < v[1]  # the configuration's vividness


sides = st.integers(1, 100_000)


@given(sides, sides)
def test_input_sizes_are_multiples_of_the_stride_and_keep_the_orientation(height, width):
    shown_height, shown_width = VggYuvConfig().input_size(height, width)
    assert shown_height % STRIDE == shown_width % STRIDE == 0
    assert STRIDE <= min(shown_height, shown_width) <= max(shown_height, shown_width) <= LONGEST_SIDE
    if height >= width:
        assert shown_height >= shown_width
    if width >= height:
        assert shown_width >= shown_height


@given(sides, sides)
def test_a_photograph_on_its_side_is_shown_on_its_side(height, width):
    assert VggYuvConfig().input_size(width, height) == VggYuvConfig().input_size(height, width)[::-1]


@pytest.mark.parametrize(
    ("photograph", "shown"),
    [((500, 500), (224, 224)), ((3000, 4000), (192, 256)), ((4000, 3000), (256, 192)), ((1, 100_000), (16, 2048))],
)
def test_photographs_are_shown_in_their_own_shape(photograph, shown):
    assert VggYuvConfig().input_size(*photograph) == shown


@pytest.mark.parametrize(("side", "shown"), [(160, (128, 176)), (192, (160, 208)), (96, (80, 112))])
def test_how_large_photographs_are_shown_is_a_setting_of_the_network(side, shown):
    assert VggYuv(VggYuvConfig(working_side=side)).input_size(3000, 4000) == shown


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(64, 512))
def test_a_photograph_of_a_usual_shape_is_shown_in_it_with_no_more_pixels(height, width, side):
    assume(1 / 4 <= height / width <= 4)
    shown_height, shown_width = VggYuvConfig(working_side=side).input_size(height, width)
    assert shown_height * shown_width <= side**2
    assert shown_height * shown_width >= (side - 2 * STRIDE) ** 2 / 2
    assert abs(math.log(shown_height / shown_width / (height / width))) <= 2 * STRIDE / min(shown_height, shown_width)
