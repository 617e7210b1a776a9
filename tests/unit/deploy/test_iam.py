"""The AWS policies: every S3 call that the code makes is allowed to its role, and next to nothing more."""

from pathlib import Path
from typing import NamedTuple

import pytest

from photochrom.worker.jobs.context import Resources
from photochrom.worker.s3.store import Store
from tests.deploy import policies, sites
from tests.deploy.acting import Acting, play
from tests.deploy.going_wrong import go_wrong
from tests.deploy.policies import ROLES, VALUES, Statement, allows, load
from tests.deploy.recorded import Recorder, permissions
from tests.unit.training.conftest import colourful_picture, encoded

ROOT = Path(__file__).parents[3]
OWNED = {VALUES["OUTPUT_BUCKET"], VALUES["STATE_BUCKET"]}


class Played(NamedTuple):
    recorder: Recorder
    heard: set[tuple[str, int]]


_played: list[Played] = []


@pytest.fixture
def played(aws, settings, ledger, engine, tmp_path, monkeypatch):
    """What each role asked of S3, from where. Played once for all tests; where that fails, they all lack something."""
    if not _played:
        recorder = Recorder(aws)
        aws.create_bucket(Bucket=VALUES["TRAINING_BUCKET"])
        with recorder.listening(), sites.listening(ROOT, recorder, monkeypatch) as heard:
            _played.append(Played(recorder, heard))
            acting = Acting(
                Resources(settings, Store(settings), ledger), recorder, engine, photograph, tmp_path, monkeypatch
            )
            play(acting)
            go_wrong(acting)
    return _played[0]


@pytest.fixture
def calls(played):
    return played.recorder.calls


def photograph(number):
    return encoded(colourful_picture(number, 256, 240))


def test_no_place_in_the_code_asks_s3_that_was_not_heard(played):
    assert played.heard == sites.sites(ROOT)


@pytest.mark.parametrize("role", ROLES)
def test_every_call_of_a_role_is_allowed_to_it(role, calls):
    policy = load(role, ROOT)
    needed = {permission for call in calls[role] for permission in permissions(call, OWNED)}
    assert needed
    assert not {need for need in needed if not allows(policy, need.action, need.resource, need.context)}


@pytest.mark.parametrize("role", ROLES)
def test_nothing_is_allowed_to_a_role_that_none_of_its_calls_needs(role, calls):
    """Action by action and resource by resource, of every statement."""
    needed = {permission for call in calls[role] for permission in permissions(call, OWNED)}
    unused = set()
    for statement in load(role, ROOT):
        for action in statement.actions:
            for resource in statement.resources:
                alone = [statement._replace(actions=(action,), resources=(resource,))]
                if not any(allows(alone, need.action, need.resource, need.context) for need in needed):
                    unused.add((statement.sid, action, resource))
    assert not unused


FORBIDDEN = [
    ("s3:PutObject", "archive/in/1.jpg", ROLES),
    ("s3:DeleteObject", "archive/in/1.jpg", ROLES),
    ("s3:GetObject", "archive/other/1.jpg", ROLES),
    ("s3:GetObject", "archive/in/1.jpg", {*ROLES} - {"worker"}),
    ("s3:PutObject", "coloured/out/1.jpg", {*ROLES} - {"worker"}),
    ("s3:DeleteObject", "coloured/out/1.jpg", ROLES),
    ("s3:PutObject", "coloured/other/1.jpg", ROLES),
    ("s3:PutObject", "photographs/colour/1.jpg", ROLES),
    ("s3:PutObject", "photochrom-state/models/champion.json", {*ROLES} - {"training", "promoter"}),
    ("s3:PutObject", "photochrom-state/models/versions/0/weights.safetensors", {*ROLES} - {"training", "promoter"}),
    ("s3:DeleteObject", "photochrom-state/models/versions/0/card.json", {*ROLES} - {"collector"}),
    ("s3:DeleteObject", "photochrom-state/models/champion.json", ROLES),
    ("s3:DeleteObject", "photochrom-state/models/history/000000001.json", ROLES),
    ("s3:DeleteObject", "photochrom-state/submissions/a/submission.json", ROLES),
    ("s3:PutObject", "photochrom-state/submissions/a/outcomes/1.json", {*ROLES} - {"control"}),
    ("s3:PutObject", "photochrom-state/submissions/inbox/a.json", {*ROLES} - {"inbox"}),
    ("s3:GetObject", "photochrom-state/submissions/a/submission.json", {"worker", "training", "promoter", "inbox"}),
]


@pytest.mark.parametrize(("action", "place", "roles"), FORBIDDEN)
def test_what_no_role_but_a_few_may_do(action, place, roles):
    assert not {role for role in roles if allows(load(role, ROOT), action, f"arn:aws:s3:::{place}")}


@pytest.mark.parametrize("role", ["worker", "control", "submit"])
def test_the_names_in_an_archive_are_listed_below_the_prefix_only(role):
    policy = load(role, ROOT)
    archive = "arn:aws:s3:::archive"
    assert allows(policy, "s3:ListBucket", archive, {"s3:prefix": "in/folder/"})
    assert not allows(policy, "s3:ListBucket", archive, {"s3:prefix": "other/"})
    assert not allows(policy, "s3:ListBucket", archive, {"s3:prefix": ""})
    assert not allows(policy, "s3:ListBucket", archive)


def test_the_policies_hold_to_the_rules():
    assert not policies.check(ROOT)


def statement(effect=True, **conditions):
    return Statement("A", effect, ("s3:Get*",), ("arn:aws:s3:::a/b/*",), conditions)


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:GetObject", "arn:aws:s3:::a/b/c/d", True),
        ("s3:GetObject", "arn:aws:s3:::a/b", False),
        ("s3:GetObject", "arn:aws:s3:::a/bb/c", False),
        ("s3:PutObject", "arn:aws:s3:::a/b/c", False),
    ],
)
def test_a_policy_allows_what_its_patterns_match(action, resource, allowed):
    assert allows([statement()], action, resource) is allowed


def test_a_deny_goes_before_every_allow():
    assert not allows([statement(), statement(effect=False)], "s3:GetObject", "arn:aws:s3:::a/b/c")


@pytest.mark.parametrize(
    ("operator", "context", "allowed"),
    [
        ("StringLike", {"s3:prefix": "x/y"}, True),
        ("StringLike", {"s3:prefix": "z"}, False),
        ("StringLike", {}, False),
        ("StringEquals", {"s3:prefix": "x/y"}, False),
        ("StringLikeIfExists", {}, True),
        ("StringLikeIfExists", {"s3:prefix": "z"}, False),
    ],
)
def test_a_condition_holds_of_what_the_request_says(operator, context, allowed):
    conditional = statement(**{operator: {"s3:prefix": ("x/*",)}})
    assert allows([conditional], "s3:GetObject", "arn:aws:s3:::a/b/c", context) is allowed
