"""What a log line looks like: a line for people, or one JSON object for machines. Passwords in URLs stand in neither.

What happened has a stable name, the line's `action`; docs/monitoring.md lists them all.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

FIELDS = (
    "submission", "ordinal", "key", "reason", "model", "version", "promotion", "images", "left", "seconds", "stages",
    "run", "step", "phase",
)  # fmt: skip
"""What a line may say beside its message, as `extra` of the call."""

_PASSWORD = re.compile(r"(\w://[^\s:/@]*):[^\s/]+@")


def masked(text: str) -> str:
    """The text, with *** in the place of the password of each URL in it."""
    return _PASSWORD.sub(r"\1:***@", text)


class Masking(logging.Formatter):
    """Another formatter's lines, without passwords."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return masked(self._inner.format(record))


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


def dress(logger: logging.Logger, log_format: str) -> None:
    """Let the handlers of a logger write lines of the format `people` or `json`. To do it twice is to do it once."""
    for handler in logger.handlers:
        if log_format == "json":
            handler.setFormatter(Json())
        elif not isinstance(handler.formatter, Masking):
            handler.setFormatter(Masking(handler.formatter or logging.Formatter()))
