"""The training loop from end to end, on a few generated photographs and the smallest of networks."""

import copy
import math
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from photochrom.training import pictures
from photochrom.training.cli import train
from photochrom.training.data.collection import Collection
from photochrom.training.data.photographs import collect, validation_batches
from photochrom.training.data.readable import Encoded
from photochrom.training.fit import loop
from photochrom.training.fit.checks import NO_MEMORY, check_photographs
from photochrom.training.fit.state import FILE, State
from photochrom.training.recipe import Recipe
from photochrom.worker.errors import DiskFullFault, OutOfMemoryFault, UsageError
from photochrom.worker.models import checkpoint
from photochrom.worker.models.autoencoder import Autoencoder, AutoencoderConfig
from photochrom.worker.models.card import read_card
from photochrom.worker.models.vgg_yuv import Vgg16Encoder

TINY = Recipe(
    architecture="autoencoder",
    config={"side": 16, "kernel": 3, "filters": [8, 6], "dense": 8},
    epochs=2,
    images_per_epoch=20,
    batch=4,
    sides=(16,),
    validation_side=16,
    rate=5e-3,
    warmup=3,
    average=0.5,
    low_precision=False,
)


class CutOff(Exception):
    """Stands for a kill in the middle of a run."""


def run(photographs, out, recipe=TINY, tell=lambda progress: None):
    return loop.train(recipe, photographs, out, name="tiny", tell=tell)


@pytest.fixture(scope="module")
def finished(photographs, tmp_path_factory):
    """A whole run of two epochs: its folder and what it told."""
    out, told = tmp_path_factory.mktemp("run"), []
    run(photographs, out, tell=told.append)
    return out, told


def final_state(out):
    with safe_open(out / FILE, "pt") as file:
        return load_file(out / FILE), State.model_validate_json(file.metadata()["state"])


def test_a_run_goes_on_from_a_checkpoint_and_says_from_which(finished, photographs, tmp_path):
    start = finished[0] / "best.safetensors"
    still = TINY.model_copy(update={"rate": 1e-12, "decay": 0.0, "epochs": 1})
    card = loop.train(still, photographs, tmp_path, name="next", start=start)
    begun = read_card(start)
    assert card.recipe["start"] == begun.sha256
    kept, first = (dict(checkpoint.read(path)[0].named_parameters()) for path in (tmp_path / "best.safetensors", start))
    assert all(torch.allclose(kept[name], first[name], atol=1e-4) for name in first)


def test_a_checkpoint_of_another_architecture_is_no_start(finished, photographs, tmp_path):
    other = Recipe(architecture="vgg16-yuv")
    with pytest.raises(UsageError, match="autoencoder"):
        loop.train(other, photographs, tmp_path, name="next", start=finished[0] / "best.safetensors")


def test_the_best_checkpoint_loads_and_says_what_it_is(finished, photographs):
    network, card = checkpoint.read(finished[0] / "best.safetensors")
    assert isinstance(network, Autoencoder)
    assert network.config.dense == 8
    assert card.name == "tiny"
    assert card.trained_on.photographs == len(photographs.training)
    assert card.trained_on.validation_photographs == len(photographs.validation)
    assert card.trained_on.mean_chroma == photographs.mean_chroma
    assert card.images_seen == card.steps * TINY.batch
    assert card.recipe["rate"] == TINY.rate
    assert card.recipe["encoder"] is None
    assert set(card.metrics) == {"training_loss", "validation_loss", "psnr", "ciede2000", "colourfulness_ratio"}


def test_the_metrics_on_the_card_are_those_of_the_weights_beside_it(finished, photographs):
    network, card = checkpoint.read(finished[0] / "best.safetensors")
    figures, _ = loop.validate(network, photographs, TINY)
    # the stored weights are rounded to float16
    assert figures["ciede2000"] == pytest.approx(card.metrics["ciede2000"], abs=0.1)
    assert figures["psnr"] == pytest.approx(card.metrics["psnr"], abs=0.1)


def test_every_epoch_leaves_a_contact_sheet_and_the_curve(finished):
    out = finished[0]
    for name in ("epoch-001.png", "epoch-002.png", "curve.png"):
        with Image.open(out / name) as image:
            image.load()
    assert not (out / "epoch-000.png").exists()
    assert not list(out.glob("*.partial"))


def test_progress_is_told_after_every_step_and_figures_at_the_end_of_every_epoch(finished):
    told = finished[1]
    steps = [(progress.epoch, progress.step) for progress in told if not progress.figures]
    assert steps == [(epoch, step) for epoch in (0, 1) for step in range(1, 6)]
    assert [progress.figures["epoch"] for progress in told if progress.figures] == [1, 2]


def test_rate_and_mean_loss_go_by_the_right_steps(photographs, tmp_path, monkeypatch):
    step, scheduled, losses = loop.training_step, [], []

    def training_step(*arguments):
        losses.append(step(*arguments))
        return losses[-1]

    monkeypatch.setattr(loop, "training_step", training_step)
    monkeypatch.setattr(loop, "set_rate", lambda optimizer, recipe, step: scheduled.append(step))
    run(photographs, tmp_path)
    assert scheduled == list(range(10))
    means = [figures["training_loss"] for figures in final_state(tmp_path)[1].history]
    assert means == pytest.approx([np.mean(losses[:5]), np.mean(losses[5:])])


def test_a_network_learns_that_everything_is_sepia(picture, encode, tmp_path):
    def sepia(index):
        gray = np.asarray(picture(index).convert("L"), dtype=float)[..., None]
        toned = np.clip(gray * (1.2, 0.95, 0.5), 0, 255).astype(np.uint8)
        return Encoded(f"{index}.png", encode(Image.fromarray(toned)))

    everything = Collection("memory", [sepia(index) for index in range(20)], [sepia(index) for index in range(20, 30)])
    recipe = TINY.model_copy(update={"epochs": 1, "images_per_epoch": 160})
    before, _ = loop.validate(loop.fresh_network(recipe, everything, None), everything, recipe)
    card = run(everything, tmp_path, recipe)
    assert before["ciede2000"] > 15
    assert card.metrics["ciede2000"] < 10
    assert card.metrics["psnr"] > before["psnr"] + 4
    assert card.metrics["colourfulness_ratio"] > 0.6


def test_starting_a_finished_run_again_changes_nothing(finished, photographs):
    out, told = finished[0], []
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    run(photographs, out, tell=told.append)
    assert not told
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_run_cut_off_within_an_epoch_ends_as_if_it_had_not_been(finished, photographs, tmp_path, monkeypatch, epoch):
    monkeypatch.setattr(loop, "STEPS_BETWEEN_STATES", 2)

    def cut_off(progress):
        if (progress.epoch, progress.step) == (epoch, 3):
            raise CutOff

    with pytest.raises(CutOff):
        run(photographs, tmp_path, tell=cut_off)
    told = []
    run(photographs, tmp_path, tell=told.append)

    assert (told[0].epoch, told[0].step) == (epoch, 3)
    tensors, state = final_state(tmp_path)
    expected_tensors, expected_state = final_state(finished[0])
    assert state == expected_state
    assert tensors.keys() == expected_tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, expected_tensors[name]), name
    assert (tmp_path / "best.safetensors").read_bytes() == (finished[0] / "best.safetensors").read_bytes()
    cards = [read_card(out / "best.safetensors") for out in (tmp_path, finished[0])]
    assert cards[0].model_copy(update={"created": ""}) == cards[1].model_copy(update={"created": ""})


def test_a_run_cut_off_between_validation_and_state_ends_as_if_it_had_not_been(
    finished, photographs, tmp_path, monkeypatch
):
    def cut_off(*_):
        raise CutOff

    with monkeypatch.context() as patch:
        patch.setattr(loop, "STEPS_BETWEEN_STATES", 2)
        patch.setattr(pictures, "curve", cut_off)
        with pytest.raises(CutOff):
            run(photographs, tmp_path)
    assert (tmp_path / "best.safetensors").exists()
    run(photographs, tmp_path)
    assert final_state(tmp_path)[1] == final_state(finished[0])[1]
    assert (tmp_path / "best.safetensors").read_bytes() == (finished[0] / "best.safetensors").read_bytes()


def test_another_recipe_in_the_same_folder_is_refused(finished, photographs):
    with pytest.raises(UsageError, match="holds a run with another recipe"):
        run(photographs, finished[0], TINY.model_copy(update={"rate": 1e-3}))


def validations(monkeypatch, *differences):
    """Let the epochs score the given CIEDE2000, one after the other."""
    left = iter(differences)
    picture = np.zeros((8, 8, 3), np.uint8)

    def validate(*_):
        figures = {"validation_loss": 1.0, "psnr": 20.0, "ciede2000": next(left), "colourfulness_ratio": 0.5}
        return figures, [(picture, picture, picture)]

    monkeypatch.setattr(loop, "validate", validate)
    monkeypatch.setattr(pictures, "curve", lambda *_: None)


def test_a_run_stops_when_its_patience_ends_and_keeps_the_best_epoch(photographs, tmp_path, monkeypatch):
    validations(monkeypatch, 5.0, 4.0, 4.5, 4.0, 3.0)
    recipe = TINY.model_copy(update={"epochs": 5, "images_per_epoch": 8, "patience": 2})
    card = run(photographs, tmp_path, recipe)
    assert [figures["ciede2000"] for figures in final_state(tmp_path)[1].history] == [5.0, 4.0, 4.5, 4.0]
    assert card.metrics["ciede2000"] == 4.0
    assert card.steps == 2 * recipe.steps_per_epoch


def test_patience_starts_anew_with_every_better_epoch(photographs, tmp_path, monkeypatch):
    validations(monkeypatch, 5.0, 5.5, 4.0, 4.5, 3.0)
    card = run(photographs, tmp_path, TINY.model_copy(update={"epochs": 5, "images_per_epoch": 8, "patience": 2}))
    assert card.metrics["ciede2000"] == 3.0


def test_a_run_that_diverges_stops_with_advice_and_spoils_nothing(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.losses, "loss", lambda network, output, rgb: output.sum() * math.nan)
    with pytest.raises(UsageError, match=r"diverged.*lower --rate"):
        run(photographs, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_rate_warms_up_then_falls_to_its_final_share():
    recipe = TINY.model_copy(update={"epochs": 10, "images_per_epoch": 400, "warmup": 10})
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [weight], "peak": peak} for weight, peak in zip(weights, (1e-2, 1e-3), strict=True)]
    optimizer = torch.optim.AdamW(groups)
    rates = []
    for step in range(1000):
        loop.set_rate(optimizer, recipe, step)
        rates.append([group["lr"] for group in optimizer.param_groups])
    main, encoder = np.array(rates).T
    assert main[0] == pytest.approx(1e-3, rel=0.01)
    assert main.argmax() in (9, 10)
    assert main.max() == pytest.approx(1e-2, rel=0.01)
    assert (np.diff(main[10:]) < 0).all()
    assert main[-1] == pytest.approx(1e-2 * recipe.final_rate, rel=0.01)
    np.testing.assert_allclose(encoder, main / 10)


def test_the_average_follows_what_learns_and_copies_the_statistics():
    fast = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    fast[0].bias.requires_grad_(False)
    slow = copy.deepcopy(fast).requires_grad_(False)
    start = {name: tensor.clone() for name, tensor in fast.state_dict().items()}
    with torch.no_grad():
        for tensor in fast.state_dict().values():
            tensor.add_(1)
    loop.average(slow, fast, 0.75)
    moved = {name: tensor - start[name] for name, tensor in slow.state_dict().items()}
    torch.testing.assert_close(moved["0.weight"], torch.full((2, 2), 0.25))
    torch.testing.assert_close(moved["0.bias"], torch.zeros(2))
    torch.testing.assert_close(moved["1.running_var"], torch.ones(2))
    assert moved["1.num_batches_tracked"] == 1


class Oracle(Autoencoder):
    """Knows the validation photographs and draws them as they are, or in gray."""

    def __init__(self, photographs, *, gray):
        super().__init__(AutoencoderConfig(side=16, filters=(2, 2), dense=2))
        batches = validation_batches(photographs, 16, loop.VALIDATION_BATCH)
        self.answers = [torch.from_numpy(batch.rgb) for batch in batches]
        if gray:
            self.answers = [rgb.mean(1, keepdim=True).expand(-1, 3, -1, -1) for rgb in self.answers]

    def forward(self, luma):
        return self.answers.pop(0).clamp(1e-4, 1 - 1e-4).logit()


def test_validation_of_a_network_that_knows_the_truth_is_almost_perfect(photographs):
    figures, rows = loop.validate(Oracle(photographs.validation, gray=False), photographs, TINY)
    assert figures["psnr"] > 40
    assert figures["ciede2000"] < 1.5
    assert figures["colourfulness_ratio"] == pytest.approx(1, abs=0.05)
    for gray, predicted, truth in rows:
        assert (np.ptp(gray, axis=2) == 0).all()
        assert abs(predicted.astype(int) - truth).max() <= 10
        np.testing.assert_array_equal(Image.fromarray(predicted).convert("L"), gray[..., 0])


def test_validation_of_a_network_that_sees_only_gray_finds_no_colour(photographs):
    figures, rows = loop.validate(Oracle(photographs.validation, gray=True), photographs, TINY)
    assert figures["colourfulness_ratio"] == pytest.approx(0, abs=0.01)
    assert figures["ciede2000"] > 5
    for gray, predicted, _ in rows:
        assert abs(predicted.astype(int) - gray).max() <= 1


def test_the_rows_shown_are_spread_evenly_over_all_photographs(plain_photographs, monkeypatch):
    everything = Collection("memory", (), plain_photographs)
    recipe = TINY.model_copy(update={"config": {**TINY.config, "side": 16}})
    network = loop.fresh_network(recipe, everything, None)
    for most in (12, 5, 1):
        monkeypatch.setattr(loop, "SHEET_ROWS", most)
        shown = [row[2][0, 0, 0] for row in loop.validate(network, everything, recipe)[1]]
        reds = [photograph.rgb().getpixel((0, 0))[0] for photograph in plain_photographs]
        assert shown == pictures.spread(reds, most)


def test_validation_keeps_no_more_pictures_of_more_photographs(plain_photographs):
    recipe = TINY.model_copy(update={"config": {**TINY.config, "side": 48}, "validation_side": 48})
    network = loop.fresh_network(recipe, Collection("memory"), None)

    def most_held(times):
        tracemalloc.start()
        loop.validate(network, Collection("memory", (), plain_photographs * times), recipe)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    most_held(4)
    pictures_of_one = 3 * 3 * 48 * 48
    assert most_held(16) - most_held(4) < 12 * 12 * pictures_of_one / 4


@pytest.mark.parametrize("figure", ["validation_loss", "psnr"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_validation_that_gives_no_number_stops_the_run_before_anything_is_written(
    photographs, tmp_path, monkeypatch, figure, value
):
    validate = loop.validate
    monkeypatch.setattr(loop, "validate", lambda *args: ({**validate(*args)[0], figure: value}, validate(*args)[1]))
    with pytest.raises(UsageError, match=rf"diverged: {figure} is {value} .*lower --rate"):
        run(photographs, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("side", ["training", "validation"])
def test_a_side_without_photographs_is_told_before_anything_begins(photographs, tmp_path, side):
    some = copy.copy(photographs)
    setattr(some, side, [])
    with pytest.raises(UsageError, match=r"no photographs to (learn from|validate with) in"):
        run(some, tmp_path)


def test_more_chunks_than_photographs_are_refused(photographs, tmp_path):
    count = len(photographs.training)
    with pytest.raises(UsageError, match=rf"{count} photographs are too few for {count + 1} chunks"):
        run(photographs, tmp_path, TINY.model_copy(update={"chunks": count + 1}))
    check_photographs(photographs, TINY.model_copy(update={"chunks": count}))


@pytest.mark.parametrize("changes", [{"sides": (16, 20)}, {"validation_side": 24}])
def test_crops_of_a_size_that_the_autoencoder_does_not_know_are_refused(photographs, tmp_path, changes):
    with pytest.raises(UsageError, match=r"crops of 2. pixels are not for this network: its side is 16"):
        run(photographs, tmp_path, TINY.model_copy(update=changes))


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), OutOfMemoryFault),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), OutOfMemoryFault),
        (MemoryError(), OutOfMemoryFault),
        (OSError(28, "No space left on device"), DiskFullFault),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
    ],
)
def test_shortages_are_the_machines_fault(photographs, tmp_path, monkeypatch, error, fault):
    def fail(*_):
        raise error

    monkeypatch.setattr(loop, "training_step", fail)
    with pytest.raises(fault):
        run(photographs, tmp_path)


def test_torch_says_of_the_machines_own_memory_what_is_looked_for():
    with pytest.raises(RuntimeError, match=NO_MEMORY):
        torch.empty(2**55)


def test_a_state_that_cannot_be_read_lets_the_run_begin_anew(finished, photographs, tmp_path):
    (tmp_path / FILE).write_bytes((finished[0] / FILE).read_bytes()[:-10])
    run(photographs, tmp_path)
    assert final_state(tmp_path)[1] == final_state(finished[0])[1]


def test_a_contact_sheet_shows_the_rows_in_order(tmp_path):
    def plain(*rgb):
        return np.full((20, 20, 3), rgb, np.uint8)

    rows = [(plain(index, 0, 0), plain(index, 0, 100), plain(index, 100, 0)) for index in (10, 20, 30, 40, 50)]
    pictures.contact_sheet(tmp_path / "sheet.png", rows, ("gray", "predicted", "truth"))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))[pictures.TITLE_HEIGHT :]
    across = 20 + pictures.GAP
    second = 3 * across + 3 * pictures.GAP
    places = {10: (0, 0), 20: (0, across), 30: (0, 2 * across), 40: (second, 0), 50: (second, across)}
    for index, (left, top) in places.items():
        columns = [tuple(sheet[top + 10, left + column * across + 10]) for column in range(3)]
        assert columns == [(index, 0, 0), (index, 0, 100), (index, 100, 0)]


def test_a_distribution_network_trains_its_decoder_and_conv5_only(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "RARITY_BATCHES", 1)
    monkeypatch.setattr(loop, "write_state", lambda *_: None)  # 180 MB for nothing
    torch.manual_seed(7)
    first = {name: tensor.half() for name, tensor in Vgg16Encoder(("conv5_3",), "vgg-bgr").state_dict().items()}
    save_file(first, tmp_path / "vgg.safetensors")
    recipe = Recipe(
        architecture="vgg16-yuv",
        config={"width": 8, "grid_side": 5, "grid": 0.1},
        epochs=1,
        images_per_epoch=4,
        batch=2,
        sides=(32,),
        validation_side=32,
        warmup=0,
        average=0.0,
        encoder_blocks=("conv5",),
        low_precision=False,
    )
    card = loop.train(recipe, photographs, tmp_path / "run", "vgg", encoder=str(tmp_path / "vgg.safetensors"))
    network, _ = checkpoint.read(tmp_path / "run" / "best.safetensors")
    changed = {
        name for name, tensor in network.encoder.state_dict().items() if not torch.equal(tensor, first[name].float())
    }
    for path in tmp_path.rglob("*.safetensors"):
        path.unlink()

    assert changed
    assert {name.split(".")[1] for name in changed} == {"24", "26", "28"}
    assert network.bins.log_rarity.std() > 0.1
    assert network.decoder.norms["conv5_3"].num_batches_tracked == 2
    assert card.config["normalization"] == "vgg-bgr"
    assert card.recipe["encoder"] == "vgg.safetensors"


def test_the_command_trains_in_the_folder_it_is_given(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = ["side=16", "filters=[4,4]", "dense=8"]
    settings = {"epochs": 1, "images_per_epoch": 8, "batch": 4}
    monkeypatch.setattr("photochrom.training.data.photographs.collect", lambda source, share: collect(source, 0.3))
    train.train(str(folder), model="autoencoder", config=config, threads=torch.get_num_threads(), **settings)
    assert checkpoint.read(tmp_path / "runs" / "autoencoder" / "best.safetensors")[1].config["side"] == 16
    said = capsys.readouterr()
    assert "Best checkpoint: runs/autoencoder/best.safetensors" in said.out
    assert "left out: none" in said.err
    assert "epoch 1/1" in said.err


def test_the_command_refuses_an_unknown_model_before_it_reads_anything(tmp_path):
    with pytest.raises(UsageError, match="unknown model 'unet'"):
        train.train(str(tmp_path / "nowhere"), model="unet")


def test_a_photograph_that_cannot_be_read_any_more_stops_the_run_without_a_hang(photographs, tmp_path):
    spoilt = copy.copy(photographs)
    spoilt.training = [Encoded("spoilt.png", b"")] * 4
    with pytest.raises(OSError, match="cannot identify"):
        run(spoilt, tmp_path)
