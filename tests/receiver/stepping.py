"""A worker that stops itself (SIGSTOP) at one place of one job, once, so that a test can kill exactly there.

The file ``armed`` in the folder ``STEPPING`` names the place; once there, it is gone, and the file ``stopped`` has the
number of the process that has stopped. It is the real worker: nothing but the pause is added.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from receiver.__main__ import main
from receiver.store import jobs as store
from receiver.worker import jobs
from receiver.worker.display import JobLog

__all__ = ["PLACES"]

STEPS = (
    *("resolve", "checkout", "build", "connect", "scan"),
    *("compare", "upload", "assemble", "switch", "log", "finish"),
)
PLACES = ("claimed", "attempt", *(f"step {name}" for name in STEPS), "verdict", "settle", "settled")
"""In this order."""


def _pause(place: str) -> None:
    armed, draft = _FOLDER / "armed", _FOLDER / "stopped.new"
    if not place or not armed.exists() or armed.read_text() != place:
        return
    armed.unlink()
    draft.write_text(str(os.getpid()))
    draft.rename(_FOLDER / "stopped")
    os.kill(os.getpid(), signal.SIGSTOP)


def _around(owner: Any, name: str, before: Callable[..., str], after: Callable[..., str]) -> None:
    """Pause before and after that function at the places that are named."""
    original = getattr(owner, name)

    @wraps(original)
    def with_pauses(*arguments: Any, **more: Any) -> Any:
        _pause(before(*arguments))
        found = original(*arguments, **more)
        _pause(after(*arguments))
        return found

    setattr(owner, name, with_pauses)


def _nowhere(*_: object) -> str:
    return ""


if __name__ == "__main__":
    _FOLDER = Path(os.environ.pop("STEPPING"))
    _around(jobs.RunningJobs, "start", lambda *_: "claimed", _nowhere)
    _around(jobs, "_be_job", _nowhere, lambda *_: "verdict")
    _around(JobLog, "write", _nowhere, lambda _log, kind, *_: kind if kind == "attempt" else "")
    _around(JobLog, "step_started", _nowhere, lambda _log, name, *_: f"step {name}")
    _around(store, "settle", lambda *_: "settle", lambda *_: "settled")
    sys.exit(main())
