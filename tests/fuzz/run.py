"""Try files in child processes that may crash, hang and grow, and tell what became of each."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tests.fuzz.cases import Case
from tests.fuzz.judge import Judgement

ROOT = Path(__file__).parents[2]

HANGS = 30.0
"""Seconds on the clock without an answer: thousands of times what a small file takes."""

SLOW = 3.0
"""Seconds of processor time that no small file may take."""

MOST_MEMORY = 300 * 2**20
"""Bytes: what the largest claim within the limit of pixels needs is a third of it."""

STARTING = 120.0
"""Seconds for a child to load what it needs."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file. `end` is one of a few words to count; `detail` says more."""

    case: Case
    end: str
    is_finding: bool
    detail: str = ""


@dataclass
class Tally:
    """Outcomes, counted by kind and end; those that must not be are kept."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.counts[outcome.case.kind, outcome.end] += 1
        if outcome.is_finding:
            self.findings.append(outcome)


class Child:
    """A process that tries one file after another; started anew after a crash or a hang."""

    def __init__(self, module: str = "tests.fuzz.child") -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (for as long as there is the child)
        self._unread = b""

    def try_out(self, case: Case) -> Outcome:
        """What becomes of a file."""
        started = self._process is None
        process = self._process = self._process or self._start()
        assert process.stdin
        process.stdin.write(json.dumps({"kind": case.kind, "size": len(case.data)}).encode() + b"\n" + case.data)
        process.stdin.flush()
        ended = self._answer(STARTING if started else HANGS)
        if isinstance(ended, str):
            return Outcome(case, ended, True, self.stop())
        outcome = _of_story(case, ended)
        if ended["end"] == "coloured":
            judged = self._answer(HANGS)
            if isinstance(judged, str):  # while reference decoders were at work
                self.stop()
                return outcome if outcome.is_finding else Outcome(case, f"reference: {judged.lower()}", False)
            outcome = outcome if outcome.is_finding else _of_judgement(case, judged)
        return outcome

    def stop(self) -> str:
        """End the process; gives back the last that it printed."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._unread = b""
        self._errors.seek(0)
        printed = self._errors.read()[-2000:].decode(errors="replace")
        self._errors.truncate(0)
        return printed

    def _start(self) -> subprocess.Popen[bytes]:
        self._errors.seek(0)
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", self._module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **one_thread},
        )

    def _answer(self, seconds: float) -> dict[str, Any] | str:
        """The next line of the child's, or what happened instead."""
        assert self._process and self._process.stdout
        output = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            if not select.select([output], [], [], seconds)[0]:
                return "HANG"
            piece = os.read(output, 65536)
            if not piece:
                code = self._process.wait()
                return f"CRASH: {signal.Signals(-code).name}" if code < 0 else f"CRASH: exit {code}"
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)


def _of_story(case: Case, ended: dict[str, Any]) -> Outcome:
    if ended["end"] == "error":
        return Outcome(case, f"ERROR: {ended['reason']}", True, ended["detail"])
    if ended["seconds"] > SLOW:
        return Outcome(case, "SLOW", True, f"{ended['seconds']:.1f} s of processor time")
    if ended["memory"] > MOST_MEMORY:
        return Outcome(case, "MEMORY", True, f"{ended['memory'] / 2**20:.0f} MB")
    detail = ended.get("detail", "")
    return Outcome(case, f"fault: {ended['reason']}" if ended["end"] == "fault" else "coloured", False, detail)


def _of_judgement(case: Case, judged: dict[str, Any]) -> Outcome:
    judgement = Judgement[judged["judgement"]]
    return Outcome(case, judgement.value, judgement.is_finding, judged["detail"])


def run(cases: Iterable[Case], jobs: int) -> Iterator[Outcome]:
    """What becomes of each file, tried in so many processes; in order, whichever of them is faster."""
    idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
    children = [Child() for _ in range(jobs)]
    for child in children:
        idle.put(child)

    def tried(batch: list[Case]) -> list[Outcome]:
        child = idle.get()
        try:
            return [child.try_out(case) for case in batch]
        finally:
            idle.put(child)

    try:
        with ThreadPoolExecutor(jobs) as pool:
            for outcomes in pool.map(tried, _batches(cases, 50)):
                yield from outcomes
    finally:
        for child in children:
            child.stop()


def _batches(cases: Iterable[Case], size: int) -> Iterator[list[Case]]:
    rest = iter(cases)
    while batch := list(islice(rest, size)):
        yield batch
