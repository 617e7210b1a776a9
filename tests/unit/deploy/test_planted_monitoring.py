"""The check of the monitoring files is red for a fault planted in a copy of them; and what `make lint-deploy` says."""

import runpy
import sys
from functools import partial

import pytest

from tests.deploy import compose, dockerfiles, kubernetes, locks, monitoring, policies
from tests.deploy.findings import Finding

ALERTS, DASHBOARD, SCRAPING = (
    f"{monitoring.FOLDER}/{name}" for name in ("alerts.yml", "dashboard.json", "prometheus.yml")
)
CHECKS = (dockerfiles, locks, compose, kubernetes, policies, monitoring)


def test_a_copy_without_a_fault_is_in_order(planted):
    assert planted(monitoring, ALERTS, "groups:", "groups:") == ""


@pytest.mark.parametrize(
    ("file", "text", "instead", "says"),
    [
        (ALERTS, "alert: ControlStuck", "alert: ControlAbsent", "there are two ControlAbsent"),
        (ALERTS, "severity: page", "severity: urgent", "ControlAbsent is neither for paging nor for warning"),
        (ALERTS, "{severity: page}", "{}", "ControlAbsent is neither for paging nor for warning"),
        (ALERTS, "The control process cannot reach Redis", "", "RedisAway does not say what it means"),
        (ALERTS, "for: 5m", "for: 5 minutes", "ControlAbsent waits for '5 minutes'"),
        (ALERTS, "photochrom_redis_up", "photochrom_redis_down", "RedisAway: there is no metric photochrom_redis_down"),
        (ALERTS, "        expr: max(photochrom_redis_up) == 0\n", "", "it cannot be read"),
        (DASHBOARD, '"uid": "prometheus"', '"uid": "other"', "Images a second asks another data source"),
        (DASHBOARD, "Done or quarantined, over five minutes", "", "Images a second does not say what it shows"),
        (DASHBOARD, '"x": 4', '"x": 3', "lies over Images a second"),
        (DASHBOARD, '"expr": "sum(rate(', '"expr": "sum(rates(', "Images a second: rates is no word"),
        (SCRAPING, "names: [worker, ", "names: [", "it asks {"),
        (SCRAPING, "control, training]", "control, training, photochrom]", "it asks {"),
        (SCRAPING, "port: 9464", "port: 9465", "it asks {"),
        (compose.FILE, 'PHOTOCHROM_METRICS_PORT: "9464"', 'PHOTOCHROM_METRICS_PORT: "9465"', "it asks {"),
    ],
)
def test_a_fault_in_the_monitoring_files_is_found(planted, file, text, instead, says):
    assert says in planted(monitoring, file, text, instead)


@pytest.mark.parametrize("faulty", CHECKS, ids=lambda check: check.__name__.rpartition(".")[2])
def test_the_program_says_what_any_check_found_and_ends_with_1(monkeypatch, capsys, faulty):
    assert ends_with(monkeypatch, {faulty: [Finding("some/file", "a problem")]}) == 1
    assert "  some/file: a problem\n" in capsys.readouterr().out


def test_the_program_ends_with_0_where_all_is_in_order(monkeypatch, capsys):
    assert ends_with(monkeypatch, {}) == 0
    assert capsys.readouterr().out.count(": in order\n") == len(CHECKS)


def ends_with(monkeypatch, found):
    """The exit code of `python -m tests.deploy` where the checks find this."""
    for check in CHECKS:
        monkeypatch.setattr(check, "check", partial(lambda findings, root: findings, found.get(check, [])))
    monkeypatch.delitem(sys.modules, "tests.deploy.__main__", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("tests.deploy", run_name="__main__")
    return ended.value.code
