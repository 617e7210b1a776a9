"""The encoder's first weights: a local file, a checkpoint of ours, torchvision's hub."""

import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision.models._api
from safetensors.torch import save_file

from photochrom.training.fit.pretrained import load_encoder, normalization_of
from photochrom.worker.errors import CheckpointError, UsageError
from photochrom.worker.models import checkpoint
from photochrom.worker.models.autoencoder import Autoencoder, AutoencoderConfig
from photochrom.worker.models.card import Card, TrainedOn
from photochrom.worker.models.vgg_yuv import Vgg16Encoder, VggYuv, VggYuvConfig

TRAINED_ON = TrainedOn(source="here", photographs=3, validation_photographs=1, mean_chroma=(0, 0))


def small_encoder(seed, *taps):
    torch.manual_seed(seed)
    return Vgg16Encoder(taps or ("conv1_2", "conv2_2"), "vgg-bgr")


def write_checkpoint(network, path):
    config = network.config.model_dump(mode="json")
    card = Card(
        name="ours", architecture=network.architecture, config=config, trained_on=TRAINED_ON, steps=1, images_seen=1
    )
    checkpoint.write(network, card, path)
    return str(path)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    torch.manual_seed(3)
    network = VggYuv(VggYuvConfig(decoder="residual", normalization="imagenet-rgb"))
    path = tmp_path_factory.mktemp("ours") / "ours.safetensors"
    yield network, write_checkpoint(network, path)
    path.unlink()


def assert_same_weights(found, expected):
    for name, tensor in found.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, expected[name].float(), rtol=0, atol=0)


def test_a_local_file_fills_the_encoder_whatever_else_it_holds(tmp_path):
    tensors = {name: tensor.half() for name, tensor in small_encoder(1).state_dict().items()}
    save_file(tensors | {"classifier.0.bias": torch.zeros(3)}, tmp_path / "vgg.safetensors")
    encoder = small_encoder(2)
    load_encoder(encoder, str(tmp_path / "vgg.safetensors"))
    assert_same_weights(encoder, tensors)


def test_a_plain_file_is_taken_for_the_original_training_in_bgr(tmp_path):
    assert normalization_of(str(tmp_path / "vgg.safetensors")) == "vgg-bgr"


def test_a_checkpoint_of_ours_gives_its_encoder_and_its_normalization(ours):
    network, path = ours
    encoder = small_encoder(2, "conv4_3")
    load_encoder(encoder, path)
    halved = {
        name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in network.encoder.state_dict().items()
    }
    assert_same_weights(encoder, halved)
    assert normalization_of(path) == "imagenet-rgb"


def test_a_checkpoint_of_a_shallower_encoder_is_refused_with_the_missing_layers(ours):
    with pytest.raises(UsageError, match=r"lacks VGG16 layers that the encoder needs: features\.24\.weight"):
        load_encoder(small_encoder(2, "conv5_3"), ours[1])


def test_an_altered_checkpoint_of_ours_is_refused(tmp_path):
    path = tmp_path / "small.safetensors"
    write_checkpoint(Autoencoder(AutoencoderConfig(side=8, filters=(2, 2), dense=2)), path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_encoder(small_encoder(2), str(path))


def test_an_autoencoder_has_no_encoder_to_give(tmp_path):
    network = Autoencoder(AutoencoderConfig(side=8, filters=(2, 2), dense=2))
    path = write_checkpoint(network, tmp_path / "small.safetensors")
    with pytest.raises(UsageError, match="is an autoencoder: it has no VGG16 encoder"):
        load_encoder(small_encoder(2), path)


@pytest.mark.parametrize(
    "spoil", [lambda t: t.pop("features.2.bias"), lambda t: t.update({"features.2.bias": torch.zeros(3)})]
)
def test_a_missing_or_misshapen_layer_is_named_and_nothing_is_loaded(tmp_path, spoil):
    tensors = small_encoder(1).state_dict()
    spoil(tensors)
    save_file(tensors, tmp_path / "vgg.safetensors")
    encoder = small_encoder(2)
    before = encoder.features[0].weight.clone()
    with pytest.raises(UsageError, match=r"lacks VGG16 layers that the encoder needs: features\.2\.bias"):
        load_encoder(encoder, str(tmp_path / "vgg.safetensors"))
    assert torch.equal(encoder.features[0].weight, before)


@pytest.mark.parametrize("content", [None, b"", b"not tensors at all"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "vgg.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot read encoder weights from"):
        load_encoder(small_encoder(2), str(path))


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """Where torchvision looks for its VGG16 before it fetches it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / Path(torchvision.models.VGG16_Weights.IMAGENET1K_V1.url).name
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("zipped", [False, True])
def test_torchvisions_own_file_is_read_in_its_old_form_and_the_new(downloaded, zipped):
    tensors = small_encoder(1).state_dict()
    torch.save(tensors, downloaded, _use_new_zipfile_serialization=zipped)
    encoder = small_encoder(2)
    load_encoder(encoder, "torchvision")
    assert_same_weights(encoder, tensors)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap, 2))])
def test_nothing_is_carried_out_that_torchvisions_file_says(downloaded, tmp_path, save):
    save(Trap(tmp_path / "carried out"), downloaded)
    with pytest.raises(UsageError, match="give a local file"):
        load_encoder(small_encoder(2), "torchvision")
    assert not (tmp_path / "carried out").exists()


@pytest.mark.parametrize(
    "error", [URLError("no network"), ConnectionResetError("reset"), RuntimeError("invalid hash value")]
)
def test_a_hub_that_cannot_be_reached_points_to_a_local_file(monkeypatch, error):
    def unreachable(*_, **__):
        raise error

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", unreachable)
    with pytest.raises(UsageError, match=r"give a local file: --encoder FILE\.safetensors"):
        load_encoder(small_encoder(2), "torchvision")


def test_the_hub_gives_the_convolutions_and_their_normalization(monkeypatch):
    hub = {**small_encoder(1).state_dict(), "classifier.0.weight": torch.zeros(2, 2)}
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", lambda *_, **__: hub)
    encoder = small_encoder(2)
    load_encoder(encoder, "torchvision")
    assert_same_weights(encoder, hub)
    assert normalization_of("torchvision") == "imagenet-rgb"
