"""How many examples hypothesis tries: the same few in every run, or very many at random.

With `PHOTOCHROM_TEST_EXAMPLES=20` each test has 20 times as many examples as otherwise, and other ones in every run
(`make fuzz`). Without it a test that is green stays so until the code or the test is changed.
"""

from __future__ import annotations

import os
from typing import Any

import hypothesis

_TIMES = os.environ.get("PHOTOCHROM_TEST_EXAMPLES")  # read at once: a fixture clears the environment

# how long a draw takes says more of what else the machine does
_PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}


def load_profile() -> None:
    """For all tests that are defined from here on."""
    hypothesis.settings.register_profile("same", derandomize=True, **_PATIENT)
    at_random = {"derandomize": False, "print_blob": True, "max_examples": _times(100)}
    hypothesis.settings.register_profile("fuzz", **at_random, **_PATIENT)
    hypothesis.settings.load_profile("fuzz" if _TIMES else "same")


def examples(count: int, *suppress: hypothesis.HealthCheck, **more: Any) -> hypothesis.settings:
    """A decorator: so many examples, times what was asked for; `suppress` are health checks, `more` other settings."""
    checks = [*_PATIENT["suppress_health_check"], *suppress]
    return hypothesis.settings(max_examples=_times(count), suppress_health_check=checks, **more)


def _times(count: int) -> int:
    return max(1, round(count * float(_TIMES or 1)))
