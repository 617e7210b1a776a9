"""The health check of the images, as the program that it is."""

import json
import os
import re
import subprocess
import time

import pytest
import yaml

from tests.deploy.dockerfiles import DOCKERFILE, chain, images, parse
from tests.deploy.findings import ROOT

STAGES = parse((ROOT / DOCKERFILE).read_text())


def health_check():
    [line] = {rest for name in images(STAGES) for keyword, rest in chain(name, STAGES) if keyword == "HEALTHCHECK"}
    return json.loads(line.partition("CMD ")[2])


@pytest.fixture
def healthy(tmp_path):
    """Whether the check succeeds for a heartbeat that is so many seconds old; None: there is none."""

    def ask(age):
        heartbeat = tmp_path / "heartbeat"
        if age is not None:
            heartbeat.touch()
            os.utime(heartbeat, (time.time() - age,) * 2)
        command = [word.replace("/run/photochrom", str(tmp_path)) for word in health_check()]
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0

    return ask


@pytest.mark.parametrize(("age", "expected"), [(0, True), (30, True), (70, False), (3600, False), (None, False)])
def test_a_process_is_healthy_as_long_as_its_heart_beats(healthy, age, expected):
    assert healthy(age) is expected


def test_kubernetes_asks_what_the_image_asks():
    for role in ("worker", "control", "training"):
        [deployment] = yaml.safe_load_all((ROOT / f"deploy/kubernetes/base/{role}.yaml").read_text())
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "livenessProbe"):
            assert container[probe]["exec"]["command"] == health_check()


def test_the_images_are_three():
    assert images(STAGES) == ["slim", "worker", "cuda"]


def test_one_python_is_in_all_of_them():
    bases = {stage.parent for stage in STAGES.values() if stage.parent not in STAGES}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases.pop())


def test_only_the_slim_image_goes_without_torch():
    locks = {name: (ROOT / f"deploy/docker/{name}.lock").read_text() for name in ("submit", "cuda")}
    assert "\ntorch==" not in locks["submit"]
    assert "\ntorch==" in locks["cuda"]
