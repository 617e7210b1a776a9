"""Alerts and dashboard name metrics that there are; the tables of the documentation are what the code has."""

import ast
import re

import pytest

from photochrom.worker.telemetry.logs import FIELDS
from tests.deploy import monitoring
from tests.deploy.actions import actions, without_action
from tests.deploy.findings import ROOT
from tests.deploy.monitoring import alerts, faults, metrics, panels

DOCUMENTATION = (ROOT / "docs/monitoring.md").read_text()
ROLES = {"worker": "worker, or any process", "producer": "control", "training": "training, control"}


def metrics_table():
    rows = ["| metric | of | labels | meaning |", "|---|---|---|---|"]
    for metric in metrics().values():
        name = f"{metric.name}_bucket, _sum, _count" if metric.kind == "histogram" else metric.name
        rows.append(f"| `{name}` | {ROLES[metric.role]} | {', '.join(metric.labels)} | {metric.said} |")
    return "\n".join(rows)


def rows(heading):
    """The cells of the table below a heading of the documentation."""
    section = DOCUMENTATION.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:1] == "|"]
    return found[2:]


def test_the_files_are_in_order():
    assert monitoring.check(ROOT) == []


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("sum(photochrom_images_total", "brackets"),
        ("sum(photochrom_images_total]", "brackets"),
        ("sum(photochrom_image_total)", "no metric photochrom_image_total"),
        ("sum(photochrom_images)", "no metric photochrom_images"),
        ("photochrom_batch_images > 1", "no metric photochrom_batch_images"),
        ('photochrom_images_total{outcom="done"}', "no label outcom"),
        ("sum by (stage) (photochrom_images_total)", "a label stage"),
        ("summ(photochrom_images_total)", "summ is no word"),
    ],
)
def test_a_fault_in_an_expression_is_found(expression, says):
    assert says in "\n".join(faults(expression))


@pytest.mark.parametrize(
    "expression",
    [
        'sum by (reason) (rate(photochrom_images_total{outcome="quarantined"}[5m])) > 0.5',
        "sum(rate(photochrom_batch_images_sum[5m])) / sum(rate(photochrom_batch_images_count[5m]))",
        'absent(photochrom_process_info{role="control"})',
    ],
)
def test_an_expression_in_order_is_not_complained_of(expression):
    assert list(faults(expression)) == []


def test_every_metric_is_on_the_dashboard_or_in_an_alert():
    seen = "\n".join([rule["expr"] for rule in alerts()] + [t["expr"] for panel in panels() for t in panel["targets"]])
    unseen = {m.name for m in metrics().values() if not any(re.search(rf"\b{s}\b", seen) for s in m.samples)}
    assert unseen == set()


def test_the_names_of_metrics_say_their_unit():
    for metric in metrics().values():
        assert metric.name.startswith("photochrom_")
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.said
    assert not {label for metric in metrics().values() for label in metric.labels} & {"submission", "key", "ordinal"}


def test_the_table_of_metrics_matches_the_code():
    assert DOCUMENTATION.partition("<!-- metrics -->\n")[2].partition("\n<!-- /metrics -->")[0] == metrics_table()


def test_the_table_of_alerts_matches_the_rules():
    assert [row[:2] for row in rows("Alerts")] == [[rule["alert"], rule["labels"]["severity"]] for rule in alerts()]


def test_the_table_of_actions_matches_the_code():
    assert [row[0] for row in rows("Log lines")] == sorted(actions())


def test_alerts_send_to_actions_that_there_are():
    named = {name for row in rows("Alerts") for name in re.findall(r"`([a-z_]+_[a-z_]+)`", row[2])}
    assert named <= actions()
    assert named


def test_log_lines_of_the_documentation_are_those_of_the_code():
    section = DOCUMENTATION.partition("## Log lines")[2].partition("| action")[0]
    assert set(FIELDS) <= set(re.findall(r"`(\w+)`", section))


def test_extras_of_log_lines_are_known_fields():
    """What is not among the fields would never be written."""
    said = set()
    for folder in ("worker", "producer", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Dict):
                    names = {getattr(key, "value", None) for key in node.keys}
                    said |= names if "action" in names and "message" not in names else set()
    assert said - {None} <= {"action", *FIELDS}


def test_log_lines_name_their_action():
    assert without_action() == []
