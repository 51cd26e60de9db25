"""The receiver's own log: a JSON object a line on standard error, without secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from deployer.secret import Secret

__all__ = ["JsonLines", "hide", "start_logging"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_hidden: set[str] = set()
SHORTEST_SECRET = 6
"""Characters; what is shorter would black out half the log and is guessed anyway."""


class JsonLines(logging.Formatter):
    """``time``, ``level``, ``logger``, ``message``, and what the caller gave as ``extra``; known secrets become ``***``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=True, default=str)
        for secret in _hidden:
            text = text.replace(json.dumps(secret, ensure_ascii=True)[1:-1], "***")
        return text


def start_logging(level: str = "info") -> None:
    """Send everything that is logged in this process to standard error. A second call changes the level only."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    if not any(isinstance(handler.formatter, JsonLines) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        root.handlers[:] = [handler]


def hide(secrets: Iterable[Secret]) -> None:
    """Never show these from now on."""
    _hidden.update(text for secret in secrets if len(text := secret.reveal()) >= SHORTEST_SECRET)
