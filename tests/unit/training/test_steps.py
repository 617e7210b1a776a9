"""The steps of a training run, on S3 in memory and a real Redis: from photographs to a promotion, however it is cut."""

import json

import numpy as np
import pytest
from PIL import Image

from photochrom.training.data.prepare import prepare
from photochrom.training.data.source import list_source
from photochrom.training.evaluation.creation import create
from photochrom.training.promotion import Promotions
from photochrom.training.recipe import Recipe
from photochrom.training.runs import phases, steps
from photochrom.training.runs.context import Desk, Watch
from photochrom.training.runs.request import FROM_ENCODER, Request
from photochrom.training.runs.steps import leave_copy, take_step
from photochrom.worker.errors import RetryableError
from photochrom.worker.models import checkpoint
from photochrom.worker.models.registry import Registry, sha256_of_starter
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location

TINY = Recipe(
    architecture="autoencoder",
    config={"side": 16, "kernel": 3, "filters": [8, 6], "dense": 8},
    epochs=3,
    images_per_epoch=12,
    batch=4,
    sides=(16,),
    validation_side=16,
    rate=3e-2,
    warmup=3,
    average=0.5,
    low_precision=False,
)
UNLEARNT = TINY.model_copy(update={"epochs": 1, "images_per_epoch": 4, "rate": 1e-9})


def sepia(picture, index):
    """A world in which every photograph is toned alike: easily learnt, and far from gray."""
    gray = np.asarray(picture(index).convert("L"), dtype=float)[..., None]
    return Image.fromarray(np.clip(gray * (1.25, 0.95, 0.45), 0, 255).astype(np.uint8))


@pytest.fixture
def desk(settings, store, tmp_path):
    chosen = settings.model_copy(
        update={"training_folder": tmp_path / "here", "model_cache": tmp_path / "models", "training_step_seconds": 1e6}
    )
    return Desk.of(chosen, lambda: False)


@pytest.fixture
def photographs(store, picture, encode):
    """Thirty photographs to learn from and seventy to judge by, in S3."""
    for index in range(100):
        place = "judged" if index >= 30 else "learnt"
        store.put("archive", f"{place}/{index:02d}.png", encode(sepia(picture, index)))
    return "s3://archive/learnt/"


@pytest.fixture
def judged(photographs, store, desk):
    create("s3://archive/judged/", "frozen", store, desk.settings)
    return "frozen"


@pytest.fixture
def begin(desk, photographs, judged):
    """Begins a run; its name."""

    def make(name="run", recipe=TINY, **changes):
        asked = {"source": photographs, "evaluation": judged, "start": FROM_ENCODER} | changes
        desk.runs.start(Request(name=name, model="autoencoder", recipe=recipe, **asked))
        return name

    return make


@pytest.fixture
def poor_champion(begin, desk):
    """A champion that has learnt nothing; its SHA-256."""
    finish(begin("poor", UNLEARNT, evaluation=""), desk)
    sha256 = desk.runs.load("poor").position.verdict.challenger
    Promotions(desk.store, desk.settings).promote(sha256, "a test")
    return sha256


def finish(name, desk, most=200):
    taken = 1
    while take_step(name, desk):
        taken += 1
        assert taken < most
    return taken


def parts(desk, name):
    place = Location(desk.settings.state_bucket, state_keys.run(name, ""))
    return {listed.key.removeprefix(place.prefix) for listed in desk.store.list(place)}


def test_a_run_goes_from_photographs_to_a_promotion(begin, poor_champion, desk):
    finish(begin(), desk)
    position = desk.runs.load("run").position
    assert position.status == "ended", position.why
    assert [figures["epoch"] for figures in position.history] == [1, 2, 3]
    verdict = position.verdict
    promotion = Registry(desk.store, desk.settings).pointer().promotion
    assert (verdict.champion, verdict.challenger) == (poor_champion, promotion.sha256)
    assert verdict.sequence == promotion.sequence == 2
    assert promotion.figures == verdict.figures
    assert "run run" in promotion.why
    evaluation = Promotions(desk.store, desk.settings).evaluation(promotion.sha256)
    assert evaluation["promote"] is True
    assert {"dataset.jsonl", "dataset.png", "curve.png", "epoch-003.png", "differences.png", "judgement.md"} <= parts(
        desk, "run"
    )


def with_settings(desk, **changes):
    return desk._replace(settings=desk.settings.model_copy(update=changes))


HASTY = {"training_step_seconds": 1e-9, "training_save_steps": 1}
"""Each step is one of the optimizer, and copied to S3."""


@pytest.fixture
def whole(begin, desk):
    """A run that was not cut: its position."""
    finish(begin("whole", evaluation=""), desk)
    return desk.runs.load("whole").position


def test_a_run_of_many_short_steps_makes_what_one_long_step_makes(begin, whole, desk, tmp_path):
    here = with_settings(desk, training_folder=tmp_path / "there")
    take_step(begin("short", evaluation=""), here)
    assert finish("short", with_settings(here, **HASTY)) > 9
    short = desk.runs.load("short").position
    assert short.history == whole.history
    assert short.verdict.challenger == whole.verdict.challenger  # the very bits


def test_another_machine_goes_on_from_the_copy_in_s3(begin, whole, desk, tmp_path):
    """The first machine makes a copy of every step and is gone in the middle of an epoch; the other's disk is empty."""
    first = with_settings(desk, training_folder=tmp_path / "first")
    take_step(begin("moved", evaluation=""), first)
    for _ in range(5):
        take_step("moved", with_settings(first, **HASTY))
    assert (desk.runs.load("moved").position.epoch, desk.runs.load("moved").position.step) == (1, 2)
    finish("moved", with_settings(desk, training_folder=tmp_path / "second"))
    moved = desk.runs.load("moved").position
    assert moved.history == whole.history
    assert moved.verdict.challenger == whole.verdict.challenger


def test_a_copy_that_somebody_wrote_over_is_not_taken(begin, desk, tmp_path, caplog):
    first = with_settings(desk, training_folder=tmp_path / "first")
    take_step(begin("run", evaluation=""), first)
    for _ in range(2):
        take_step("run", with_settings(first, **HASTY))
    newest, before = desk.runs.load("run").position.copies
    desk.store.put(desk.settings.state_bucket, state_keys.run("run", f"state-{newest.place}.tar"), b"by somebody late")
    second = with_settings(desk, training_folder=tmp_path / "second")
    with second.cache() as cache:
        prepare(
            desk.runs.load("run").request.source, list_source("s3://archive/learnt/", desk.store), cache, desk.store
        )
    take_step("run", with_settings(second, **HASTY))
    assert desk.runs.load("run").position.step == before.step + 1
    assert "is not the one that was noted" in caplog.text


def test_a_process_that_ends_between_two_steps_leaves_a_copy_once(begin, desk):
    take_step(begin(evaluation=""), desk)
    take_step("run", with_settings(desk, training_step_seconds=1e-9))
    assert not desk.runs.load("run").position.copies
    leave_copy("run", desk)
    [copy] = desk.runs.load("run").position.copies
    assert (copy.epoch, copy.step) == (0, 1)
    leave_copy("run", desk)
    assert desk.runs.load("run").position.copies == (copy,)


def test_a_worse_challenger_is_published_and_not_promoted_and_says_why(begin, desk):
    finish(begin("good"), desk)
    good = desk.runs.load("good").position.verdict.challenger
    Promotions(desk.store, desk.settings).promote(good, "a test")
    finish(begin("worse", UNLEARNT), desk)
    position = desk.runs.load("worse").position
    assert (position.status, position.verdict.sequence) == ("ended", None)
    assert any("not met" in reason for reason in position.verdict.reasons)
    registry = Registry(desk.store, desk.settings)
    assert registry.pointer().promotion.sha256 == good
    assert position.verdict.challenger in registry.versions()


def test_a_challenger_with_values_that_are_not_finite_fails_the_run(begin, desk):
    to_judging(desk, begin())
    weights = desk.folder(desk.runs.load("run")) / "best.safetensors"
    network, card = checkpoint.read(weights)
    next(iter(network.parameters())).data.fill_(float("nan"))
    checkpoint.write(network, card, weights)
    assert not take_step("run", desk)
    position = desk.runs.load("run").position
    assert position.status == "failed"
    assert "not finite" in position.why
    assert Registry(desk.store, desk.settings).pointer().promotion.sha256 == sha256_of_starter("vgg16-yuv")


def test_a_run_that_was_cut_off_behind_its_promotion_ends_as_promoted(begin, poor_champion, desk):
    to_judging(desk, begin())
    phases.judge(desk.runs.load("run"), desk)  # and then it is killed
    promotion = Registry(desk.store, desk.settings).pointer().promotion
    assert not take_step("run", desk)
    verdict = desk.runs.load("run").position.verdict
    assert (verdict.sequence, verdict.challenger) == (promotion.sequence, promotion.sha256)
    assert verdict.champion == poor_champion
    assert Registry(desk.store, desk.settings).pointer().promotion == promotion


def to_judging(desk, name="run"):
    while desk.runs.load(name).position.phase != "judge":
        take_step(name, desk)


def test_a_rollback_behind_a_promotion_that_was_cut_off_stays(begin, poor_champion, desk):
    to_judging(desk, begin())
    phases.judge(desk.runs.load("run"), desk)  # and then the machine is gone
    Promotions(desk.store, desk.settings).rollback("skies too green")
    assert not take_step("run", desk)
    assert desk.runs.load("run").position.verdict.sequence == 2
    assert Registry(desk.store, desk.settings).pointer().promotion.sha256 == poor_champion


def test_a_run_that_is_stopped_while_it_is_judged_is_not_promoted(begin, poor_champion, desk, monkeypatch):
    to_judging(desk, begin())
    compare = phases.compare

    def meanwhile(*arguments):
        desk.runs.stop("run")
        return compare(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(phases, "compare", meanwhile)
        assert not take_step("run", desk)
    assert Registry(desk.store, desk.settings).pointer().promotion.sha256 == poor_champion
    assert desk.runs.load("run").position.status == "stopped"
    desk.runs.resume("run")
    assert not take_step("run", desk)
    assert desk.runs.load("run").position.verdict.sequence == 2


def test_what_nobody_foresaw_fails_the_run_and_says_what_it_was(begin, desk, monkeypatch):
    begin()
    monkeypatch.setitem(steps.PHASES, "prepare", lambda *_: {}["missing"])
    assert not take_step("run", desk)
    position = desk.runs.load("run").position
    assert (position.status, position.why) == ("failed", "KeyError: 'missing'")


def test_a_step_that_kills_its_process_each_time_fails_the_run_in_the_end(begin, desk, monkeypatch):
    begin()

    def killed(*_):
        raise SystemExit  # as good as killed: nothing is noted

    monkeypatch.setitem(steps.PHASES, "prepare", killed)
    for _ in range(steps.MOST_STARTS):
        with pytest.raises(SystemExit):
            take_step("run", desk)
    assert not take_step("run", desk)
    assert desk.runs.load("run").position.status == "failed"
    assert "never ended" in desk.runs.load("run").position.why


def test_steps_that_s3_was_away_for_are_not_counted_as_killed(begin, desk, monkeypatch):
    begin()

    def away(*_):
        raise RetryableError("S3 is away")

    with monkeypatch.context() as patch:
        patch.setitem(steps.PHASES, "prepare", away)
        for _ in range(steps.MOST_STARTS + 5):
            with pytest.raises(RetryableError):
                take_step("run", desk)
    assert take_step("run", desk)


def test_a_process_that_was_left_behind_copies_nothing(begin, desk, tmp_path):
    """Its own state is of long ago; the run went on elsewhere."""
    left, other = (with_settings(desk, training_folder=tmp_path / name) for name in ("left", "other"))
    take_step(begin(evaluation=""), left)
    take_step("run", with_settings(left, training_step_seconds=1e-9))
    with other.cache() as cache:
        prepare("s3://archive/learnt/", list_source("s3://archive/learnt/", desk.store), cache, desk.store)
    for _ in range(3):
        take_step("run", with_settings(other, **HASTY))
    before = desk.runs.load("run").position.copies
    leave_copy("run", left)
    assert desk.runs.load("run").position.copies == before


def test_a_run_of_the_same_name_in_another_bucket_has_a_folder_of_its_own(begin, desk):
    run = desk.runs.load(begin())
    assert desk.folder(run) != with_settings(desk, state_bucket="another").folder(run)


def test_nothing_is_left_on_the_disk_of_a_run_that_has_ended(begin, desk):
    finish(begin(evaluation=""), desk)
    assert not list(desk.settings.training_folder.glob("runs/*/*"))


def test_where_somebody_else_promoted_meanwhile_it_is_judged_again(begin, poor_champion, desk, monkeypatch):
    to_judging(desk, begin())
    compare, other = phases.compare, sha256_of_starter("autoencoder")

    def slowly(*arguments):
        Promotions(desk.store, desk.settings).promote(other, "somebody else")
        return compare(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(phases, "compare", slowly)
        assert take_step("run", desk)
    assert Registry(desk.store, desk.settings).pointer().promotion.sha256 == other
    assert not take_step("run", desk)
    assert desk.runs.load("run").position.verdict.champion == other


def test_the_data_set_is_frozen_whatever_comes_to_the_bucket_later(begin, desk, store, picture, encode):
    begin()
    take_step("run", desk)
    frozen = store.get(desk.settings.state_bucket, state_keys.run("run", "dataset.jsonl")).data
    store.put("archive", "learnt/99.png", encode(sepia(picture, 99)))
    finish("run", desk)
    assert store.get(desk.settings.state_bucket, state_keys.run("run", "dataset.jsonl")).data == frozen
    assert b"99.png" not in frozen


def test_what_judges_is_not_learnt_from(begin, desk, store, picture, encode):
    store.put("archive", "learnt/copy-of-a-judged-one.png", encode(sepia(picture, 40)))
    begin()
    take_step("run", desk)
    dataset = store.get(desk.settings.state_bucket, state_keys.run("run", "dataset.jsonl")).data.decode()
    assert "copy-of-a-judged-one" not in dataset
    assert json.loads(dataset.splitlines()[0])["left_out"]["part of the evaluation set"] == 1


def test_a_stopped_run_ends_its_step_keeps_it_and_goes_on_when_resumed(begin, desk, monkeypatch):
    begin(evaluation="")
    take_step("run", desk)
    over = Watch.over

    def stopped_meanwhile(watch):
        desk.runs.stop("run")
        monkeypatch.setattr(Watch, "over", over)
        return True

    monkeypatch.setattr(Watch, "over", lambda watch: False)
    calls = iter([False, True])
    monkeypatch.setattr(Watch, "over", lambda watch: stopped_meanwhile(watch) if next(calls) else False)
    assert not take_step("run", desk)
    position = desk.runs.load("run").position
    assert (position.status, position.steps) == ("stopped", 2)
    assert not take_step("run", desk)
    desk.runs.resume("run")
    finish("run", desk)
    assert desk.runs.load("run").position.status == "ended"


def test_of_two_processes_one_works_at_a_run(begin, desk):
    begin()
    with desk.board.work("run") as mine:
        assert mine
        assert not take_step("run", desk)
    assert desk.runs.load("run").position.steps == 0
    assert take_step("run", desk)


def test_a_process_that_lost_its_lock_does_not_move_the_run(begin, desk, monkeypatch):
    begin(evaluation="")
    take_step("run", desk)
    train = phases.PHASES["train"]

    def overtaken(run, desk):
        position = train(run, desk)
        desk.runs.move(run, run.position.moved(steps=run.position.steps + 1, epoch=1))
        return position

    monkeypatch.setitem(phases.PHASES, "train", overtaken)
    assert not take_step("run", desk)
    assert desk.runs.load("run").position.epoch == 1


def test_s3_being_away_fails_nothing(begin, desk, monkeypatch):
    begin()
    take_step("run", desk)

    def away(*_):
        raise RetryableError("S3 is away")

    with monkeypatch.context() as patch:
        patch.setitem(steps.PHASES, "train", away)
        with pytest.raises(RetryableError):
            take_step("run", desk)
    assert desk.runs.load("run").position.status == "running"
    assert take_step("run", desk)


def test_a_run_without_photographs_fails_and_says_so(begin, desk):
    begin(source="s3://archive/nothing-here/")
    while take_step("run", desk):
        pass
    assert desk.runs.load("run").position.status == "failed"
    assert "photographs" in desk.runs.load("run").position.why
