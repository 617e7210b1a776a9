"""Small networks whose batch norms have seen something, as trained ones have."""

import pytest
import torch

from photochrom.worker.models.autoencoder import Autoencoder, AutoencoderConfig
from photochrom.worker.models.vgg_yuv import VggYuv, VggYuvConfig

NETWORKS = {
    "distribution": lambda: VggYuv(VggYuvConfig(width=8, grid_side=5, grid=0.1, vividness=0.3)),
    "distribution of torchvision's range": lambda: VggYuv(
        VggYuvConfig(width=8, grid_side=5, grid=0.1, normalization="imagenet-rgb")
    ),
    "residual": lambda: VggYuv(VggYuvConfig(decoder="residual")),
    "autoencoder": lambda: Autoencoder(AutoencoderConfig(side=16, filters=(4, 6), dense=8)),
    "autoencoder that draws chroma": lambda: Autoencoder(
        AutoencoderConfig(side=16, filters=(4, 6), dense=8, draws="chroma")
    ),
}


@pytest.fixture(autouse=True)
def drawn_anew():
    """What a test draws with torch does not depend on the tests before it, which differ with the processes."""
    torch.manual_seed(0)


def settled(network, luma=None):
    """Batch norms get weights and biases of their own and the statistics of these pictures; rarity is not the same."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.5, 0.5, generator=generator)
            module.momentum = 1.0
    if hasattr(network, "bins"):
        network.bins.log_rarity.uniform_(-1, 1, generator=generator)
    side = getattr(network.config, "side", 64)
    with torch.no_grad():
        network.train()(torch.rand(2, 1, side, side, generator=generator) if luma is None else luma)
    return network.eval()


@pytest.fixture(scope="session")
def networks():
    torch.manual_seed(0)
    return {name: settled(make()) for name, make in NETWORKS.items()}


@pytest.fixture(params=NETWORKS)
def network(request, networks):
    return networks[request.param]


@pytest.fixture
def settle():
    return settled
