"""What a log line looks like: a line for people, or one JSON object for machines. Passwords in URLs stand in neither.

Names of photographs come from anywhere, and may hold the ends of lines: what is behind one is indented, so that no
name makes a line of its own, and other control characters are written out, so that none speaks to a terminal.

What happened has a stable name, the line's `action`; docs/monitoring.md lists them all.
"""

from __future__ import annotations

import json
import logging
import re
from copy import copy
from datetime import UTC, datetime
from typing import Any

FIELDS = (
    "submission", "ordinal", "key", "reason", "model", "version", "promotion", "images", "left", "seconds", "stages",
    "run", "step", "phase",
)  # fmt: skip
"""What a line may say beside its message, as `extra` of the call."""

_PASSWORD = re.compile(r"(\w://[^\s:/@]*):[^\s/]+@")


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""All but the tabulator and the end of a line."""


def masked(text: str) -> str:
    """The text, with *** in the place of the password of each URL in it."""
    return _PASSWORD.sub(r"\1:***@", text)


def harmless(text: str) -> str:
    """The text, with control characters written out and all lines behind the first one indented."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text.replace("\r\n", "\n")).replace("\n", "\n    ")


class Masking(logging.Formatter):
    """Another formatter's lines, without passwords and control characters."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        shown = copy(record)
        shown.msg, shown.args = harmless(record.getMessage()), None
        if record.exc_info:
            shown.exc_text = "    " + harmless(self._inner.formatException(record.exc_info))
        return masked(self._inner.format(shown))


class Json(logging.Formatter):
    """One object a line: time (UTC), level, logger, action, message, process, and those of FIELDS that there are."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "action": getattr(record, "action", None),
            "message": masked(record.getMessage()),
            "process": record.process,
        }
        said |= {name: getattr(record, name) for name in FIELDS if getattr(record, name, None) is not None}
        if record.exc_info:
            said["exception"] = masked(self.formatException(record.exc_info))
        return json.dumps(said, default=str)


class OneLine(logging.Filter):
    """Takes the traceback from lines about exceptions of some kinds: the message says why."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        super().__init__()
        self._kinds = kinds

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], self._kinds):
            record.exc_info = record.exc_text = None
        return True


def dress(logger: logging.Logger, log_format: str) -> None:
    """Let the handlers of a logger write lines of the format `people` or `json`. To do it twice is to do it once."""
    for handler in logger.handlers:
        if log_format == "json":
            handler.setFormatter(Json())
        elif not isinstance(handler.formatter, Masking):
            handler.setFormatter(Masking(handler.formatter or logging.Formatter()))
