"""Studies: what is declared can be built, what is done is not done again, and the tables say what was measured."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from photochrom.training.data import photographs as photographs_module
from photochrom.training.data.photographs import center_square
from photochrom.training.evaluation.evaluate import coloured, gray_of
from photochrom.training.fit import losses
from photochrom.training.fit.loop import Progress
from photochrom.training.study import __main__ as command
from photochrom.training.study import report, run
from photochrom.training.study.autoencoder import AUTOENCODER
from photochrom.training.study.engines import engine_of
from photochrom.training.study.finding import FILE, EvaluationSet, Finding, Judged
from photochrom.training.study.recipes import RECIPES
from photochrom.training.study.run import Task, carry_out, known
from photochrom.training.study.variant import Changes, Decode, Study, Variant, recipe_of
from photochrom.worker.errors import UsageError
from photochrom.worker.models import checkpoint
from photochrom.worker.models.autoencoder import Autoencoder, AutoencoderConfig
from photochrom.worker.models.card import read_card

NONE = Changes([], [])
TINY = {"side": 16, "kernel": 3, "filters": [4, 4], "dense": 4}
VGG = {"width": 8, "grid_side": 5}
STUDY = Study(
    name="tiny",
    title="Tiny",
    reference="first",
    variants=(
        Variant("first", "the first", "autoencoder", config=TINY),
        Variant("half", "half of it", "autoencoder", config={**TINY, "draws": "chroma"}, share=0.5),
    ),
    settings={"batch": 4},
    epochs=2,
    validation_share=0.3,
    validated=5,
)
DECODED = Study(
    name="decoded",
    title="Decoded",
    reference="bins",
    variants=(Variant("bins", "a distribution", "vgg16-yuv", {"sides": (32,), "validation_side": 32}, VGG),),
    decodes=(
        Decode("plain", "rare colours as likely as common ones", "bins", vividness=1.0),
        Decode("warm", "another temperature", "bins", temperature=2.0),
        Decode("mirrored", "and its mirror image", "bins", mirrored=True),
    ),
    settings={"batch": 2},
    epochs=1,
    validation_share=0.3,
    validated=3,
)


@pytest.fixture(scope="module")
def task(photographs, tmp_path_factory):
    sets = {"held": EvaluationSet(photographs.validation[:4]), "more": EvaluationSet(photographs.validation[4:6])}
    return Task(STUDY, photographs, sets, tmp_path_factory.mktemp("study"), images=16)


@pytest.fixture(scope="module")
def findings(task):
    return carry_out(task)


@pytest.fixture(scope="module")
def decoded(photographs, tmp_path_factory):
    """A finished study with decodes, on two photographs."""
    sets = {"held": EvaluationSet(photographs.validation[:2])}
    task = Task(DECODED, photographs, sets, tmp_path_factory.mktemp("decoded"), images=4)
    return task, {entry.name: entry for entry in carry_out(task)}


@pytest.fixture
def no_training(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(run, "train", refuse)


@pytest.mark.parametrize("study", [RECIPES, AUTOENCODER], ids=lambda study: study.name)
def test_every_variant_is_a_recipe_with_a_network_that_can_be_built_and_gets_the_budget(study):
    names = [entry.name for entry in study.entries]
    assert len(set(names)) == len(names)
    assert study.reference in names
    assert all(decode.of in names for decode in study.decodes)
    for variant in study.variants:
        recipe = recipe_of(study, variant, 12_000, Changes([], []))
        checkpoint.ARCHITECTURES[recipe.architecture][1](**recipe.config)
        seen = recipe.epochs * recipe.steps_per_epoch * recipe.batch
        assert 0.9 * 12_000 * variant.share < seen <= 12_000 * variant.share
        assert recipe.validation_share == study.validation_share


def test_variants_differ_from_each_other():
    for study in (RECIPES, AUTOENCODER):
        recipes = [recipe_of(study, variant, 12_000, NONE) for variant in study.variants]
        assert all(recipes.count(recipe) == 1 for recipe in recipes)


def test_the_autoencoder_is_declared_as_it_is_told():
    told = recipe_of(AUTOENCODER, AUTOENCODER.variants[0], 10_000, NONE)
    assert told.config == {"dense": 2000}  # the rest are the network's own defaults: kernel 5, filters 256 and 128
    assert (told.batch, told.chunks, told.validation_share, told.sides) == (50, 20, 0.3, (80,))
    assert (told.decay, told.average, told.final_rate, told.warmup) == (0, 0, 1, 0)  # plain Adam
    assert told.patience < told.epochs


@given(images=st.integers(1, 200_000), share=st.sampled_from([0.25, 1.0]))
def test_warm_up_and_average_fit_into_a_run_of_any_length(images, share):
    variant = Variant("any", "any", "vgg16-yuv", share=share)
    recipe = recipe_of(RECIPES, variant, images, NONE)
    steps = recipe.epochs * recipe.steps_per_epoch
    assert recipe.warmup <= steps / 10
    assert recipe.average == 0 or 1 / (1 - recipe.average) <= steps / 20 * 1.1
    assert steps * recipe.batch <= max(images, recipe.batch)


def test_a_long_run_keeps_the_recipes_own_warm_up_and_average():
    recipe = recipe_of(RECIPES, RECIPES.variants[2], 1_000_000, NONE)
    assert (recipe.warmup, recipe.average) == (200, 0.998)


def test_what_is_asked_for_goes_before_what_is_declared():
    recipe = recipe_of(STUDY, STUDY.variants[0], 16, Changes(["rate=0.5", "sides=[8]"], ["dense=3"]))
    assert (recipe.rate, recipe.sides, recipe.config["dense"]) == (0.5, (8,), 3)
    assert recipe.config["kernel"] == 3


@pytest.mark.parametrize("setting", ["rate", "rate=", "rate=-1", "colour=1"])
def test_settings_that_do_not_fit_are_refused(setting):
    with pytest.raises(UsageError):
        recipe_of(STUDY, STUDY.variants[0], 16, Changes([setting], []))


def test_only_takes_what_it_is_given_and_what_that_needs():
    names = [entry.name for entry in DECODED.chosen(["warm"])]
    assert names == ["bins", "warm"]
    assert DECODED.chosen([]) == list(DECODED.entries)
    with pytest.raises(UsageError, match="no 'cold' in it: bins, plain"):
        DECODED.chosen(["cold"])


def test_each_variant_is_trained_in_its_own_folder_and_measured_on_every_set(findings, task):
    assert [entry.name for entry in findings] == ["first", "half"]
    for found in findings:
        assert found.sha256 == read_card(task.out / found.name / "best.safetensors").sha256
        assert found.images_per_second > 0
        assert {name: judged.summary["photographs"] for name, judged in found.judged.items()} == {
            "held": 4,
            "more": 2,
        }
    assert [len(entry.history) for entry in findings] == [2, 1]
    network, _ = checkpoint.read(task.out / "first" / "best.safetensors")
    assert findings[0].parameters == sum(p.numel() for p in network.parameters())


def test_only_some_of_the_validation_photographs_are_looked_at_after_an_epoch(findings, task):
    card = read_card(task.out / "first" / "best.safetensors")
    assert card.trained_on.validation_photographs == STUDY.validated < len(task.photographs.validation)


def test_what_is_finished_is_not_done_again(findings, task, no_training, monkeypatch):
    monkeypatch.setattr(run, "judge", lambda *_: pytest.fail("measured again"))
    assert carry_out(task) == findings


def test_a_new_evaluation_set_is_measured_without_training_again(findings, task, no_training):
    other = EvaluationSet(task.photographs.validation[2:5])
    found = carry_out(replace(task, sets={"held": task.sets["held"], "other": other}, only=["first"]))
    assert list(found[0].judged) == ["held", "other"]
    assert found[0].judged["held"] == findings[0].judged["held"]
    assert list(found[1].judged) == ["held"]


def test_a_set_of_the_same_name_with_other_photographs_is_measured_anew(findings, task, tmp_path, no_training):
    changed = replace(task, sets={"held": EvaluationSet(task.photographs.validation[1:4])})
    assert known(changed) == []
    carry_out(changed)
    assert [entry.judged["held"].summary["photographs"] for entry in known(changed)] == [3, 3]
    carry_out(task)


def test_a_study_that_was_cut_off_goes_on_with_the_step_it_was_at(photographs, task, findings, tmp_path):
    cut = replace(task, out=tmp_path, only=["first"])

    def kill(name, progress):
        if progress and progress.epoch == 1 and progress.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(cut, kill)
    assert known(cut) == []
    steps = []
    found = carry_out(cut, lambda name, now: steps.append((now.epoch, now.step)) if now and not now.figures else None)
    assert steps == [(1, 1), (1, 2)]
    assert found[0].judged == findings[0].judged
    assert found[0].history == findings[0].history


@pytest.mark.parametrize("change", [{"images": 32}, {"changes": Changes(["rate=0.5"], [])}])
def test_a_folder_with_another_run_is_refused(findings, task, no_training, change):
    with pytest.raises(UsageError, match="another recipe or other photographs"):
        carry_out(replace(task, **change))


def test_a_folder_with_a_run_on_other_photographs_is_refused(findings, task, no_training):
    fewer = replace(task.photographs, training=task.photographs.training[1:])
    with pytest.raises(UsageError, match="another recipe or other photographs"):
        carry_out(replace(task, photographs=fewer))


def test_more_chunks_than_photographs_are_refused(task, tmp_path):
    with pytest.raises(UsageError, match="too few for 99 chunks"):
        carry_out(replace(task, out=tmp_path, changes=Changes(["chunks=99"], [])))


def test_a_finding_of_another_version_is_refused(tmp_path):
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(UsageError, match="not of this version"):
        Finding.read(tmp_path)


def test_it_tells_how_far_training_is_and_when_it_measures(task, tmp_path):
    told = []
    carry_out(replace(task, out=tmp_path, only=["half"]), lambda name, progress: told.append((name, progress)))
    assert {name for name, _ in told} == {"half"}
    assert all(isinstance(progress, Progress) for _, progress in told[:-2])
    assert [progress for _, progress in told[-2:]] == [None, None]  # once for each set


def test_decodes_read_the_same_weights_in_other_ways(decoded):
    task, found = decoded
    assert len({entry.sha256 for entry in found.values()}) == 1
    assert not (task.out / "plain" / "best.safetensors").exists()
    gray = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))
    chroma = {entry.name: engine_of(entry, task.out).predict(gray) for entry in DECODED.entries}
    engine = engine_of(DECODED.variants[0], task.out)
    np.testing.assert_array_equal(chroma["bins"], engine.predict(gray))
    np.testing.assert_array_equal(chroma["plain"], engine.predict(gray, 1.0))
    assert abs(chroma["plain"] - chroma["bins"]).max() > 0
    assert abs(chroma["warm"] - chroma["bins"]).max() > 0


def test_a_mirrored_photograph_gets_the_mirrored_colours(decoded):
    engine = engine_of(DECODED.decodes[2], decoded[0].out)
    gray = np.random.default_rng(0).integers(0, 256, (32, 64), dtype=np.uint8)
    chroma = engine.predict(gray)
    assert chroma.shape == (2, 8, 16)
    np.testing.assert_allclose(engine.predict(np.ascontiguousarray(gray[:, ::-1])), chroma[..., ::-1], atol=1e-6)
    assert abs(chroma - engine_of(DECODED.variants[0], decoded[0].out).predict(gray)).max() > 1e-6


def test_a_decode_declared_anew_is_measured_anew(decoded, no_training):
    task, found = decoded
    other = replace(DECODED, decodes=(replace(DECODED.decodes[0], vividness=0.5),))
    after = {entry.name: entry for entry in carry_out(replace(task, study=other))}
    assert after["bins"].judged == found["bins"].judged
    assert after["plain"].judged["held"].scores != found["plain"].judged["held"].scores


def test_what_gives_no_distribution_cannot_be_decoded(findings, task):
    with pytest.raises(UsageError, match="first gives no distribution"):
        engine_of(Decode("warm", "", "first", temperature=2.0), task.out)


def made(name, ciede2000, photographs="abcd", **fields):
    """A finding with the given CIEDE2000 of each photograph."""
    means = {"psnr": 20.0, "ciede2000": float(np.mean(ciede2000)), "colourfulness_ratio": 0.5}
    gain = {"mean": 1.0, "low": 0.5, "high": 1.5}
    summary = {
        "photographs": len(ciede2000),
        "means": dict.fromkeys(("model", "gray", "mean chroma"), means),
        "gains": {"psnr_over_gray": gain, "ciede2000_over_gray": gain},
        "better_than_gray_by_psnr": 0.75,
        "better_than_gray_by_ciede2000": 0.25,
    }
    scores = [(20.0, value, 30.0) for value in ciede2000]
    judged = Judged(digest="", summary=summary, names=list(photographs), scores=scores)
    return Finding(name=name, about=f"about {name}", sha256="", parameters=1, judged={"held": judged}, **fields)


def test_differences_are_taken_photograph_by_photograph():
    first, second = (entry.judged["held"] for entry in (made("a", [1, 5, 9, 20]), made("b", [21, 10, 6, 2], "dcba")))
    mean, low, high = report.against(second, first)
    assert (mean, low, high) == pytest.approx((1, 1, 1))


def rows_of(table):
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_the_table_has_a_line_for_each_entry_with_what_was_measured():
    first, half = made("first", [10, 12, 14, 16], images_per_second=7.25), made("half", [9, 11, 13, 15])
    text = report.markdown(STUDY, [first, half])
    rows = rows_of(text)
    assert rows["first"][:3] == ["about first", "7.2", "20.00 (+1.00, +0.50 to +1.50)"]
    assert rows["first"][3:] == ["13.00 (+1.00, +0.50 to +1.50)", "50%", "75% / 25%", ""]
    assert rows["half"][1] == ""
    assert rows["half"][-1] == "-1.00, -1.00 to -1.00"
    assert len({len(cells) for cells in rows.values()}) == 1
    assert "held: 4 photographs, 95% confidence" in text


def test_a_table_needs_no_reference():
    assert "| half |" in report.markdown(STUDY, [made("half", [9, 11, 13, 15])])
    assert report.markdown(STUDY, []) == "# Tiny"


def test_tables_curves_and_everything_are_written(findings, tmp_path):
    report.write(STUDY, findings, tmp_path)
    written = json.loads((tmp_path / "study.json").read_text())
    assert [Finding.model_validate(entry) for entry in written["findings"]] == findings
    assert written["study"]["variants"][1]["share"] == 0.5
    assert written["machine"]["cores"] > 0
    assert "| first | the first |" in (tmp_path / "study.md").read_text()
    with Image.open(tmp_path / "curves.png") as image:
        image.load()


def test_a_report_can_be_written_before_anything_is_known(tmp_path):
    report.write(STUDY, [], tmp_path / "new")
    assert (tmp_path / "new" / "study.md").exists()


def test_the_page_shows_gray_every_entry_and_truth(decoded):
    task, found = decoded
    shown = task.photographs.validation[:2]
    report.page(DECODED, list(found.values()), shown, task.out)
    with Image.open(task.out / "page.png") as image, Image.open(task.out / "page.jpg") as small:
        sheet = np.asarray(image)
        assert image.width > 6 * 224 > small.width
        assert small.format == "JPEG"
    truth = center_square(shown[0].rgb(), 224)
    top, last = 18, 5 * 226
    np.testing.assert_array_equal(sheet[top : top + 224, last : last + 224], truth)
    np.testing.assert_array_equal(sheet[top : top + 224, :224, 0], gray_of(truth).luma)
    plain = coloured(gray_of(truth), engine_of(DECODED.decodes[0], task.out))
    np.testing.assert_array_equal(sheet[top : top + 224, 2 * 226 : 2 * 226 + 224], plain)


def test_a_set_is_told_by_its_names_and_pixels(photographs):
    first, second, third = photographs.validation[:3]
    digests = [EvaluationSet(part).digest for part in ([first, second], [first, third], [second, first], [first])]
    assert len(set(digests)) == 4
    assert EvaluationSet([first, second]).digest == digests[0]
    renamed = EvaluationSet([Renamed("other", first)]).digest
    assert renamed != digests[3]
    swapped = [Renamed(first.name, second), Renamed(second.name, first)]
    assert EvaluationSet(swapped).digest != digests[0]


class Renamed:
    def __init__(self, name, other):
        self.name, self.rgb = name, other.rgb


def test_the_chroma_form_draws_two_planes_and_learns_by_their_distance():
    network = Autoencoder(AutoencoderConfig(side=16, kernel=3, filters=(4, 4), dense=4, draws="chroma"))
    rgb = torch.rand(2, 3, 16, 16)
    assert network(rgb[:, :1]).shape == (2, 2, 16, 16)
    truth = losses.true_chroma(rgb)
    right = (truth + 0.5).logit()
    torch.testing.assert_close(network.read_out(right), truth)
    assert losses.loss(network, right, rgb) < 1e-3
    assert losses.loss(network, right, 0.5 * rgb + 0.2) > 0.01
    gray = rgb + 0.1  # another luma, the same chroma
    assert losses.loss(network, right, gray) < 1e-3


def test_evaluation_sets_are_folders_by_name_evenly_spread(folder, tmp_path):
    sets = command.evaluation_sets([folder], 3)
    assert [photograph.name for photograph in sets[folder.name].photographs] == ["00.png", "10.png", "20.png"]
    with pytest.raises(UsageError, match="two evaluation folders"):
        command.evaluation_sets([folder, folder], 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no photographs in"):
        command.evaluation_sets([tmp_path / "empty"], 3)


def test_the_command_carries_a_study_out_and_prints_everything_as_json(folder, task, tmp_path, monkeypatch):
    monkeypatch.setitem(command.STUDIES, "autoencoder", replace(STUDY, judges_validation=True))
    monkeypatch.setattr(photographs_module, "collect", lambda source, share: task.photographs)
    options = ["--evaluate", str(folder), "--at-most", "3", "--images", "8", "--only", "half", "--json"]
    done = CliRunner().invoke(command.app, ["autoencoder", "anywhere", "--to", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    [found] = json.loads(done.stdout)["findings"]
    assert found["name"] == "half"
    assert {name: len(judged["names"]) for name, judged in found["judged"].items()} == {
        "validation part": len(task.photographs.validation),
        folder.name: 3,
    }
    assert {path.name for path in tmp_path.iterdir()} == {
        "half", "study.md", "study.json", "curves.png", "page.png", "page.jpg",
    }  # fmt: skip
    assert "half: measuring" in done.stderr


def test_an_unknown_entry_is_told_before_anything_is_read(folder, tmp_path):
    options = ["nowhere", "--evaluate", str(folder), "--to", str(tmp_path), "--only", "third"]
    done = CliRunner().invoke(command.app, ["recipes", *options])
    assert isinstance(done.exception, UsageError)
    assert "no 'third' in it" in str(done.exception)
    assert not any(tmp_path.iterdir())
