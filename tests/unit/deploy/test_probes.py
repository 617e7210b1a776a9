"""The probes of the Kubernetes files, asked of processes that have neither Redis nor S3."""

import os
import subprocess
import sys

import pytest
import yaml

from photochrom.deploy.stack.process import Process
from tests.deploy.findings import ROOT

DEADLINE = 120.0
"""Seconds to wait for; only a broken test takes that long."""


@pytest.fixture
def lost(tmp_path, closed_port):
    """Starts a role without servers; gives back the process, and who asks one of its probes."""
    processes = []

    def start(role, *options):
        [deployment] = yaml.safe_load_all((ROOT / f"deploy/kubernetes/base/{role}.yaml").read_text())
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        command = [sys.executable, "-m", "photochrom.deploy.cli", *container["args"], *options]
        process = Process(role, command, tmp_path, tmp_path / "log")
        processes.append(process)
        process.start(
            {
                "PATH": os.defpath,
                "HOME": str(tmp_path),
                "PYTHONPATH": str(ROOT),
                "PHOTOCHROM_REDIS_URL": f"redis://127.0.0.1:{closed_port}/0",
                "PHOTOCHROM_S3_ENDPOINT": f"http://127.0.0.1:{closed_port}",
                "PHOTOCHROM_DRAIN_SECONDS": "5",
                "PHOTOCHROM_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
                "PHOTOCHROM_READY_FILE": str(tmp_path / "ready"),
            }
        )

        def answers(probe):
            asked = [word.replace("/run/photochrom", str(tmp_path)) for word in container[probe]["exec"]["command"]]
            return subprocess.run(asked, capture_output=True, timeout=DEADLINE).returncode == 0

        return process, answers

    yield start
    for process in processes:
        process.stop(patience=DEADLINE)


@pytest.mark.integration
@pytest.mark.parametrize(
    "role", [("control",), ("training",), ("worker",), ("worker", "--pool", "threads")], ids=" ".join
)
def test_where_redis_and_s3_are_away_a_pod_has_started_and_is_not_ready(lost, role):
    process, answers = lost(*role)
    process.wait_until(lambda: answers("startupProbe") and answers("livenessProbe"), DEADLINE)
    process.wait_until(lambda: "Redis cannot be reached" in process.tail(), DEADLINE)
    assert answers("livenessProbe")
    assert not answers("readinessProbe")
