"""Recipes: what may be set, and what is refused before anything is read."""

import pytest

from photochrom.training.recipe import RECIPES, Recipe, parse_settings, recipe_for
from photochrom.worker.errors import UsageError
from photochrom.worker.models import checkpoint
from photochrom.worker.models.vgg_yuv import STRIDE


def test_an_unknown_model_is_refused_with_the_recipes_there_are():
    with pytest.raises(UsageError, match="unknown model 'unet': there are vgg16-yuv, vgg16-yuv-residual, autoencoder"):
        recipe_for("unet", [], {})


def test_without_settings_a_recipe_is_as_published():
    for name, recipe in RECIPES.items():
        assert recipe_for(name, [], {}) == recipe


def test_settings_and_network_configuration_take_the_place_of_the_recipes_own():
    recipe = recipe_for("vgg16-yuv-residual", ['normalization="imagenet-rgb"'], {"epochs": 3})
    assert recipe.epochs == 3
    assert recipe.config == {"decoder": "residual", "normalization": "imagenet-rgb"}
    assert recipe.batch == RECIPES["vgg16-yuv-residual"].batch


def test_another_side_of_the_autoencoder_is_the_side_it_learns_at():
    recipe = recipe_for("autoencoder", ["side=40", "dense=160", "filters=[128,64]"], {})
    assert recipe.sides == (40,)
    assert recipe.validation_side == 40
    network = checkpoint.build(recipe.architecture, recipe.config)
    assert network.config.filters == (128, 64)


@pytest.mark.parametrize("entry", ["dense", "decoder=residual", "filters=[1,"])
def test_network_configuration_that_is_no_json_is_refused(entry):
    with pytest.raises(UsageError, match="NAME=JSON"):
        recipe_for("autoencoder", [entry], {})


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"batch": 1}, {"rate": -1.0}, {"patience": 0}, {"colour": 1}])
def test_a_setting_that_does_not_fit_is_refused_by_name(setting):
    with pytest.raises(UsageError, match=f"recipe autoencoder: {next(iter(setting))}: "):
        recipe_for("autoencoder", [], setting)


def test_an_epoch_has_at_least_one_step():
    assert Recipe(architecture="autoencoder", images_per_epoch=3, batch=50).steps_per_epoch == 1
    assert Recipe(architecture="autoencoder", images_per_epoch=104, batch=50).steps_per_epoch == 2


def test_a_recipe_survives_the_state_file():
    recipe = recipe_for("autoencoder", ["filters=[4,4]"], {"seed": 3})
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    "setting",
    [
        {"rate": float("inf")},
        {"decay": float("nan")},
        {"sides": []},
        {"sides": [64, 0]},
        {"sides": [7]},
        {"validation_side": -32},
        {"config": 5},
        {"config": [["dense", 3]]},
        {"sides": "large"},
    ],
)
def test_what_no_run_could_work_with_is_refused_by_name(setting):
    with pytest.raises(UsageError, match=f"recipe autoencoder: {next(iter(setting))}: "):
        recipe_for("autoencoder", [], setting)


@pytest.mark.parametrize("setting", [{"sides": [128, 100]}, {"validation_side": 100}])
def test_sides_of_the_vgg_are_multiples_of_its_stride(setting):
    with pytest.raises(UsageError, match=rf"recipe vgg16-yuv: {next(iter(setting))}: .*multiples of {STRIDE}"):
        recipe_for("vgg16-yuv", [], setting)
    assert recipe_for("vgg16-yuv", [], {"sides": [STRIDE, 96], "validation_side": 64}).sides == (STRIDE, 96)
    assert recipe_for("autoencoder", ["side=100"], {}).sides == (100,)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_no_json_either(value):
    with pytest.raises(UsageError, match=f"NAME=JSON.*{value} is no JSON"):
        parse_settings([f"rate={value}"])


def test_a_setting_of_another_version_is_passed_over_in_a_record_and_refused_of_a_person():
    recipe = RECIPES["autoencoder"]
    record = {**recipe.model_dump(mode="json"), "of_the_next_version": 1}
    assert Recipe.model_validate(record) == recipe
    with pytest.raises(UsageError, match="recipe autoencoder: of_the_next_version: there is no such setting"):
        recipe_for("autoencoder", [], {"of_the_next_version": 1})
