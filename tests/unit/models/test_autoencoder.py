"""The autoencoder: its published size, what goes in, what comes out."""

import pytest
import torch
from pydantic import ValidationError

from photochrom.worker.models.autoencoder import Autoencoder, AutoencoderConfig
from photochrom.worker.photo.base import colorspace


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return Autoencoder(AutoencoderConfig(side=16, filters=(4, 6), dense=8)).eval()


def test_the_published_configuration_has_206_million_parameters():
    with torch.device("meta"):
        network = Autoencoder(AutoencoderConfig())
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(206e6, rel=0.005)


def test_the_output_is_a_picture_of_the_same_side(tiny):
    assert tiny(torch.rand(2, 1, 16, 16)).shape == (2, 3, 16, 16)


def test_chroma_lies_between_minus_and_plus_a_half(tiny):
    with torch.no_grad():
        chroma = tiny.read_out(100 * torch.randn(4, 3, 16, 16))
    assert chroma.shape == (4, 2, 16, 16)
    assert chroma.dtype == torch.float32
    assert abs(chroma).max() <= 0.5 + 1e-6


def test_chroma_is_that_of_the_picture_the_network_draws(tiny):
    rgb = torch.tensor([0.8, 0.3, 0.1])
    output = rgb.logit().view(1, 3, 1, 1).expand(1, 3, 16, 16)
    _, u, v = colorspace.split(rgb)
    torch.testing.assert_close(tiny.read_out(output)[0, :, 5, 5], torch.stack([u, v]))


@pytest.mark.parametrize("side", [15, 20, 32])
def test_another_size_than_its_own_is_refused(tiny, side):
    with pytest.raises(ValueError, match=f"{side}.* {side}.*this network is made for 16"):
        tiny(torch.rand(1, 1, side, side))


def test_every_photograph_is_shown_at_its_one_size(tiny):
    assert tiny.input_size(3000, 20) == (16, 16)


@pytest.mark.parametrize("setting", [{"side": 18}, {"kernel": 4}, {"kernel": -1}, {"filters": (0, 4)}, {"dense": 0}])
def test_sizes_that_make_no_network_are_refused(setting):
    with pytest.raises(ValidationError):
        AutoencoderConfig(**setting)
