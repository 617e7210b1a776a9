"""A child process that never outlives us: its own session, its own log, a guard, stopped in two steps."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from photochrom.worker.errors import WorkerFault

POLL = 0.02  # seconds between two looks at a condition
TAIL_LINES = 25  # of a log, in an error

# Waits on a pipe that only we hold open, and kills the whole session when even kill -9 has ended us. (The kernel's
# PR_SET_PDEATHSIG would reach the process alone: Celery's children and its beat would live on.)
GUARD = 'read -r _; kill -s KILL -- "-$1"'


class LoggedFault(WorkerFault):
    """Of a process that we started: its message ends with the last lines of a log, and alone has several."""


class EndedError(LoggedFault):
    """A process has ended by itself that should be running."""


class Process:
    """One command that can be started, ended, and started again.

    It runs in a session of its own, so that Ctrl-C in the terminal reaches us alone and we end things in order.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path, log: Path) -> None:
        self.name = name
        self.command = list(command)
        self.folder = folder
        self.log = log
        self.stopped = False
        """Whether we ended it: otherwise its end is news."""
        self._child: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it with exactly this environment, ending what is left of an earlier run; its log goes on."""
        self.stop()
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        guard = ["/bin/sh", "-c", GUARD, "photochrom-guard", str(self._child.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, env={}, start_new_session=True)
        self.stopped = False

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """As Python gives it: negative for a signal, None while it runs or before it ever ran."""
        return self._child.poll() if self._child else None

    def check(self) -> None:
        """Raises EndedError, with the end of its log, when it has ended and nobody stopped it."""
        if not self.running and not self.stopped:
            raise EndedError(f"{self.name} ended with exit code {self.exit_code}; its log:\n{self.tail()}")

    def wait_until(self, condition: Callable[[], bool], deadline: float) -> None:
        """Wait until the condition holds. Raises EndedError when it ends first, LoggedFault after `deadline` s."""
        end = time.monotonic() + deadline
        while not condition():
            self.check()
            if time.monotonic() > end:
                raise LoggedFault(f"{self.name} was not ready after {deadline:.0f} s; its log:\n{self.tail()}")
            time.sleep(POLL)

    def stop(self, with_signal: int = signal.SIGTERM, patience: float = 10.0) -> None:
        """End it and wait for its end: the signal, after `patience` seconds SIGKILL.

        The signal goes to the process alone, which ends its own children in its own order; what is left of its
        session afterwards is killed.
        """
        self.stopped = True
        if self._child is None or self._guard is None:
            return
        if self.running:
            self._child.send_signal(with_signal)
            try:
                self._child.wait(patience)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._guard.kill()
        self._guard.communicate()
        self._guard = None

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:]) or "(empty)"
