"""What the looking commands show, out of the host's reply to ``inspect``. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from deployer.config import Config
from deployer.journal import Event, deploys, parse
from deployer.plan import Reply
from deployer.release import choose, short

__all__ = ["log_of", "releases", "status"]

_ENDS = {
    ("done", "confirmed"): "deployed",
    ("done", "unchanged"): "unchanged",
    ("switch", "reverted"): "rolled_back",
    ("switch", "undone"): "undone",
}


def releases(reply: Reply) -> list[dict[str, Any]]:
    """The kept releases, newest first: ``{release, commit, files, bytes, deployed_at, live, state, images, lost}``.

    ``state`` is live, kept, failed (its gate), damaged (changed since it was built) or incomplete: of its ``images``
    (Docker's ids by service), those of the services in ``lost`` are gone. What a strategy does not have is null or
    missing.
    """
    live = reply.text("live")
    switched = {
        event.release: event.time
        for event in parse(reply.text("journal"))
        if (event.step, event.state) in (("switch", "done"), ("switch", "recovered"))
    }
    return [_release(reply, name, live, switched.get(name, "")) for name in sorted(reply.every("record"), reverse=True)]


def _release(reply: Reply, name: str, live: str, switched: str) -> dict[str, Any]:
    damaged, failed = (reply.text(f"{name}.{flag}") == "yes" for flag in ("damaged", "failed"))
    images = dict(text.split(" ", 1) for text in reply.every(f"{name}.image"))
    lost = [*dict.fromkeys(reply.every(f"{name}.lost"))]
    live_state = "live" if name == live else "failed" if failed else "incomplete" if lost else "kept"
    return {
        "release": short(name),
        "commit": reply.text(f"{name}.commit"),
        "files": _count(reply, f"{name}.files"),
        "bytes": _count(reply, f"{name}.bytes"),
        "deployed_at": switched,
        "live": name == live,
        "state": "damaged" if damaged else live_state,
    } | {key: found for key, found in (("images", images), ("lost", lost)) if found}


def _count(reply: Reply, name: str) -> int | None:
    return None if reply.raw(name) is None else reply.number(name)


def status(config: Config, reply: Reply) -> dict[str, Any]:
    """``{app, target, live_release, commit, last_deploy, lock, free_bytes, interrupted}``."""
    live = reply.text("live")
    events = [group for group in deploys(parse(reply.text("journal"))) if _is_deploy(group)]
    pending = reply.text("pending").split(" ")[0]
    held = reply.raw("lock") is not None
    running = held and not reply.text("lock_stale")
    return {
        "app": config.app,
        "target": config.place,
        "live_release": short(live),
        "commit": reply.text(f"{live}.commit"),
        "last_deploy": _last(events[-1], running=running) if events else None,
        "lock": {"held": held, "owner": reply.text("lock"), "stale": bool(reply.text("lock_stale"))},
        "free_bytes": reply.number("free_kilobytes") * 1024,
        "interrupted": f"the switch to {short(pending)}; the next run finishes or undoes it"
        if pending and not running
        else "",
    }


def _is_deploy(group: tuple[Event, ...]) -> bool:
    return any(event.state == "taken" for event in group)


def _last(group: tuple[Event, ...], *, running: bool) -> dict[str, Any]:
    ends = [_ENDS[(event.step, event.state)] for event in group if (event.step, event.state) in _ENDS]
    failures = [event for event in group if event.state == "failed"]
    unfinished = "running" if running else "interrupted"
    return {
        "release": short(next((event.release for event in reversed(group) if event.release), "")),
        "status": ends[-1] if ends else "failed" if failures else unfinished,
        "at": group[0].time,
        "by": next((event.details["by"] for event in group if "by" in event.details), ""),
        "error": failures[-1].details.get("why", "") if failures else "",
        "step": failures[-1].step if failures else "",
    }


def log_of(reply: Reply, wanted: str) -> tuple[str, list[dict[str, Any]]]:
    """The release directory that ``wanted`` means (empty: that of the last deploy) and its journal lines.

    Raises InvalidInput when there is no such release.
    """
    events = parse(reply.text("journal"))
    names = {event.release: None for event in events if event.release}
    if not wanted and not names:
        return "", []
    name = choose(wanted, tuple(names)) if wanted else [event.release for event in events if event.release][-1]
    numbers = {event.deploy for event in events if event.release == name and event.step != "lock"}
    chosen = [event for event in events if event.deploy in numbers]
    return name, [_line(event) for event in chosen]


def _line(event: Event) -> dict[str, Any]:
    data = asdict(event)
    details = data.pop("details")
    return {**data, **details, "release": short(event.release), "previous": short(event.previous)}
