"""Run by the Python of an installation: `photochrom` with each of several lists of arguments, given as JSON.

Each run is a fork of this process, which has imported what all of them need: it takes a tenth of the time. Prints their
exit codes, outputs and errors as JSON, in order.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from typing import Any

import boto3  # noqa: F401
import celery  # noqa: F401
import pydantic_settings  # noqa: F401
import redis  # noqa: F401
import rich.progress  # noqa: F401
import typer.rich_utils  # noqa: F401

from photochrom.deploy.cli import main

SECONDS = 120
"""For one command, after which it is killed; only what is broken takes so long."""


def told(arguments: list[str]) -> dict[str, Any]:
    """What became of one command."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            os._exit(code_of(arguments))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = {}
        for name, file in (("out", out), ("errors", errors)):
            file.seek(0)
            texts[name] = file.read().decode()
        return {"code": code, **texts}


def code_of(arguments: list[str]) -> int:
    """Run it in this process; its exit code."""
    signal.alarm(SECONDS)
    sys.argv = ["photochrom", *arguments]
    code: Any = 1
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code or 0)


if __name__ == "__main__":
    print(json.dumps([told(arguments) for arguments in json.loads(sys.argv[1])]))
