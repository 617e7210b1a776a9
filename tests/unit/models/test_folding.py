"""A folded network gives what the network gives, by every engine, on pictures of every size."""

import copy

import numpy as np
import pytest
import torch

from photochrom.worker.inference.device import Device
from photochrom.worker.models import on_torch
from photochrom.worker.models.folding import folded
from photochrom.worker.models.on_torch import OnTorch
from photochrom.worker.models.predictor import Predictor

CPU = torch.device("cpu")
PRECISE = Device(CPU, torch.float32, batched=False)
ROUNDING = 1e-5
"""Of chroma, which lies in -0.5..0.5: a four-hundredth of a level of 255, for networks of random weights."""


def by_openvino(form, layers, numbers):
    pytest.importorskip("openvino")
    from photochrom.worker.models.on_openvino import OnOpenVino

    return OnOpenVino(form, layers, numbers)


def predictor_of(network, engine="packed", numbers=torch.float32):
    form, layers = folded(network)
    device = Device(CPU, numbers, batched=False)
    computing = by_openvino(form, layers, numbers) if engine == "openvino" else OnTorch(form, layers, device)
    return Predictor(form, computing, device)


@pytest.fixture(params=["packed", "plain", "openvino"])
def engine(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(on_torch, "_can_pack", lambda: False)
    return request.param


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def expected(network, gray, vividness=None):
    with torch.no_grad():
        return network.chroma(torch.from_numpy(gray.astype(np.float32))[None, None] / 255, vividness).numpy()


def sizes(network):
    side = getattr(network.config, "side", None)
    return [(side, side)] if side else [(64, 64), (32, 96), (96, 32), (64, 64)]


def test_it_gives_what_the_network_gives(network, engine):
    predict = predictor_of(network, engine)
    for height, width in sizes(network):
        gray = picture(height, width)
        found = predict([gray])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected(network, gray), atol=ROUNDING, rtol=0)
        assert np.ptp(found) > 100 * ROUNDING  # so that the comparison says something


@pytest.mark.parametrize("tone", [0, 255])
def test_the_borders_are_padded_with_what_the_network_pads_with(network, tone):
    gray = np.full(sizes(network)[0], tone, np.uint8)
    np.testing.assert_allclose(predictor_of(network)([gray]), expected(network, gray), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("vividness", [0.0, 0.3, 1.0])
def test_vividness_can_be_chosen_as_with_the_network(networks, vividness):
    network, gray = networks["distribution"], picture(64, 64)
    found = predictor_of(network)([gray], vividness)
    np.testing.assert_allclose(found, expected(network, gray, vividness), atol=ROUNDING, rtol=0)


def test_a_batch_gives_each_picture_what_it_gets_alone(network):
    predict = predictor_of(network)
    grays = [picture(*sizes(network)[0], seed) for seed in range(3)]
    alone = np.concatenate([predict([gray]) for gray in grays])
    np.testing.assert_allclose(predict(grays), alone, atol=ROUNDING, rtol=0)
    assert abs(alone[0] - alone[1]).max() > 10 * ROUNDING


@pytest.mark.parametrize("numbers", [torch.bfloat16, torch.float16])
def test_a_wide_encoder_stays_within_half_precision(networks, settle, numbers):
    network, gray = copy.deepcopy(networks["distribution"]), picture(64, 64)
    luma = torch.from_numpy(gray / 255).float()[None, None]
    conv3_3, norm = network.encoder.features[14], network.decoder.norms["conv3_3"]
    with torch.no_grad():
        factor = 300_000 / network.encoder(luma)["conv3_3"].max()
        conv3_3.weight.mul_(factor), conv3_3.bias.mul_(factor)
        settle(network, luma.expand(2, -1, -1, -1))
        assert network.encoder(luma)["conv3_3"].max() > torch.finfo(torch.float16).max
    assert norm.running_var.max() > 1e6
    found = predictor_of(network, numbers=numbers)([gray])
    np.testing.assert_allclose(found, expected(network, gray), atol=0.02, rtol=0)


def test_the_network_stays_as_it_is(network):
    before = copy.deepcopy(network.state_dict())
    predictor_of(network)([picture(*sizes(network)[0])])
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_same_picture_gives_the_same_bytes(network, engine):
    gray = picture(*sizes(network)[0])
    first, second = predictor_of(network, engine), predictor_of(network, engine)
    assert first([gray]).tobytes() == first([gray]).tobytes() == second([gray]).tobytes()
