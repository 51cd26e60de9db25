"""What an app does about an event."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from receiver.config import App
from receiver.hooks.events import Event

__all__ = ["Ignored", "Wanted", "decide", "exact_refs", "fits"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The app wants what ``ref`` points at by the time its job starts. ``commit`` is what the delivery said: a hint.

    ``run_id`` is the workflow run whose artifact is deployed, else 0.
    """

    ref: str
    commit: str
    run_id: int = 0


@dataclass(frozen=True, slots=True)
class Ignored:
    """The app does nothing, for this reason."""

    reason: str


def decide(app: App, event: Event) -> Wanted | Ignored:
    """What ``app``, whose secret has signed the delivery, does about ``event``."""
    if event.obstacle:
        return Ignored(event.obstacle)
    if event.repository.lower() != app.repository.lower():
        return Ignored("another repository's event")
    if event.name not in app.events:
        return Ignored(f"the app does not listen to {event.name}")
    if not fits(app, event.ref):
        return Ignored("no pattern of the app fits the ref")
    if event.name == "workflow_run" and (app.artifact is None or event.workflow != app.artifact.workflow):
        return Ignored("another workflow's run")
    return Wanted(event.ref, event.commit, event.run_id)


def fits(app: App, ref: str) -> bool:
    """Whether one of the app's patterns fits ``ref``, a full name."""
    return any(_compiled(pattern).fullmatch(ref) for pattern in app.refs)


def exact_refs(app: App) -> tuple[str, ...]:
    """The app's patterns that are the name of one ref."""
    return tuple(pattern for pattern in app.refs if not set(pattern) & set("*?"))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """As in a workflow's filters: a star stops at slashes, two stars do not."""
    meanings = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meanings.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", pattern)))
