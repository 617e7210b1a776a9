"""What is said of device, engine and batches: which was chosen, or will be, and why. Nothing is loaded for it."""

import importlib.util
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from photochrom.worker.cli import explain
from photochrom.worker.cli.tuning import BY_HAND
from photochrom.worker.machine import Machine
from photochrom.worker.settings import settings

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture
def explained(monkeypatch, capsys):
    """Says what is chosen beside a device, with settings as they stand in the environment; gives rows by name."""

    def explained(device="cpu", pool=None, installed=True, **environment):
        found = SimpleNamespace(place=SimpleNamespace(type=device), precision="bfloat16")
        monkeypatch.setattr("photochrom.worker.inference.device.choose", lambda wanted: found)
        monkeypatch.setattr(explain, "_has_driver", lambda: device != "cpu")
        monkeypatch.setattr(explain, "machine", lambda: Machine(4, None, 2**40))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
        for name, value in environment.items():
            monkeypatch.setenv(f"PHOTOCHROM_{name.upper()}", str(value))
        settings.cache_clear()
        explain.tell(explain.tuned(None, pool), as_json=True)
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {line["name"]: (line["value"], line["why"]) for line in told}

    return explained


def test_torch_is_taken_by_default_and_because_it_is_set(explained):
    value, why = explained()["engine"]
    assert (value, why.partition(":")[0]) == ("torch", "by default")
    assert explained(engine="torch")["engine"] == ("torch", BY_HAND)


def test_auto_is_settled_by_a_measurement_when_a_model_is_loaded(explained):
    value, why = explained(engine="auto")["engine"]
    assert value == "auto"
    assert "measured when a model is loaded" in why
    assert "1.2 times" in why


@pytest.mark.parametrize(
    ("device", "installed", "because"), [("cpu", False, "not installed"), ("cuda", True, "for processors")]
)
def test_auto_is_torch_where_there_is_no_choice_and_says_why(explained, device, installed, because):
    value, why = explained(device, installed=installed, engine="auto")["engine"]
    assert value == "torch"
    assert because in why


@pytest.mark.parametrize(
    ("device", "installed", "because"), [("cpu", False, "not installed"), ("cuda", True, "for processors")]
)
def test_an_engine_that_no_model_will_load_with_is_told(explained, device, installed, because):
    value, why = explained(device, installed=installed, engine="openvino")["engine"]
    assert (value, why.partition(";")[0]) == ("openvino", BY_HAND)
    assert because in why
    assert "no model will load" in why


def test_openvino_that_is_set_and_there_is_taken_unless_its_colours_differ(explained):
    assert explained(engine="openvino")["engine"] == ("openvino", f"{BY_HAND}; torch instead, where its colours differ")


def test_a_device_is_there_or_not_or_set_by_hand_or_not_looked_for(explained):
    assert explained()["device"] == ("cpu", "no GPU is here that torch can use")
    assert explained("cuda")["device"] == ("cuda", "a GPU is here, and torch can use it")
    assert "pool prefork" in explained(pool="prefork")["device"][1]
    assert explained(device="cpu")["device"][1] != BY_HAND


def test_a_device_that_is_set_is_called_so(explained, monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_DEVICE", "cpu")
    assert explained()["device"] == ("cpu", BY_HAND)


def test_the_batches_of_a_gpu_are_those_of_the_settings_and_it_is_told_which_were_set(explained):
    told = explained("cuda", batch_images=24)
    assert told["batch_images"][0] == 24
    assert BY_HAND in told["batch_images"][1]
    assert told["batch_pixels"][0] == settings().batch_pixels
    assert "by default" in told["batch_pixels"][1]
    assert told["batch_wait"][0] == settings().batch_wait


def test_a_processor_has_no_batches_whatever_is_set(explained):
    told = explained(batch_images=24)
    assert told["batch"][0] == 1
    assert "batch_images" not in told


def test_people_are_told_the_name_of_the_extra(explained, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    explained(installed=False, engine="openvino")
    explain.tell(explain.tuned(None, None), as_json=False)
    assert "photochrom[openvino]" in capsys.readouterr().out


def test_neither_openvino_nor_a_model_is_loaded_to_say_so():
    code = (
        "import os, sys\n"
        "os.environ.update(PHOTOCHROM_ENGINE='auto', PHOTOCHROM_DEVICE='cpu')\n"
        "from photochrom.worker.cli.explain import tell, tuned\n"
        "tell(tuned(None, None), as_json=True)\n"
        "heavy = {'openvino', 'safetensors', 'photochrom.worker.models.checkpoint'}\n"
        "print(*sorted(heavy & sys.modules.keys()), 'END')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1].strip() == "END"
