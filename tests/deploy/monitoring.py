"""The files for Prometheus and Grafana, held against the metrics that the code has."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.deploy.findings import ROOT, Finding

FOLDER = "deploy/monitoring"
CODE = ("worker", "producer", "training")

KINDS = {
    "Counter": "counter", "Gauge": "gauge", "Histogram": "histogram", "GaugeMetricFamily": "gauge", "_gauge": "gauge",
    "InfoMetricFamily": "gauge",
}  # fmt: skip
"""What in the code makes a metric, and what Prometheus takes it for."""

WORDS = {
    "sum", "max", "min", "count", "avg", "rate", "increase", "absent", "time", "vector",
    "by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool",
}  # fmt: skip
"""The functions, operators and keywords of PromQL that these files may use."""

OF_PROMETHEUS = {"instance", "job", "le"}
"""Labels that Prometheus adds itself."""

_PAIRS = {")": "(", "]": "[", "}": "{"}


class Metric(NamedTuple):
    """A metric as it is made in the code. `role` is the folder of that."""

    name: str
    kind: str
    labels: tuple[str, ...]
    said: str
    role: str

    @property
    def samples(self) -> tuple[str, ...]:
        """The names under which Prometheus has it."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


@cache
def metrics(root: Path = ROOT) -> dict[str, Metric]:
    """Every metric that the code makes, by its name, in the order of files and lines."""
    found = {}
    for folder in CODE:
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                metric = _metric(node, folder)
                if metric is not None:
                    found[metric.name] = metric
    return found


def _metric(node: ast.AST, folder: str) -> Metric | None:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in KINDS:
        return None
    name, said, *rest = (*node.args, None, None)
    if not isinstance(name, ast.Constant) or not isinstance(said, ast.Constant):
        return None  # collections.Counter, say
    listed = next((word.value for word in node.keywords if word.arg == "labels"), rest[0] if rest else None)
    keys = listed.keys if isinstance(listed, ast.Dict) else getattr(listed, "elts", [])
    labels = tuple(key.value for key in keys if isinstance(key, ast.Constant))
    kind = KINDS[node.func.id]
    suffix = "_total" if kind == "counter" else "_info" if node.func.id == "InfoMetricFamily" else ""
    return Metric(name.value + suffix, kind, labels, said.value, folder)


class Expression(NamedTuple):
    """A PromQL expression, and whose."""

    where: str
    text: str


def alerts(root: Path = ROOT) -> list[dict[str, Any]]:
    """The alert rules, as they are written."""
    groups = yaml.safe_load((root / FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(root: Path = ROOT) -> list[dict[str, Any]]:
    """The dashboard's panels that show something."""
    dashboard = json.loads((root / FOLDER / "dashboard.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(root: Path = ROOT) -> Iterator[Expression]:
    """Of all alerts and panels."""
    for rule in alerts(root):
        yield Expression(f"{FOLDER}/alerts.yml {rule['alert']}", rule["expr"])
    for panel in panels(root):
        for target in panel["targets"]:
            yield Expression(f"{FOLDER}/dashboard.json {panel['title']}", target["expr"])


def check(root: Path) -> list[Finding]:
    """All that is wrong with the files of a repository."""
    try:
        found = [Finding(one.where, problem) for one in expressions(root) for problem in faults(one.text)]
        found += [Finding(f"{FOLDER}/alerts.yml", problem) for problem in _faults_of_alerts(alerts(root))]
        found += [Finding(f"{FOLDER}/dashboard.json", problem) for problem in _faults_of_panels(panels(root))]
        found += [Finding(f"{FOLDER}/prometheus.yml", problem) for problem in _faults_of_scraping(root)]
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        return [Finding(FOLDER, f"it cannot be read: {type(error).__name__}: {error}")]
    return found


def faults(expression: str) -> Iterator[str]:
    """What is wrong with a PromQL expression, as far as brackets, names and labels show it."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    if not _is_balanced(bare):
        yield "its brackets do not match"
    known = {sample: metric for metric in metrics().values() for sample in metric.samples}
    used = [known[name] for name in re.findall(r"\bphotochrom_\w+", bare) if name in known]
    yield from (f"there is no metric {name}" for name in re.findall(r"\bphotochrom_\w+", bare) if name not in known)
    for name, matchers in re.findall(r"\b(photochrom_\w+)\{([^}]*)\}", bare):
        for label in re.findall(r"(\w+)\s*[=!]", matchers):
            if name in known and label not in known[name].labels:
                yield f"{name} has no label {label}"
    labels = OF_PROMETHEUS.union(*(metric.labels for metric in used))
    for group in re.findall(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)", bare):
        yield from (f"nothing there has a label {label}" for label in re.findall(r"\w+", group) if label not in labels)
    rest = re.sub(r"photochrom_\w+(\{[^}]*\})?|\[\d+[smhdw]\]|(?<=[\s(])\d+(\.\d+)?|\bphotochrom_\w+", " ", bare)
    words = set(re.findall(r"[A-Za-z_]\w*", rest)) - WORDS - labels
    yield from (f"{word} is no word of PromQL that is known here" for word in sorted(words))


def _is_balanced(text: str) -> bool:
    open_ones: list[str] = []
    for character in text:
        if character in "([{":
            open_ones.append(character)
        elif character in _PAIRS and (not open_ones or open_ones.pop() != _PAIRS[character]):
            return False
    return not open_ones


def _faults_of_alerts(rules: list[dict[str, Any]]) -> Iterator[str]:
    names = [rule["alert"] for rule in rules]
    yield from (f"there are two {name}" for name in sorted({name for name in names if names.count(name) > 1}))
    for rule in rules:
        if rule["labels"].get("severity") not in ("page", "warn"):
            yield f"{rule['alert']} is neither for paging nor for warning"
        if not rule["annotations"].get("summary"):
            yield f"{rule['alert']} does not say what it means"
        if not re.fullmatch(r"\d+[smhd]", rule.get("for", "0s")):
            yield f"{rule['alert']} waits for {rule['for']!r}"


def _faults_of_panels(shown: list[dict[str, Any]]) -> Iterator[str]:
    for panel in shown:
        if panel["datasource"] != {"type": "prometheus", "uid": "prometheus"}:
            yield f"{panel['title']} asks another data source than the one that is provided"
        if not panel["description"]:
            yield f"{panel['title']} does not say what it shows"
    cells = [(panel["title"], cell) for panel in shown for cell in _cells(panel["gridPos"])]
    taken: dict[tuple[int, int], str] = {}
    for title, cell in cells:
        if taken.setdefault(cell, title) != title:
            yield f"{title} lies over {taken[cell]}"
            return


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def _faults_of_scraping(root: Path) -> Iterator[str]:
    """Prometheus asks just those services of compose.yaml that have metrics, on their port."""
    services = yaml.safe_load((root / "deploy/compose.yaml").read_text())["services"]
    said = {name: service.get("environment", {}) for name, service in services.items()}
    ports = {
        name: int(found["PHOTOCHROM_METRICS_PORT"])
        for name, found in said.items()
        if "PHOTOCHROM_METRICS_PORT" in found and services[name].get("restart") != "no"
    }
    configured = yaml.safe_load((root / FOLDER / "prometheus.yml").read_text())
    asked = {
        name: found["port"]
        for job in configured["scrape_configs"]
        for found in job["dns_sd_configs"]
        for name in found["names"]
    }
    if asked != ports:
        yield f"it asks {asked}, and there are {ports}"
