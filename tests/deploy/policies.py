"""The AWS policies: read, filled in, held against rules, and asked whether they allow something.

The evaluation is that of AWS for one identity policy, as far as these policies go: Allow and Deny, actions and
resources with * and ?, and the condition operators below (IAM user guide, "Policy evaluation logic" and "IAM JSON
policy elements: Condition operators").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from tests.deploy.findings import Finding

FOLDER = "deploy/aws"
ROLES = ("worker", "control", "submit", "training", "promoter", "collector", "inbox")

VALUES = {
    "ARCHIVE_BUCKET": "archive", "ARCHIVE_PREFIX": "in/", "OUTPUT_BUCKET": "coloured", "OUTPUT_PREFIX": "out/",
    "STATE_BUCKET": "photochrom-state", "TRAINING_BUCKET": "photographs", "TRAINING_PREFIX": "colour/",
    "MANIFEST_BUCKET": "archive", "MANIFEST_PREFIX": "manifests/",
}  # fmt: skip
"""What the templates are filled in with to be checked."""

ACTIONS = {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:AbortMultipartUpload", "s3:DeleteObject"}
OPERATORS = {"StringLike", "StringEquals"}
WRITING = {"s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"}
DELETES, PUTS_MODELS, WRITES_OUTPUT = {"collector"}, {"training", "promoter"}, {"worker"}
"""Who alone may do that."""


class Statement(NamedTuple):
    """One statement of a policy. `conditions`: operator, then key, then values."""

    sid: str
    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, tuple[str, ...]]]

    def concerns(self, action: str, resource: str, context: Mapping[str, str]) -> bool:
        """Whether it says something of that; `context` are the condition keys of the request."""
        return (
            any(_like(pattern, action) for pattern in self.actions)
            and any(_like(pattern, resource) for pattern in self.resources)
            and all(
                _holds(operator, values, context.get(key))
                for operator, wanted in self.conditions.items()
                for key, values in wanted.items()
            )
        )


def load(role: str, root: Path, values: Mapping[str, str] = VALUES) -> list[Statement]:
    """The statements of a role's policy, filled in. Raises KeyError for a variable that has no value."""
    document = json.loads(Template((root / FOLDER / f"{role}.json").read_text()).substitute(values))
    return [_statement(found) for found in document["Statement"]]


def allows(policy: list[Statement], action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
    """Whether the policy lets its holder do that. A Deny goes before every Allow, and nothing is allowed by itself."""
    concerning = [statement for statement in policy if statement.concerns(action, resource, context or {})]
    return bool(concerning) and all(statement.allows for statement in concerning)


def check(root: Path) -> list[Finding]:
    """All that is wrong with the policies of a repository, as far as they alone show it."""
    there = {path.stem for path in (root / FOLDER).glob("*.json")}
    found = [Finding(FOLDER, f"{name}.json is nobody's, or missing") for name in there ^ set(ROLES)]
    for role in sorted(there):
        where = f"{FOLDER}/{role}.json"
        try:
            policy = load(role, root)
        except (ValueError, KeyError, TypeError) as error:
            found.append(Finding(where, f"it cannot be read: {error}"))
            continue
        for statement in policy:
            found += [Finding(f"{where} {statement.sid}", problem) for problem in _faults(role, statement)]
        if len({statement.sid for statement in policy}) < len(policy):
            found.append(Finding(where, "two statements have one name"))
    return found


def _faults(role: str, statement: Statement) -> Iterator[str]:
    if not re.fullmatch("[A-Za-z0-9]+", statement.sid):
        yield "its name is none: letters and digits"
    for action in statement.actions:
        if action not in ACTIONS:
            yield f"{action} is more than any role needs"
    for resource in statement.resources:
        yield from _faults_of_resource(role, statement, resource)
    if "s3:ListBucket" in statement.actions and not statement.conditions:
        yield "it lists a whole bucket"


def _faults_of_resource(role: str, statement: Statement, resource: str) -> Iterator[str]:
    bucket, _, key = resource.removeprefix("arn:aws:s3:::").partition("/")
    if not resource.startswith("arn:aws:s3:::") or "*" in bucket:
        yield f"{resource} is more than one bucket"
    if bool(key) != ("s3:ListBucket" not in statement.actions):
        yield f"{resource} is no place for {', '.join(statement.actions)}"
    if key == "*":
        yield f"{resource} is a whole bucket"
    if not WRITING & set(statement.actions):
        return
    if bucket not in (VALUES["STATE_BUCKET"], *([VALUES["OUTPUT_BUCKET"]] if role in WRITES_OUTPUT else [])):
        yield f"it writes to {bucket}"
    if "s3:DeleteObject" in statement.actions and role not in DELETES:
        yield "it deletes"
    if "s3:PutObject" in statement.actions and _like(key, "models/champion.json") and role not in PUTS_MODELS:
        yield "it puts models"


def _statement(found: dict[str, Any]) -> Statement:
    if found["Effect"] not in ("Allow", "Deny"):
        raise ValueError(f"Effect {found['Effect']}")
    if unknown := found.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}:
        raise ValueError(f"{', '.join(unknown)} is not evaluated here")
    if unknown := {operator.removesuffix("IfExists") for operator in found.get("Condition", {})} - OPERATORS:
        raise ValueError(f"condition operator {', '.join(unknown)} is not evaluated here")
    conditions = {
        operator: {key: _several(values) for key, values in wanted.items()}
        for operator, wanted in found.get("Condition", {}).items()
    }
    allowing = found["Effect"] == "Allow"
    return Statement(found["Sid"], allowing, _several(found["Action"]), _several(found["Resource"]), conditions)


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _holds(operator: str, values: tuple[str, ...], given: str | None) -> bool:
    """Whether a condition holds of what a request says; None: it says nothing."""
    if operator.endswith("IfExists"):
        return given is None or _holds(operator.removesuffix("IfExists"), values, given)
    if given is None:
        return False
    return any(_like(value, given) if operator == "StringLike" else value == given for value in values)


def _like(pattern: str, text: str) -> bool:
    """AWS's wildcards: * is any run of characters, slashes included, ? is one."""
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return bool(re.fullmatch("".join(parts), text, re.S))
