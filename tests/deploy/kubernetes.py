"""The Kubernetes files: built by kustomize, held against the API's schemas, and against rules of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tests.deploy import keda
from tests.deploy.findings import Finding, run
from tests.deploy.images import (
    CACHE,
    HEARTBEAT,
    READY,
    SHELLS,
    commands,
    faults_of_check,
    is_pinned,
    program_of,
    unknown_settings,
)

OVERLAYS = "deploy/kubernetes/overlays"
VERSION = "1.31"
"""Of the API: the fields that are used were there by then."""

NOTICE_OF_SPOT = 120
"""Seconds between the notice that a spot instance is taken away (EC2's) and its end."""

PROBES = {"startupProbe": HEARTBEAT, "livenessProbe": HEARTBEAT, "readinessProbe": READY}
"""Each, and the file that it asks for. What restarts a pod must not depend on Redis or S3, as readiness does."""

CONTAINER_RIGHTS = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
WRITTEN_TO = {"/tmp", "/run/photochrom", "/run/photochrom-metrics"}
GPU = "nvidia.com/gpu"
ANYWHERE = {"0.0.0.0/0", "::/0"}

Thing = dict[str, Any]


def check(root: Path) -> list[Finding]:
    """All that is wrong with the overlays of a repository."""
    found = []
    for overlay in sorted(path.name for path in (root / OVERLAYS).iterdir()):
        code, output, errors = run("kubectl", "kustomize", f"{OVERLAYS}/{overlay}", root=root)
        if code:
            found.append(Finding(f"{OVERLAYS}/{overlay}", errors.strip()))
            continue
        things = list(yaml.safe_load_all(output))
        for thing in things:
            where = f"{OVERLAYS}/{overlay} {thing['kind']} {thing['metadata']['name']}"
            found += [Finding(where, problem) for problem in _of_thing(thing, things, overlay)]
        found += [Finding(f"{OVERLAYS}/{overlay}", problem) for problem in _of_all(things)]
    return found


def _of_thing(thing: Thing, things: list[Thing], overlay: str) -> Iterator[str]:
    if thing["apiVersion"].startswith("keda.sh/"):
        faults = list(keda.faults(thing))
        yield from faults
        if thing["kind"] == "ScaledObject" and not faults:
            yield from keda.faults_of_scaling(thing, things)
        return
    try:
        kubernetes_validate.validate(thing, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
        return
    if thing["kind"] == "Deployment":
        yield from _of_deployment(thing, things, overlay)
    elif thing["kind"] == "PodDisruptionBudget":
        wanted = thing["spec"]["selector"]["matchLabels"]
        if not any(wanted.items() <= _labels(other).items() for other in _of_kind("Deployment", things)):
            yield "it selects no pods"
    elif thing["kind"] == "NetworkPolicy":
        for rule in thing["spec"].get("ingress", ()):
            yield from _of_passage(rule, rule.get("from", []))
        for rule in thing["spec"].get("egress", ()):
            yield from _of_passage(rule, rule.get("to", []))


def _of_passage(rule: Thing, peers: list[Thing]) -> Iterator[str]:
    """A rule of a NetworkPolicy: what it leaves out it allows."""
    if not peers or not rule.get("ports"):
        yield f"it lets everything pass, by port or by place: {rule}"
    for peer in peers:
        block = peer.get("ipBlock", {})
        if block.get("cidr") in ANYWHERE and (
            "169.254.0.0/16" not in block.get("except", ())
            or [port.get("port") for port in rule.get("ports", ())] != [443]
        ):
            yield f"it opens more than port 443 to everywhere, or the node's metadata: {rule}"


def _of_all(things: list[Thing]) -> Iterator[str]:
    closed = [
        policy
        for policy in _of_kind("NetworkPolicy", things)
        if policy["spec"]["podSelector"] == {} and {"ingress", "egress"}.isdisjoint(policy["spec"])
    ]
    if not any({"Ingress", "Egress"} == set(policy["spec"]["policyTypes"]) for policy in closed):
        yield "no NetworkPolicy denies what is not allowed"
    for kind, problem in (
        ("ScaledObject", "nothing scales the workers"),
        ("PodDisruptionBudget", "all workers may be taken away at once: PodDisruptionBudget"),
    ):
        if not any(True for _ in _of_kind(kind, things)):
            yield problem


def _of_deployment(thing: Thing, things: list[Thing], overlay: str) -> Iterator[str]:
    pod, role = thing["spec"]["template"]["spec"], thing["metadata"]["name"]
    if thing["spec"]["selector"]["matchLabels"].items() - _labels(thing).items():
        yield "it does not select its own pods"
    if role == "control" and thing["spec"]["strategy"]["type"] != "Recreate":
        yield "two control processes while it is rolled out: Recreate"
    if pod.get("serviceAccountName") not in {
        account["metadata"]["name"] for account in _of_kind("ServiceAccount", things)
    }:
        yield "its service account is not there"
    if pod.get("automountServiceAccountToken") is not False:
        yield "its pods may talk to Kubernetes: automountServiceAccountToken"
    rights = pod.get("securityContext", {})
    if not rights.get("runAsNonRoot") or not rights.get("runAsUser"):
        yield "its pods may run as root"
    if rights.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    for container in pod["containers"]:
        yield from _of_container(container)
        yield from _of_environment(_environment(container, things), pod, role, overlay)
    for volume in pod.get("volumes", ()):
        if "sizeLimit" not in volume.get("emptyDir", {"sizeLimit": ""}):
            yield f"volume {volume['name']} may fill the node"


def _of_container(container: Thing) -> Iterator[str]:
    if not is_pinned(container["image"]):
        yield f"{container['image']} names no version"
    if container.get("securityContext") != CONTAINER_RIGHTS:
        yield f"its rights are not {CONTAINER_RIGHTS}"
    if program_of(container.get("command", ())) in SHELLS:
        yield "process 1 is a shell"
    if (command := container["args"][0]) not in commands():
        yield f"there is no command {command}"
    limits = container.get("resources", {})
    if not {"cpu", "memory"} <= limits.get("requests", {}).keys() or "memory" not in limits.get("limits", {}):
        yield "it does not say what it needs, or has no limit of memory"
    for name, file in PROBES.items():
        probe = container.get(name, {}).get("exec", {}).get("command")
        yield from (f"{name}: {problem}" for problem in faults_of_check(probe or []))
        if not probe:
            yield f"it has no {name} by a program"
        elif file not in probe:
            yield f"{name} does not ask for {file}"
    if ("/cuda:" in container["image"]) != (GPU in limits.get("limits", {})):
        yield f"image and {GPU} do not belong together"
    needed = WRITTEN_TO | ({CACHE} if command in ("worker", "training") else set())
    if missing := needed - {mount["mountPath"] for mount in container["volumeMounts"]}:
        yield f"it cannot write to {', '.join(sorted(missing))}"


def _of_environment(values: dict[str, str], pod: Thing, role: str, overlay: str) -> Iterator[str]:
    yield from (f"there is no setting {name}" for name in unknown_settings(values))
    if "PHOTOCHROM_REDIS_URL" not in values:
        yield "it does not know where Redis is"
    drain, grace = float(values.get("PHOTOCHROM_DRAIN_SECONDS", "inf")), pod.get("terminationGracePeriodSeconds", 30)
    if grace < drain + 10:
        yield f"terminationGracePeriodSeconds {grace} is not above the {drain:.0f} s to drain"
    if overlay == "spot" and role == "worker" and grace >= NOTICE_OF_SPOT:
        yield f"terminationGracePeriodSeconds {grace} is longer than the notice of a spot instance"


def _environment(container: Thing, things: list[Thing]) -> dict[str, str]:
    """What a container's environment will hold, as far as it does not come from secrets."""
    names = {source["configMapRef"]["name"] for source in container.get("envFrom", ()) if "configMapRef" in source}
    maps = [thing for thing in _of_kind("ConfigMap", things) if thing["metadata"]["name"] in names]
    values = {name: value for thing in maps for name, value in thing["data"].items()}
    return values | {entry["name"]: entry.get("value", "") for entry in container.get("env", ())}


def _labels(deployment: Thing) -> dict[str, str]:
    labels: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return labels


def _of_kind(kind: str, things: list[Thing]) -> Iterator[Thing]:
    return (thing for thing in things if thing["kind"] == kind)
