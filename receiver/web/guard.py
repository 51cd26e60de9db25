"""What keeps people from trying passwords and tokens: one for each application."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

from flask import Flask, current_app

from receiver.web.limits import FailureLimit

__all__ = ["Guard", "guard", "set_up"]

FAILURES_A_MINUTE = 8
CHECKS_AT_ONCE = 2
"""One check of a password costs 32 MiB and a tenth of a second on purpose: a hundred would starve everything else."""
_KEY = "receiver-guard"


@dataclass(frozen=True, slots=True)
class Guard:
    """``failures`` of each address, whatever door it tries; ``checks`` of passwords that may go on at once."""

    failures: FailureLimit = field(default_factory=lambda: FailureLimit(FAILURES_A_MINUTE, 60))
    checks: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(CHECKS_AT_ONCE))


def set_up(app: Flask) -> None:
    """Give ``app`` its guard."""
    app.extensions[_KEY] = Guard()


def guard() -> Guard:
    """That of the application that handles this request."""
    return cast("Guard", current_app.extensions[_KEY])
