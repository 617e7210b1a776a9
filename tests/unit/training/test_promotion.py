"""Versions are published, promoted, rolled back and cleared away, and of two promoters one wins."""

import json
import threading

import pytest
import torch

from photochrom.training.promotion import Promotions
from photochrom.worker.errors import CheckpointError, UsageError
from photochrom.worker.models import checkpoint, registry
from photochrom.worker.models.card import Card, TrainedOn
from photochrom.worker.s3 import state_keys

BUCKET = "photochrom-state"
CONFIG = {"side": 16, "kernel": 3, "filters": [8, 6], "dense": 8}


def written(path, seed, spoil=None):
    """A checkpoint of a tiny network; `spoil` changes the network first."""
    torch.manual_seed(seed)
    network = checkpoint.build("autoencoder", CONFIG)
    if spoil:
        spoil(network)
    trained = TrainedOn(source="nowhere", photographs=1, validation_photographs=1, mean_chroma=(0, 0))
    card = Card(
        name=path.stem, architecture="autoencoder", config=CONFIG, trained_on=trained, steps=1, images_seen=seed
    )
    return checkpoint.write(network, card, path)


@pytest.fixture(autouse=True)
def starter(monkeypatch, tmp_path):
    """The only starter is tiny."""
    monkeypatch.setattr(registry, "STARTERS", tmp_path / "starters")
    return written(tmp_path / "starters" / "vgg16-yuv.safetensors", 0).sha256


@pytest.fixture
def promotions(store, settings, tmp_path):
    return Promotions(store, settings.model_copy(update={"model_cache": tmp_path / "cache"}))


@pytest.fixture
def publish(promotions, tmp_path):
    """Publish a version of its own for every number."""

    def version(number):
        path = tmp_path / f"model-{number}.safetensors"
        written(path, number)
        return promotions.publish(path, {"psnr": float(number)})

    return version


def served(promotions):
    promotion = promotions.registry.pointer().promotion
    return promotion.sequence, promotion.sha256


def test_a_published_version_is_whole_and_not_served(promotions, publish, starter, store):
    sha256 = publish(1)
    assert promotions.registry.versions() == [sha256]
    assert json.loads(promotions.registry.card(sha256))["name"] == "model-1"
    assert promotions.evaluation(sha256) == {"psnr": 1.0}
    assert served(promotions) == (0, starter)


def test_publishing_twice_changes_nothing(promotions, publish, store):
    sha256 = publish(1)
    before = store.head(BUCKET, state_keys.weights(sha256))
    publish(1)
    assert store.head(BUCKET, state_keys.weights(sha256)) == before


def test_a_checkpoint_that_is_not_finite_is_not_published(promotions, tmp_path):
    def spoil(network):
        next(network.parameters()).data[0] = torch.nan

    written(tmp_path / "bad.safetensors", 1, spoil)
    with pytest.raises(CheckpointError, match="not finite"):
        promotions.publish(tmp_path / "bad.safetensors")
    assert promotions.registry.versions() == []


def test_a_promotion_says_what_when_by_whom_why_and_instead_of_what(promotions, publish, starter):
    sha256 = publish(1)
    promotion = promotions.promote(sha256, "better", {"psnr": 24.5})
    assert (promotion.sequence, promotion.sha256, promotion.previous) == (1, sha256, starter)
    assert (promotion.why, promotion.figures, promotion.name) == ("better", {"psnr": 24.5}, "model-1")
    assert promotion.who
    assert promotion.when
    assert promotions.registry.pointer().promotion == promotion


def test_a_version_that_is_not_there_or_was_altered_is_not_promoted(promotions, publish, store, starter):
    sha256 = publish(1)
    store.put(BUCKET, state_keys.weights(sha256), b"other weights")
    for version in (sha256, "0" * 64):
        with pytest.raises(CheckpointError):
            promotions.promote(version, "why not")
    assert served(promotions) == (0, starter)


def test_a_version_for_another_architecture_than_its_card_says_is_not_promoted(promotions, publish, store, starter):
    sha256 = publish(1)
    card = json.loads(promotions.registry.card(sha256))
    store.put(BUCKET, state_keys.card(sha256), json.dumps({**card, "config": {**CONFIG, "dense": 9}}).encode())
    with pytest.raises(CheckpointError, match="shape"):
        promotions.promote(sha256, "why not")
    assert served(promotions) == (0, starter)


def test_of_two_who_promote_at_once_one_wins_and_the_other_learns_it(promotions, publish):
    versions = [publish(number) for number in range(1, 5)]
    decided_on = promotions.registry.pointer()
    outcomes, together = [], threading.Barrier(len(versions))

    def promote(sha256):
        together.wait()
        try:
            outcomes.append(promotions.promote(sha256, "mine", expected=decided_on).sha256)
        except UsageError:
            outcomes.append(None)

    threads = [threading.Thread(target=promote, args=(sha256,)) for sha256 in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = filter(None, outcomes)
    assert served(promotions) == (1, winner)


def test_going_back_is_a_promotion_of_what_was_served_before(promotions, publish, starter):
    first, second = publish(1), publish(2)
    promotions.promote(first, "better")
    promotions.promote(second, "worse, as it turned out")
    assert promotions.rollback("it paints red patches").sha256 == first
    assert served(promotions) == (3, first)


def test_one_can_go_back_to_the_starter_on_a_machine_that_never_had_it(
    promotions, publish, starter, monkeypatch, tmp_path
):
    promotions.promote(publish(1), "better")
    promotions.rollback("worse")
    monkeypatch.setattr(registry, "STARTERS", tmp_path / "another installation")
    assert checkpoint.read(promotions.registry.weights(starter))[1].name == "vgg16-yuv"


def test_one_can_go_back_from_a_champion_that_is_altered_or_gone(promotions, publish, store, tmp_path):
    first, second = publish(1), publish(2)
    promotions.promote(first, "better")
    promotions.promote(second, "even better")
    (tmp_path / "cache" / f"{second}.safetensors").unlink()
    store.put(BUCKET, state_keys.weights(second), b"other weights")
    assert promotions.rollback("no worker can load it").sha256 == first


def test_there_is_no_way_back_from_the_beginning(promotions):
    with pytest.raises(UsageError, match="nothing was promoted"):
        promotions.rollback("why not")


def test_the_history_has_every_promotion_once_and_in_order(promotions, publish):
    versions = [publish(number) for number in range(1, 4)]
    for sha256 in versions:
        promotions.promote(sha256, "next")
    promotions.rollback("back")
    history = list(promotions.history())
    assert [promotion.sequence for promotion in history] == [1, 2, 3, 4]
    assert [promotion.sha256 for promotion in history] == [*versions, versions[1]]


def test_a_promoter_that_was_cut_off_behind_the_pointer_leaves_no_gap_in_the_history(promotions, publish, aws):
    promotions.promote(publish(1), "first")
    aws.delete_object(Bucket=BUCKET, Key=state_keys.promotion(1))
    assert [promotion.sequence for promotion in promotions.history()] == [1]
    promotions.promote(publish(2), "second")
    assert [promotion.why for promotion in promotions.history()] == ["first", "second"]


def test_what_is_served_or_among_the_last_is_never_cleared_away(promotions, publish, starter):
    versions = [publish(number) for number in range(1, 7)]
    for sha256 in versions[:4]:
        promotions.promote(sha256, "next")
    served_now = versions[3]
    gone = promotions.collectable(keep=1)
    assert served_now not in gone
    assert len(gone) >= 4
    for sha256 in gone:
        promotions.delete(sha256)
    assert set(promotions.registry.versions()) == {*versions, starter} - set(gone)
    assert promotions.collectable(keep=100) == []
