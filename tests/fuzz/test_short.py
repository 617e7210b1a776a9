"""A few hundred malformed files of each kind; `python -m tests.fuzz` tries thousands."""

from __future__ import annotations

from itertools import chain, islice

import pytest

from tests.fuzz.cases import damaged, truncated
from tests.fuzz.run import Tally, run
from tests.fuzz.seeds import KINDS

RANDOM, EVERY = 120, 5
"""So many damaged at random, and every fifth of those that are cut off somewhere."""


@pytest.mark.integration
def test_malformed_files_end_as_pictures_or_as_faults():
    tally = Tally()
    cases = chain.from_iterable(
        chain(islice(truncated(kind), 0, None, EVERY), damaged(kind, RANDOM, seed=7)) for kind in KINDS
    )
    for outcome in run(cases, jobs=1):
        tally.add(outcome)
    assert [(finding.case.made, finding.end, finding.detail) for finding in tally.findings] == []
    assert {kind for kind, _ in tally.counts} == set(KINDS)
    assert any(end.startswith("coloured") for _, end in tally.counts)
