"""The process in which files are tried, one after another, within a limit of memory: `python -m tests.fuzz.child`.

On standard input: kind and size of a file, as a line of JSON, then its bytes. On standard output: a line of JSON when
the story has ended, and another one when its result has been judged; the reference decoders may crash as well.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from photochrom.worker.errors import ImageFault
from tests.fuzz.judge import judge
from tests.fuzz.story import way_of

MEMORY = 700 * 2**20
"""Bytes beside what the process has when it starts: many times what the largest honest claim needs."""


def main() -> None:
    """Try files until there are no more. What libraries print to standard output goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    way_of_nothing()
    _limit_memory()
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        for answer in _tried(asked["kind"], _exactly(sys.stdin.buffer, asked["size"])):
            print(json.dumps(answer), file=answers, flush=True)


def way_of_nothing() -> None:
    """Load all that the first file would load, which is not to count."""
    from tests.fuzz.seeds import TO_TRUNCATE

    for kind, make in TO_TRUNCATE.items():
        list(_tried(kind, make()))


def _tried(kind: str, data: bytes) -> Any:
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory counts from here
    before, started = _status("VmRSS"), time.process_time()
    result, ended = _story(kind, data)
    yield {**ended, "seconds": time.process_time() - started, "memory": _status("VmHWM") - before}
    if result is not None:
        judgement, detail = judge(kind, data, result)
        yield {"judgement": judgement.name, "detail": detail}


def _story(kind: str, data: bytes) -> tuple[bytes | None, dict[str, str]]:
    try:
        return way_of(kind, data), {"end": "coloured"}
    except ImageFault as fault:
        return None, {"end": "fault", "reason": fault.reason, "detail": str(fault)}
    except BaseException as error:
        return None, {"end": "error", "reason": type(error).__name__, "detail": traceback.format_exc()}


def _limit_memory() -> None:
    most = _status("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _status(field: str) -> int:
    """Bytes, from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        sys.exit(0)
    return data


if __name__ == "__main__":
    main()
