"""What docs/aws.md says can be done, can be done."""

import json
import re
from string import Template

import boto3
import pytest

from photochrom.producer.control.inbox import take_inbox
from photochrom.producer.records.submission import load
from photochrom.worker.jobs.context import Resources
from photochrom.worker.s3.store import Location, Store
from tests.deploy.findings import ROOT
from tests.deploy.policies import ROLES, VALUES, allows
from tests.deploy.policies import load as policy_of
from tests.deploy.recorded import Recorder, permissions

TEXT = (ROOT / "docs/aws.md").read_text()


@pytest.fixture
def handler(aws, settings, monkeypatch):
    """The function of the documentation, as Lambda would call it."""
    monkeypatch.setenv("DESTINATION", "s3://coloured/out")
    monkeypatch.setenv("STATE_BUCKET", settings.state_bucket)
    monkeypatch.setattr(boto3, "client", lambda name: aws)
    names = {}
    exec(TEXT.partition("```python\n")[2].partition("```")[0], names)
    return lambda key: names["handler"](
        {"Records": [{"s3": {"bucket": {"name": "archive"}, "object": {"key": key, "sequencer": "0A1B"}}}]}, None
    )


def test_a_folder_that_is_ready_becomes_a_submission_once(handler, aws, settings, ledger):
    held = Resources(settings, Store(settings), ledger)
    with Recorder(aws).listening() as recorder, recorder.acting("inbox"):
        for _ in range(2):
            handler("scans/box+1/_READY")
    take_inbox(held)
    [name] = ledger.active()
    task = load(name, held.store, settings).task
    assert (task.source, task.destination) == ("s3://archive/scans/box 1", "s3://coloured/out/scans/box 1")
    for call in recorder.calls["inbox"]:
        needed = permissions(call, {settings.state_bucket})
        assert all(allows(policy_of("inbox", ROOT), need.action, need.resource) for need in needed)
    answers = [item.key for item in held.store.list(Location(settings.state_bucket, "submissions/inbox/"))]
    assert [key for key in answers if key.endswith(".accepted")]


def test_the_state_machine_is_json():
    machine = json.loads(TEXT.partition("```json\n")[2].partition("```")[0])
    assert machine["States"][machine["StartAt"]]["Arguments"]["Bucket"] == "photochrom-state"


def test_the_documentation_fills_in_every_variable_and_names_every_role():
    commands = TEXT.partition("```sh\n")[2].partition("```")[0]
    assert set(re.findall(r"([A-Z_]+)=", commands)) == set(VALUES)
    assert set(re.search(r"for role in (.*); do", commands)[1].split()) == set(ROLES)
    assert set(re.findall(r"^\| `(\w+)`", TEXT, re.M)) == set(ROLES)
    used = {
        name for role in ROLES for name in Template((ROOT / f"deploy/aws/{role}.json").read_text()).get_identifiers()
    }
    assert used == set(VALUES)
