"""KEDA's objects: a schema of the fields that exist, and whether the queues they watch are those that Celery keeps.

The fields are those of KEDA 2.17 (config/crd/bases in its repository); a trigger's are those of its Redis lists scaler,
or of the one that counts pods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema

from photochrom.worker.ledger import keys

PRIORITIES = (0, 3, 6, 9)
"""Celery's four on Redis, the highest first."""

FUNCTIONS = {"max", "min"}
"""Of expr, the language of formulas, as far as it is used here."""

TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}


def _closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_POLICY = _closed({"type": {"enum": ["Pods", "Percent"]}, "value": COUNT, "periodSeconds": COUNT}, "type", "value")
_RULES = _closed(
    {
        "stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
        "selectPolicy": {"enum": ["Max", "Min", "Disabled"]},
        "policies": _list(_POLICY),
        "tolerance": TEXT,
    }
)
_REDIS = dict.fromkeys(
    (
        *("address", "addressFromEnv", "host", "hostFromEnv", "port", "portFromEnv"),
        *("usernameFromEnv", "passwordFromEnv", "enableTLS", "unsafeSsl", "databaseIndex"),
        *("listName", "listLength", "activationListLength"),
    ),
    TEXT,
)
_OF_TRIGGERS = {
    "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
    "metricType": {"enum": ["AverageValue", "Value"]},
    "useCachedMetrics": {"type": "boolean"},
}
_LIST = _closed(
    {
        **_OF_TRIGGERS,
        "type": {"const": "redis"},
        "metadata": _closed(_REDIS, "listName"),
        "authenticationRef": _closed({"name": TEXT, "kind": TEXT}, "name"),
    },
    *("type", "name", "metadata", "authenticationRef"),
)
_PODS = _closed(
    {
        **_OF_TRIGGERS,
        "type": {"const": "kubernetes-workload"},
        "metadata": _closed(dict.fromkeys(("podSelector", "value", "activationValue"), TEXT), "podSelector", "value"),
    },
    *("type", "name", "metadata"),
)
_TRIGGER = {
    "type": "object",
    "properties": {"type": {"enum": ["redis", "kubernetes-workload"]}},
    "required": ["type"],
    "if": {"properties": {"type": {"const": "redis"}}},
    "then": _LIST,
    "else": _PODS,
}
_SCALING_MODIFIERS = _closed(
    {"formula": TEXT, "target": TEXT, "activationTarget": TEXT, "metricType": {"enum": ["AverageValue", "Value"]}},
    "formula",
    "target",
)
_FALLBACK = _closed(
    {
        "failureThreshold": COUNT,
        "replicas": COUNT,
        "behavior": {"enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]},
    },
    "failureThreshold",
    "replicas",
)
_SPECS = {
    "ScaledObject": _closed(
        {
            "scaleTargetRef": _closed(
                {"name": TEXT, "kind": TEXT, "apiVersion": TEXT, "envSourceContainerName": TEXT}, "name"
            ),
            "pollingInterval": COUNT,
            "cooldownPeriod": COUNT,
            "initialCooldownPeriod": COUNT,
            "minReplicaCount": COUNT,
            "maxReplicaCount": COUNT,
            "idleReplicaCount": COUNT,
            "fallback": _FALLBACK,
            "advanced": _closed(
                {
                    "restoreToOriginalReplicaCount": {"type": "boolean"},
                    "scalingModifiers": _SCALING_MODIFIERS,
                    "horizontalPodAutoscalerConfig": _closed(
                        {"name": TEXT, "behavior": _closed({"scaleUp": _RULES, "scaleDown": _RULES})}
                    ),
                }
            ),
            "triggers": _list(_TRIGGER),
        },
        "scaleTargetRef",
        "triggers",
    ),
    "TriggerAuthentication": _closed(
        {
            "secretTargetRef": _list(
                _closed({"parameter": TEXT, "name": TEXT, "key": TEXT}, "parameter", "name", "key")
            ),
            "env": _list(_closed({"parameter": TEXT, "name": TEXT, "containerName": TEXT}, "parameter", "name")),
        }
    ),
}
AUTHENTICATION = {"address", "username", "password", "tls", "ca", "cert", "key", "keyPassword"}
"""What the Redis scaler takes from a TriggerAuthentication."""


def faults(thing: dict[str, Any]) -> Iterator[str]:
    """What is wrong with one object of KEDA's."""
    spec = _SPECS.get(thing["kind"])
    if thing["apiVersion"] != "keda.sh/v1alpha1" or spec is None:
        yield f"there is no {thing['kind']} in {thing['apiVersion']}"
        return
    for error in jsonschema.Draft202012Validator(spec).iter_errors(thing.get("spec", {})):
        yield f"{error.json_path.replace('$', 'spec', 1)}: {error.message}"
    if thing["kind"] == "TriggerAuthentication":
        given = {entry.get("parameter") for entry in thing["spec"].get("secretTargetRef", ())}
        yield from (f"the Redis scaler takes no {name}" for name in given - AUTHENTICATION)


def faults_of_scaling(scaled: dict[str, Any], things: list[dict[str, Any]]) -> Iterator[str]:
    """What is wrong between a ScaledObject and everything else."""
    spec = scaled["spec"]
    target = next((thing for thing in things if _is(thing, "Deployment", spec["scaleTargetRef"]["name"])), None)
    if target is None:
        yield f"there is no Deployment {spec['scaleTargetRef']['name']} to scale"
    elif "replicas" in target["spec"]:
        yield "its Deployment says how many replicas there are, too: each apply would undo the scaling"
    lists = [trigger for trigger in spec["triggers"] if trigger["type"] == "redis"]
    watched = {trigger["metadata"]["listName"] for trigger in lists}
    wanted = {*map(keys.queue, PRIORITIES), keys.UNACKED.format(role="colorize")}
    yield from (f"nothing watches {name!r}" for name in wanted - watched)
    yield from (f"there is no queue {name!r}" for name in watched - wanted)
    names = {trigger["name"] for trigger in spec["triggers"]}
    formula = spec.get("advanced", {}).get("scalingModifiers", {}).get("formula", "")
    said = set(re.findall(r"[A-Za-z_]\w*", formula)) - FUNCTIONS
    yield from (f"the formula leaves out or invents {name}" for name in names ^ said)
    for trigger in lists:
        if not any(_is(thing, "TriggerAuthentication", trigger["authenticationRef"]["name"]) for thing in things):
            yield f"there is no TriggerAuthentication {trigger['authenticationRef']['name']}"
    if target is not None:
        own = target["spec"]["selector"]["matchLabels"]
        for trigger in spec["triggers"]:
            selector = trigger["metadata"].get("podSelector")
            if selector and dict(part.split("=", 1) for part in selector.split(",") if "=" in part) != own:
                yield f"it counts the pods of {selector}, not its own"


def _is(thing: dict[str, Any], kind: str, name: str) -> bool:
    return (thing["kind"], thing["metadata"]["name"]) == (kind, name)
