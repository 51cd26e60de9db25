"""Reading the journal: JSON lines on the host, of which a kill or a full disk may have torn some."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from deployer.errors import DeployFailed
from deployer.release import choose, short

__all__ = ["Event", "deploys", "members", "parse", "previous_of", "release_to_return_to"]

_KNOWN = ("time", "deploy", "step", "state", "release", "previous")


@dataclass(frozen=True, slots=True)
class Event:
    """One line: when (host's clock, ISO 8601 UTC), which deploy, which step came to which state, and what it was about."""

    time: str
    deploy: str
    step: str
    state: str
    release: str
    previous: str
    details: dict[str, Any] = field(default_factory=dict)


def parse(text: str) -> tuple[Event, ...]:
    """All whole lines in order; torn ones are left out."""
    events = []
    for line in text.splitlines():
        try:
            data = json.loads(line)
            if not isinstance(data, dict):
                continue
            known = [str(data.pop(name)) for name in _KNOWN]
        except (ValueError, KeyError, RecursionError):
            continue
        time, deploy, step, state, release, previous = known
        events.append(Event(time, deploy, step, state, release, previous, data))
    return tuple(events)


def members(facts: Iterable[tuple[str, object]]) -> str:
    """JSON members to append to a line, as the host's program takes them: on one line and in ASCII."""
    return "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in facts)


def previous_of(events: tuple[Event, ...], release: str) -> str:
    """What was live before ``release`` was deployed; empty when nothing was, or the journal does not go back that far.

    The first switch counts: after a rollback from C to B, what comes before B is still A.
    """
    for event in events:
        if event.step == "switch" and event.release == release and event.state in ("done", "recovered"):
            return event.previous
    return ""


def release_to_return_to(wanted: str, live: str, kept: tuple[str, ...], journal: str) -> str:
    """The kept release that ``wanted`` means; empty: what was live before ``live``, as the journal's text has it.

    Raises InvalidInput for a name that means none or several, and DeployFailed when there is nothing to go back to.
    """
    if wanted:
        return choose(wanted, kept)
    if not live:
        message = "nothing is live, so there is nothing to go back from"
        raise DeployFailed(message, hint="Name a release, see `deployer releases`.")
    previous = previous_of(parse(journal), live)
    if previous not in kept:
        gone = f"{short(previous)}, which is not kept any more" if previous else "nothing that the journal knows"
        message = f"before {short(live)} there was {gone}"
        raise DeployFailed(message, hint="Name a release, see `deployer releases`.")
    return previous


def deploys(events: tuple[Event, ...]) -> tuple[tuple[Event, ...], ...]:
    """The events of each deploy, in the order in which the deploys began."""
    grouped: dict[str, list[Event]] = {}
    for event in events:
        grouped.setdefault(event.deploy, []).append(event)
    return tuple(tuple(group) for group in grouped.values())
