"""The overlays, as kustomize builds them."""

import json
from functools import partial

import pytest
import yaml

from tests.deploy.findings import ROOT, run
from tests.deploy.keda import PRIORITIES
from tests.deploy.kubernetes import OVERLAYS
from worker import keys
from worker.app import app, connect
from worker.settings import Settings


@pytest.fixture(scope="module")
def built():
    def build(overlay):
        return list(yaml.safe_load_all(run("kubectl", "kustomize", f"{OVERLAYS}/{overlay}", root=ROOT)[1]))

    return {overlay: build(overlay) for overlay in ("cpu", "gpu", "spot")}


def one(things, kind, name):
    [found] = [thing for thing in things if (thing["kind"], thing["metadata"]["name"]) == (kind, name)]
    return found


def worker(things):
    [container] = one(things, "Deployment", "worker")["spec"]["template"]["spec"]["containers"]
    return container


def test_the_lists_that_are_watched_are_those_that_celery_reads(built, no_settings):
    connect(Settings())
    with app.connection_for_read() as connection:
        channel = type(connection.transport).Channel
        celery = {
            f"{keys.QUEUE}{channel.sep}{priority}" if priority else keys.QUEUE for priority in channel.priority_steps
        }
    triggers = one(built["cpu"], "ScaledObject", "worker")["spec"]["triggers"]
    watched = {trigger["metadata"]["listName"] for trigger in json.loads(json.dumps(triggers))}
    assert watched - celery == {keys.UNACKED.format(role="colorize")}
    assert celery - watched == set()
    assert celery == {keys.queue(priority) for priority in PRIORITIES}


def test_a_pod_is_kept_for_every_job_in_hand(built):
    """As KEDA reckons: the formula by the target is the number of pods."""
    for overlay, in_hand_of_a_pod in (("cpu", 4), ("gpu", 32)):
        modifiers = one(built[overlay], "ScaledObject", "worker")["spec"]["advanced"]["scalingModifiers"]
        waiting = dict.fromkeys(("urgent", "high", "normal", "low"), 0)
        reckon = partial(eval, modifiers["formula"], {})
        assert reckon({**waiting, "in_hand": 5 * in_hand_of_a_pod}) == 5 * int(modifiers["target"])
        assert reckon({**waiting, "in_hand": 0, "low": 1}) > 0


def test_the_gpu_is_the_workers_alone(built):
    images = {
        thing["metadata"]["name"]: thing["spec"]["template"]["spec"]["containers"][0]["image"].partition(":")[0]
        for thing in built["gpu"]
        if thing["kind"] == "Deployment"
    }
    assert images == {"worker": "photochrom/cuda", "control": "photochrom/slim", "training": "photochrom/worker"}
    assert worker(built["gpu"])["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_on_spot_nodes_the_worker_drains_sooner(built):
    environment = {entry["name"]: entry.get("value") for entry in worker(built["spot"])["env"]}
    assert environment["PHOTOCHROM_DRAIN_SECONDS"] == "90"
    assert "PHOTOCHROM_REDIS_URL" in environment
    assert "affinity" not in one(built["spot"], "Deployment", "control")["spec"]["template"]["spec"]


def test_no_secret_stands_in_the_files(built):
    assert not [thing for things in built.values() for thing in things if thing["kind"] == "Secret"]
