"""Checkpoints: what is written comes back, and what does not fit is refused with a reason."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save

from photochrom.worker.errors import CheckpointError
from photochrom.worker.models import checkpoint
from photochrom.worker.models.autoencoder import Autoencoder, AutoencoderConfig
from photochrom.worker.models.card import Card, TrainedOn, card_path, read_card
from photochrom.worker.models.vgg_yuv import VggYuv, VggYuvConfig

TINY = {"side": 8, "kernel": 3, "filters": [3, 2], "dense": 4}


def card_for(network):
    return Card(
        name="sample",
        architecture=network.architecture,
        config=network.config.model_dump(mode="json"),
        trained_on=TrainedOn(source="here", photographs=3, validation_photographs=1, mean_chroma=(-0.02, 0.01)),
        steps=7,
        images_seen=21,
        metrics={"psnr": 22.5},
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Autoencoder(AutoencoderConfig(**TINY))


@pytest.fixture
def weights(tmp_path, network):
    """A sound checkpoint of a tiny network, to be spoilt."""
    path = tmp_path / "models" / "sample.safetensors"
    checkpoint.write(network, card_for(network), path)
    return path


def change_card(weights, **changes):
    path = card_path(weights)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(weights, change):
    """Rewrite the tensors and let the card vouch for them."""
    tensors = load_file(weights)
    change(tensors)
    data = save(tensors)
    weights.write_bytes(data)
    change_card(weights, sha256=hashlib.sha256(data).hexdigest())


def test_matrices_come_back_as_float16_and_one_dimensional_tensors_as_float32(weights, network):
    found, _ = checkpoint.read(weights)
    for name, tensor in network.state_dict().items():
        expected = tensor.half().float() if tensor.dim() > 1 else tensor
        torch.testing.assert_close(found.state_dict()[name], expected, rtol=0, atol=0)


def test_a_running_variance_in_the_millions_survives(tmp_path):
    torch.manual_seed(0)
    network = VggYuv(VggYuvConfig(width=8, grid_side=3))
    network.decoder.norms["conv3_3"].running_var.fill_(1.4e6)
    network.bins.log_rarity.copy_(torch.linspace(-1, 2, 9))
    checkpoint.write(network, card_for(network), tmp_path / "vgg.safetensors")
    found, card = checkpoint.read(tmp_path / "vgg.safetensors")
    assert isinstance(found, VggYuv)
    assert found.config == network.config
    assert found.decoder.norms["conv3_3"].running_var.unique().tolist() == [1.4e6]
    assert torch.equal(found.bins.log_rarity, network.bins.log_rarity)
    assert torch.equal(found.encoder.features[0].weight, network.encoder.features[0].weight.half().float())
    assert not found.training
    assert card.architecture == "vgg16-yuv"


def test_without_halving_every_weight_comes_back_bit_for_bit(tmp_path, network):
    checkpoint.write(network, card_for(network), tmp_path / "full.safetensors", half=False)
    found, _ = checkpoint.read(tmp_path / "full.safetensors")
    for name, tensor in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


def test_the_network_comes_back_in_float32_and_evaluation_mode(weights):
    found, _ = checkpoint.read(weights)
    assert {tensor.dtype for tensor in found.state_dict().values()} == {torch.float32}
    assert not any(module.training for module in found.modules())


def test_the_card_comes_back_with_the_sha256_of_the_weights(weights, network):
    card = read_card(weights)
    assert card.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert card.model_copy(update={"sha256": "", "created": ""}) == card_for(network).model_copy(update={"created": ""})


def test_writing_twice_gives_the_same_bytes(weights, network, tmp_path):
    checkpoint.write(network, card_for(network), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == weights.read_bytes()


def test_the_tensors_are_about_half_as_large_as_in_float32(weights, network, tmp_path):
    checkpoint.write(network, card_for(network), tmp_path / "full.safetensors", half=False)
    stored = load_file(weights)
    assert {tensor.dtype for tensor in stored.values() if tensor.dim() > 1} == {torch.float16}
    assert {tensor.dtype for tensor in stored.values() if tensor.dim() == 1} == {torch.float32}
    assert weights.stat().st_size < (tmp_path / "full.safetensors").stat().st_size


@pytest.mark.parametrize("place", [0, 100, -1])
def test_an_altered_byte_is_found_by_its_sha256(weights, place):
    data = bytearray(weights.read_bytes())
    data[place] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"sample\.safetensors was altered: its SHA-256 is "):
        checkpoint.read(weights)


def test_a_card_without_a_sha256_vouches_for_nothing(weights):
    change_card(weights, sha256="")
    with pytest.raises(CheckpointError, match="SHA-256"):
        checkpoint.read(weights)


def test_missing_weights_are_refused(weights):
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"no weights at .*sample\.safetensors"):
        checkpoint.read(weights)


def test_a_missing_card_is_refused(weights):
    card_path(weights).unlink()
    with pytest.raises(CheckpointError, match=r"no card at .*sample\.json"):
        checkpoint.read(weights)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff"])
def test_a_card_that_is_no_json_object_is_refused(weights, text):
    card_path(weights).write_text(text)
    with pytest.raises(CheckpointError, match=r"card .*sample\.json is malformed"):
        checkpoint.read(weights)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": 2}, "malformed: format"),
        ({"steps": "many"}, "malformed: steps"),
        ({"sha256": "abc"}, "malformed: sha256"),
        ({"trained_on": {}}, r"malformed: trained_on\.source"),
        ({"surprise": 1}, "malformed: surprise"),
        ({"architecture": "unet"}, "unknown architecture 'unet': this version knows vgg16-yuv, autoencoder"),
        ({"config": TINY | {"dense": -1}}, "configuration of autoencoder is wrong: dense"),
        ({"config": TINY | {"depth": 3}}, "configuration of autoencoder is wrong: depth"),
        ({"config": TINY | {"kernel": 4}}, "configuration of autoencoder is wrong: kernel"),
        ({"config": TINY | {"filters": [-3, 2]}}, r"configuration of autoencoder is wrong: filters"),
    ],
)
def test_a_card_that_says_something_else_is_refused_with_the_field(weights, changes, complaint):
    change_card(weights, **changes)
    with pytest.raises(CheckpointError, match=complaint):
        checkpoint.read(weights)


@pytest.mark.parametrize("change", [{"kr": 0.2126}, {"chroma_offset": 128 / 255}, {"space": "BT.709"}])
def test_other_colour_constants_are_refused(weights, change):
    card = read_card(weights)
    change_card(weights, color=card.color | change)
    with pytest.raises(CheckpointError, match="colour constants"):
        checkpoint.read(weights)


def test_a_missing_tensor_is_named(weights):
    change_tensors(weights, lambda tensors: tensors.pop("squeeze.bias"))
    with pytest.raises(CheckpointError, match=r"1 tensors missing \['squeeze\.bias'\], 0 unknown"):
        checkpoint.read(weights)


def test_a_surplus_tensor_is_named(weights):
    change_tensors(weights, lambda tensors: tensors.update(extra=torch.zeros(1)))
    with pytest.raises(CheckpointError, match=r"0 tensors missing \[\], 1 unknown \['extra'\]"):
        checkpoint.read(weights)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(weights):
    change_tensors(weights, lambda tensors: tensors.update({"squeeze.bias": torch.zeros(5)}))
    with pytest.raises(CheckpointError, match=r"squeeze\.bias has shape \(5,\), its card wants \(4,\)"):
        checkpoint.read(weights)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused(weights, value):
    change_tensors(weights, lambda tensors: tensors["conv4.weight"].view(-1)[3:4].fill_(value))
    with pytest.raises(CheckpointError, match=r"conv4\.weight has values that are not finite"):
        checkpoint.read(weights)


@pytest.mark.parametrize("data", [b"", b"not a tensor file at all", b"\xff" * 64])
def test_a_file_that_is_not_safetensors_is_refused(weights, data):
    weights.write_bytes(data)
    change_card(weights, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        checkpoint.read(weights)
