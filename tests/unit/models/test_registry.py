"""Names of models: the starters, the champion, and nothing else."""

import pytest

from worker.errors import CheckpointError
from worker.models import registry


@pytest.fixture(autouse=True)
def starters(monkeypatch, tmp_path):
    folder = tmp_path / "starters"
    folder.mkdir()
    for name in ("vgg16-yuv", "autoencoder"):
        (folder / f"{name}.safetensors").touch()
    (tmp_path / "secret.safetensors").touch()
    monkeypatch.setattr(registry, "STARTERS", folder)
    return folder


def test_the_champion_of_a_fresh_installation_is_the_first_starter(starters):
    assert registry.weights_of("champion") == starters / "vgg16-yuv.safetensors"


def test_a_starter_is_found_by_its_name(starters):
    assert registry.weights_of("autoencoder") == starters / "autoencoder.safetensors"


def test_the_names_are_the_champion_and_the_starters():
    assert registry.names() == ["champion", "autoencoder", "vgg16-yuv"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../secret", "/etc/passwd", "./vgg16-yuv", "nobody", "vgg16-yuv\0", "x" * 5000]
)
def test_any_other_name_is_refused_with_the_names_there_are(name):
    with pytest.raises(CheckpointError, match=r"no model .*: there are champion, autoencoder, vgg16-yuv"):
        registry.weights_of(name)


def test_a_champion_that_is_not_installed_is_refused(starters):
    (starters / "vgg16-yuv.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no model 'champion'"):
        registry.weights_of("champion")
