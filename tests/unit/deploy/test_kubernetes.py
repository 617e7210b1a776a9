"""The overlays, as kustomize builds them."""

import math

import pytest
import yaml

from photochrom.worker.ledger import keys
from photochrom.worker.queue.app import app, connect
from photochrom.worker.settings import Settings
from tests.deploy.findings import ROOT, run
from tests.deploy.keda import PRIORITIES
from tests.deploy.kubernetes import OVERLAYS


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
    watched = {trigger["metadata"]["listName"] for trigger in triggers if trigger["type"] == "redis"}
    assert watched - celery == {keys.UNACKED.format(role="colorize")}
    assert celery - watched == set()
    assert celery == {keys.queue(priority) for priority in PRIORITIES}


@pytest.fixture(params=[("cpu", 4), ("gpu", 32)], ids=["cpu", "gpu"])
def scaled(built, request):
    """How many pods KEDA asks for, formula by target and rounded up; and how many jobs one pod takes."""
    overlay, jobs_of_a_pod = request.param
    modifiers = one(built[overlay], "ScaledObject", "worker")["spec"]["advanced"]["scalingModifiers"]
    nothing = dict.fromkeys(("urgent", "high", "normal", "low", "in_hand", "pods"), 0)

    def pods_for(**counted):
        return math.ceil(eval(modifiers["formula"], {}, {**nothing, **counted}) / int(modifiers["target"]))

    return pods_for, jobs_of_a_pod


@pytest.mark.parametrize("pods", [1, 5, 40])
def test_pods_that_are_full_stay(scaled, pods):
    pods_for, jobs_of_a_pod = scaled
    assert pods_for(in_hand=pods * jobs_of_a_pod, pods=pods) == pods


def test_pods_with_one_job_each_stay(scaled):
    pods_for, _ = scaled
    assert pods_for(in_hand=12, pods=12) == 12
    assert pods_for(in_hand=15, pods=12) == 12


def test_of_pods_without_work_only_those_go_for_which_there_is_no_job(scaled):
    pods_for, _ = scaled
    assert pods_for(in_hand=3, pods=12) == 3
    assert pods_for(pods=12) == 0


def test_what_waits_asks_for_more(scaled):
    pods_for, jobs_of_a_pod = scaled
    assert pods_for(low=1) == 1
    assert pods_for(normal=4 * jobs_of_a_pod, urgent=4 * jobs_of_a_pod, in_hand=jobs_of_a_pod, pods=1) == 3


def test_jobs_in_hand_do_not_ask_for_more_by_themselves(scaled):
    pods_for, jobs_of_a_pod = scaled
    assert pods_for(in_hand=jobs_of_a_pod, pods=1) == 1


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
