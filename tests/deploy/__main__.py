"""Check the container, cluster and AWS files: python -m tests.deploy. The exit code is 1 where anything was found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.deploy import compose, dockerfiles, kubernetes, locks, monitoring, policies
from tests.deploy.findings import ROOT, Finding

CHECKS: dict[str, Callable[[Path], list[Finding]]] = {
    "Dockerfile": dockerfiles.check,
    "lock files": locks.check,
    "compose": compose.check,
    "Kubernetes": kubernetes.check,
    "AWS policies": policies.check,
    "monitoring": monitoring.check,
}


def main() -> int:
    """Run every check and say what it found."""
    found = []
    for name, check in CHECKS.items():
        findings = check(ROOT)
        print(f"{name}: {'in order' if not findings else len(findings)}")
        found += findings
    for finding in found:
        print(f"  {finding}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
