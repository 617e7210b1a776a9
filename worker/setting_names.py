"""Names that look like settings and are none: a misspelt one would be a setting that nobody reads."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches

from photochrom.worker.errors import UsageError

log = logging.getLogger("photochrom.settings")

ALIKE = 0.8
"""Ratio of difflib from which a name counts as another one, misspelt."""

OF_KUBERNETES = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT$|_PORT_\d+_(TCP|UDP)(_\w+)?$")
"""Ends of the variables that Kubernetes and container links make for a service of such a name."""

OTHERS = ("READY_FILE", "SECRETS", "TEST_EXAMPLES", "TEST_KILLS")
"""Names of the environment that are read elsewhere: by whoever starts a process, by compose, by tests."""


def check_names(given: Iterable[str], settings: Collection[str]) -> None:
    """Check names without their prefix, in capitals, against those of the settings.

    Raises UsageError for one that is near a setting's, and names that. Any other unknown name is a warning in the log.
    """
    for name in sorted({*given} - {*settings, *OTHERS}):
        near = get_close_matches(name, [*settings, *OTHERS], n=1, cutoff=ALIKE)
        if near and not OF_KUBERNETES.search(name):
            raise UsageError(f"there is no setting PHOTOCHROM_{name}: did you mean PHOTOCHROM_{near[0]}?")
        if not OF_KUBERNETES.search(name):
            log.warning("there is no setting PHOTOCHROM_%s", name, extra={"action": "setting_unknown"})
