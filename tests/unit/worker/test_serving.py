"""Following the champion: a better one is taken between two images, and a bad one never."""

import gc
import weakref

import pytest

from photochrom.worker.errors import CheckpointError, ImageFault, RetryableError, VersionGoneError
from photochrom.worker.inference import served_models
from photochrom.worker.inference.served_models import Serving
from photochrom.worker.models.registry import Pointer, Promotion
from photochrom.worker.s3 import state_keys

FIRST, SECOND, THIRD = ("1" * 64, "2" * 64, "3" * 64)


class StandIn:
    """An engine that knows which weights it was loaded from."""

    def __init__(self, sha256, promotion=0, faulty=False):
        self.card = type("card", (), {"sha256": sha256, "name": "model"})
        self.promotion, self.faulty = promotion, faulty

    def promoted(self, sequence):
        return StandIn(self.card.sha256, sequence)

    def check(self):
        if self.faulty:
            raise CheckpointError("it does not predict chroma")


class Models:
    """A registry of which the test decides what it says."""

    def __init__(self):
        self.error = None
        self.promote(FIRST, 1)

    def promote(self, sha256, sequence):
        self.now = Pointer(Promotion(sequence=sequence, sha256=sha256, name="model"), f'"{sequence}"')

    def pointer(self):
        if self.error:
            raise self.error
        return self.now

    def weights(self, sha256):
        if sha256 == THIRD:
            raise CheckpointError("altered")
        return sha256


@pytest.fixture
def models():
    return Models()


@pytest.fixture
def loaded(monkeypatch):
    """Every engine that was loaded, in order; `loaded.faulty` names weights that do not predict."""

    class Loaded(list):
        faulty = ()

    loaded = Loaded()

    def load(sha256):
        loaded.append(sha256)
        return StandIn(sha256, faulty=sha256 in loaded.faulty)

    monkeypatch.setattr(served_models.Engine, "load", load)
    return loaded


@pytest.fixture
def served(models, loaded):
    return Serving(models)


def now(served):
    engine = served.engine("champion")
    return engine.card.sha256, engine.promotion


def test_the_champion_is_loaded_once(served, loaded):
    assert now(served) == now(served) == (FIRST, 1)
    assert loaded == [FIRST]


def test_another_champion_is_taken_at_the_next_look(served, models):
    now(served)
    models.promote(SECOND, 2)
    assert now(served) == (FIRST, 1)
    served.look()
    assert now(served) == (SECOND, 2)


def test_the_old_model_leaves_memory(served, models):
    old = weakref.ref(served.engine("champion"))
    models.promote(SECOND, 2)
    served.look()
    gc.collect()
    assert old() is None


def test_the_same_model_promoted_again_is_not_loaded_again(served, models, loaded):
    now(served)
    models.promote(FIRST, 2)
    served.look()
    assert now(served) == (FIRST, 2)
    assert loaded == [FIRST]


@pytest.mark.parametrize("bad", [SECOND, THIRD])
def test_a_model_that_fails_is_not_served_and_not_tried_again(served, models, loaded, bad, caplog):
    now(served)
    loaded.faulty = (SECOND,)
    models.promote(bad, 2)
    served.look()
    served.look()
    assert now(served) == (FIRST, 1)
    assert loaded.count(bad) <= 1
    assert sum("is not served" in record.message for record in caplog.records) == 1


def test_after_a_bad_model_a_good_one_is_taken(served, models, loaded):
    now(served)
    loaded.faulty = (SECOND,)
    models.promote(SECOND, 2)
    served.look()
    loaded.faulty = ()
    models.promote(SECOND, 3)
    served.look()
    assert now(served) == (SECOND, 3)


@pytest.mark.parametrize("error", [RetryableError("S3 is away"), CheckpointError("malformed")])
def test_a_pointer_that_cannot_be_read_changes_nothing_and_is_read_again(served, models, error):
    now(served)
    models.error = error
    served.look()
    assert now(served) == (FIRST, 1)
    models.error = None
    models.promote(SECOND, 2)
    served.look()
    assert now(served) == (SECOND, 2)


def test_a_pinned_version_stays_whatever_is_promoted(served, models):
    assert served.engine(SECOND).card.sha256 == SECOND
    models.promote(FIRST, 5)
    served.look()
    assert (served.engine(SECOND).card.sha256, served.engine(SECOND).promotion) == (SECOND, 0)


def test_a_version_that_was_cleaned_away_is_the_image_s_fault_and_stops_no_worker(served, models, monkeypatch):
    def gone(sha256):
        raise VersionGoneError(f"there is no version {sha256}")

    monkeypatch.setattr(models, "weights", gone)
    with pytest.raises(ImageFault) as caught:
        served.engine(SECOND)
    assert caught.value.reason == "model-gone"


def test_a_pin_on_what_is_served_loads_nothing(served, loaded):
    champion = served.engine("champion")
    assert served.engine(FIRST) is champion
    assert len(loaded) == 1


def test_of_pinned_versions_one_is_in_memory(served):
    first = weakref.ref(served.engine(FIRST))
    served.engine(SECOND)
    gc.collect()
    assert first() is None


def test_a_worker_that_has_nothing_to_do_follows_too(served, models):
    now(served)
    models.promote(SECOND, 2)
    served.follow(0.05)
    while now(served) != (SECOND, 2):
        pass


def test_the_names_of_all_parts_of_a_version_are_below_it():
    parts = {state_keys.weights(FIRST), state_keys.card(FIRST), state_keys.evaluation(FIRST)}
    assert all(part.startswith(f"{state_keys.VERSIONS}{FIRST}/") for part in parts)
    assert len(parts) == 3


def test_a_champion_that_cannot_be_loaded_is_not_tried_for_every_job_and_blocks_no_other(served, models, loaded):
    loaded.faulty = (SECOND,)
    models.promote(SECOND, 1)
    for _ in range(3):
        with pytest.raises(CheckpointError, match="does not predict"):
            served.engine("champion")
    assert loaded == [SECOND]
    assert served.engine(FIRST).card.sha256 == FIRST
    models.promote(FIRST, 2)
    assert now(served) == (FIRST, 2)


def test_a_champion_that_could_not_be_loaded_is_tried_again_after_a_while(served, models, loaded, monkeypatch):
    loaded.faulty = (SECOND,)
    models.promote(SECOND, 1)
    monkeypatch.setattr(served_models, "AGAIN_SECONDS", 0)
    with pytest.raises(CheckpointError):
        served.engine("champion")
    loaded.faulty = ()
    assert now(served) == (SECOND, 1)
