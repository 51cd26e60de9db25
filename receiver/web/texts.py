"""How values look on a page. Every text from outside is harmless here: escapes for what cannot be seen. All pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from deployer.reporting.text import format_bytes, format_duration, format_milliseconds, visible
from receiver.store import Job, Source, Status

__all__ = ["FILTERS", "ago", "several_lines", "shown"]

_DAY = 86_400
_OLD = 14 * _DAY
# Colours and the like that a build writes for a terminal: ECMA-48's control sequences, and titles of windows.
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_SOURCES = {
    Source.PUSH: "push",
    Source.RELEASE: "release",
    Source.WORKFLOW_RUN: "workflow run",
    Source.DEPLOYMENT: "Deployment",
    Source.MANUAL: "hand",
    Source.CATCH_UP: "catch-up",
    Source.REPLAY: "replay",
}
_STATES = {
    Status.WAITING: "Waiting",
    Status.RUNNING: "Running",
    Status.SUCCEEDED: "Deployed",
    Status.UNCHANGED: "Unchanged",
    Status.SUPERSEDED: "Superseded",
    Status.FAILED: "Failed",
    Status.CANCELLED: "Cancelled",
}

_EXITS = {
    1: "What was live before still serves.",
    2: "The server was not changed: something is wrong with the configuration.",
    3: "Another deploy holds the lock. Nothing was changed.",
    4: "The host could not be reached. Nothing was changed.",
    5: "It went live, failed its health gate and was rolled back.",
    6: "It is live and healthy, but the probe counted more dropped requests than its budget.",
    7: "What is live is not known. Look now: deployer status.",
    130: "It was interrupted, and left as safe as a failure.",
}
"""docs/output.md."""


def shown(value: Any) -> Any:
    """What a template's expression becomes before it is escaped: no text can steer, hide or turn round what follows it."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def several_lines(text: str) -> str:
    """A text that keeps its line ends and loses what was meant for a terminal."""
    plain = _TERMINAL.sub("", text.replace("\r\n", "\n")).expandtabs(4)
    # A progress display writes over its own line: only its last state was meant to stay.
    kept = (line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n"))
    return "\n".join(map(visible, kept))


def _lines(text: str) -> Markup:
    return Markup("{}").format(several_lines(text))


def ago(at: float, now: float) -> str:
    """How long ago, or the day."""
    passed = now - at
    if passed >= _OLD or passed < -5:
        return f"{_utc(at):%-d %b %Y}"
    if passed < 5:
        return "just now"
    if passed < 60:
        return f"{passed:.0f} s ago"
    if passed < 3_600:
        return f"{passed // 60:.0f} min ago"
    return f"{passed // 3_600:.0f} h ago" if passed < _DAY else f"{passed // _DAY:.0f} d ago"


def _utc(at: float) -> datetime:
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _short_ref(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def _ref_kind(ref: str) -> str:
    return "tag" if ref.startswith("refs/tags/") else "branch"


def _short_commit(commit: str) -> str:
    return commit[:7]


def _cause(job: Job) -> str:
    """Who or what has asked for the job."""
    return job.requested_by or _SOURCES[job.source]


FILTERS = {
    "ago": ago,
    "lines": _lines,
    "utc": lambda at: f"{_utc(at):%Y-%m-%d %H:%M:%S} UTC",
    "iso": lambda at: f"{_utc(at):%Y-%m-%dT%H:%M:%SZ}",
    "clock": lambda at: f"{_utc(at):%H:%M:%S}",
    "duration": format_duration,
    "meaning": lambda code: _EXITS.get(code, f"Exit code {code}."),
    "milliseconds": format_milliseconds,
    "size": format_bytes,
    "short_ref": _short_ref,
    "ref_kind": _ref_kind,
    "short_commit": _short_commit,
    "cause": _cause,
    "state": lambda job: (
        "Rolled back" if job.kind == "rollback" and job.status is Status.SUCCEEDED else _STATES[job.status]
    ),
}
"""Jinja's filters of our own."""
