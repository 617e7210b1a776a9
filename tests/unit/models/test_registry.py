"""Names of models: the starters, the champion, versions of the state bucket, and nothing else."""

import hashlib
import json

import pytest

from photochrom.worker.errors import CheckpointError, UsageError
from photochrom.worker.models import registry
from photochrom.worker.models.registry import Promotion, Registry
from photochrom.worker.s3 import state_keys

BUCKET = "photochrom-state"
STARTER = "a" * 64


@pytest.fixture(autouse=True)
def starters(monkeypatch, tmp_path):
    folder = tmp_path / "starters"
    folder.mkdir()
    for name, sha256 in (("vgg16-yuv", STARTER), ("autoencoder", "b" * 64)):
        (folder / f"{name}.safetensors").touch()
        (folder / f"{name}.json").write_text(json.dumps({"sha256": sha256}))
    (tmp_path / "secret.safetensors").touch()
    monkeypatch.setattr(registry, "STARTERS", folder)
    return folder


@pytest.fixture
def models(store, settings, tmp_path):
    return Registry(store, settings.model_copy(update={"model_cache": tmp_path / "cache"}))


@pytest.fixture
def version(store):
    """A version in the bucket, of these bytes; gives back its SHA-256."""

    def put(data=b"weights"):
        sha256 = hashlib.sha256(data).hexdigest()
        store.put(BUCKET, state_keys.weights(sha256), data)
        store.put(BUCKET, state_keys.card(sha256), json.dumps({"sha256": sha256}).encode())
        return sha256

    return put


# ---- names


def test_a_starter_is_found_by_its_name(starters, models):
    assert models.weights("autoencoder") == starters / "autoencoder.safetensors"


def test_the_names_are_the_champion_and_the_starters():
    assert registry.starters() == ["autoencoder", "vgg16-yuv"]


WRONG = ["", ".", "..", "../secret", "/etc/passwd", "./vgg16-yuv", "nobody", "vgg16-yuv\0", "x" * 5000]


@pytest.mark.parametrize("name", WRONG)
def test_any_other_name_is_refused_with_the_names_there_are(models, name):
    with pytest.raises(CheckpointError, match=r"no model .*: there are champion, autoencoder, vgg16-yuv"):
        models.weights(name)
    with pytest.raises(UsageError, match=r"no model .*: there are champion, autoencoder, vgg16-yuv"):
        models.resolve(name)


@pytest.mark.parametrize("name", ["champion", "vgg16-yuv"])
def test_a_name_says_itself(models, name):
    assert models.resolve(name) == name


def test_a_version_may_be_abbreviated_to_eight_digits(models, version):
    sha256 = version()
    assert models.resolve(sha256) == models.resolve(sha256[:8]) == sha256
    for too_short in (sha256[:7], ""):
        with pytest.raises(UsageError):
            models.resolve(too_short)


def test_an_abbreviation_of_two_versions_is_refused(models, store):
    for end in "01":
        store.put(BUCKET, state_keys.card("c" * 63 + end), b"{}")
    with pytest.raises(UsageError, match="2 versions"):
        models.resolve("c" * 20)


# ---- the pointer


def test_a_fresh_installation_serves_the_first_starter(models):
    promotion, etag = models.pointer()
    assert (promotion.sequence, promotion.sha256, promotion.name, etag) == (0, STARTER, "vgg16-yuv", None)


def test_the_pointer_says_what_is_promoted(models, store):
    wanted = Promotion(sequence=3, sha256="d" * 64, name="better")
    etag = store.put_record(state_keys.CHAMPION, wanted)
    assert models.pointer() == (wanted, etag)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"sequence": 1, "sha256": "../../etc", "name": "x"}'])
def test_a_pointer_that_is_none_is_told(models, store, data):
    store.put(BUCKET, state_keys.CHAMPION, data)
    with pytest.raises(CheckpointError, match="pointer"):
        models.pointer()


# ---- fetching


def test_a_version_is_fetched_once_and_lies_beside_its_card(models, store, version, monkeypatch):
    sha256 = version(b"weights")
    weights = models.weights(sha256)
    assert weights.read_bytes() == b"weights"
    assert json.loads(weights.with_suffix(".json").read_text()) == {"sha256": sha256}
    monkeypatch.setattr(store, "get", lambda *_, **__: pytest.fail("it was fetched again"))
    assert models.weights(sha256) == weights


def test_a_version_that_is_damaged_on_this_machine_is_fetched_again(models, version):
    sha256 = version(b"weights")
    models.weights(sha256).write_bytes(b"wei")  # the power failed
    assert models.weights(sha256).read_bytes() == b"weights"


def test_a_version_that_was_altered_is_refused_and_not_kept(models, store, version):
    sha256 = version()
    store.put(BUCKET, state_keys.weights(sha256), b"other weights")
    with pytest.raises(CheckpointError, match="altered"):
        models.weights(sha256)
    store.put(BUCKET, state_keys.weights(sha256), b"weights")
    assert models.weights(sha256).read_bytes() == b"weights"


@pytest.mark.parametrize("missing", [state_keys.weights, state_keys.card])
def test_a_version_that_is_not_whole_is_none(models, version, aws, missing):
    sha256 = version()
    aws.delete_object(Bucket=BUCKET, Key=missing(sha256))
    with pytest.raises(CheckpointError, match="no version"):
        models.weights(sha256)


def test_a_starter_is_not_fetched_whatever_it_is_called_by(models, starters):
    assert models.weights(STARTER) == starters / "vgg16-yuv.safetensors"
