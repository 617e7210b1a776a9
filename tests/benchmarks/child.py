"""A process of its own to measure in: it says when it is ready, and then answers line by line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from photochrom.deploy.stack.stack import ONE_THREAD
from photochrom.worker.telemetry.exporter import FOLDER

READY = "ready"
NO_SPINNING = {"OMP_WAIT_POLICY": "PASSIVE"}  # as `photochrom` does it


class Child:
    """`python -m MODULE ARGUMENTS` with one thread. Use it as `with Child(...) as child`; its end is that of its input.

    Within the block it is ready. Raises RuntimeError when it ends before it has answered.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        ours = {name: value for name, value in os.environ.items() if name != FOLDER}  # there, workers alone count
        self._child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=ours | ONE_THREAD | NO_SPINNING,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Self:
        try:
            self.hear()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._child.communicate()

    def ask(self, text: str) -> str:
        """Tell it something and wait for its answer."""
        self.tell(text)
        return self.hear()

    def tell(self, text: str) -> None:
        assert self._child.stdin
        self._child.stdin.write(f"{text}\n")

    def hear(self) -> str:
        assert self._child.stdout
        if line := self._child.stdout.readline():
            return line.strip()
        raise RuntimeError(f"the child ended with {self._child.wait()}")


def serve(answer: Callable[[str], str]) -> None:
    """In the child: say that it is ready, and answer every line until its input ends."""
    print(READY, flush=True)
    for line in sys.stdin:
        print(answer(line.strip()), flush=True)
