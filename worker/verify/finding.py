"""What a comparison found out, one line for each thing compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`what` was compared; `ok` is None where there was nothing to compare; `detail` says it in words."""

    what: str
    ok: bool | None
    detail: str

    @property
    def verdict(self) -> str:
        """One word for a table: "ok", "WRONG" or "n/a"."""
        return {True: "ok", False: "WRONG", None: "n/a"}[self.ok]


def over_pages(pages: list[list[Finding]]) -> list[Finding]:
    """The findings of each page made into one list: a thing is wrong if it is wrong on any page."""
    if len(pages) == 1:
        return pages[0]
    names = dict.fromkeys(finding.what for page in pages for finding in page)
    return [_together(what, _numbered(what, pages)) for what in names]


def _numbered(what: str, pages: list[list[Finding]]) -> Iterable[tuple[int, Finding]]:
    return [(number, finding) for number, page in enumerate(pages, 1) for finding in page if finding.what == what]


def _together(what: str, numbered: Iterable[tuple[int, Finding]]) -> Finding:
    """The worst of all pages speaks, and says which page it is and how many more there are like it."""
    rank = {False: 0, True: 1, None: 2}
    ordered = sorted(numbered, key=lambda pair: (rank[pair[1].ok], pair[0]))
    number, worst = ordered[0]
    alike = sum(finding.ok is worst.ok for _, finding in ordered)
    others = f"; so on {alike} pages" if alike > 1 else ""
    return Finding(what, worst.ok, f"page {number}: {worst.detail}{others}")
