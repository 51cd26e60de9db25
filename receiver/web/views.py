"""What the pages show, gathered from the tables as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from receiver.config import App, ReceiverConfig
from receiver.hooks import Event, Ignored, decide
from receiver.store import Delivery, Job, LiveApp, Status, history
from receiver.store.releases import Release, releases_of
from receiver.web.outcome import Outcome, Probe, outcome_of

__all__ = [
    "AppState",
    "DeliveryRow",
    "app_state",
    "app_states",
    "by_delivery",
    "deployable",
    "fits",
    "is_live",
    "kept_releases",
    "warnings",
]

RELEASES_SHOWN = 10
_LIVE = frozenset({Status.SUCCEEDED, Status.UNCHANGED})


@dataclass(frozen=True, slots=True)
class AppState:
    """One app: what is live, what runs and waits, how the last job that is over ended."""

    name: str
    app: App
    live: LiveApp | None
    running: Job | None
    waiting: tuple[Job, ...]
    last: Job | None
    probe: Probe | None
    """What the probe saw when that which is live went live."""

    @property
    def state(self) -> str:
        """A word: ``running``, ``waiting``, ``failed`` (the last one did), ``live`` or ``nothing``."""
        if self.running:
            return "running"
        if self.waiting:
            return "waiting"
        if self.last is not None and self.last.status is Status.FAILED:
            return "failed"
        return "live" if self.live else "nothing"


def app_states(connection: Connection, config: ReceiverConfig) -> tuple[AppState, ...]:
    """All configured apps, by name."""
    live, active = history.live_apps(connection), history.active_jobs(connection)
    return tuple(
        _state(connection, name, app, live.get(name), [job for job in active if job.app == name])
        for name, app in sorted(config.apps.items())
    )


def app_state(connection: Connection, name: str, app: App) -> AppState:
    """One app."""
    return _state(connection, name, app, history.live_app(connection, name), history.active_jobs(connection, name))


def _state(connection: Connection, name: str, app: App, live: LiveApp | None, active: Iterable[Job]) -> AppState:
    active = tuple(active)
    recent = history.jobs_before(connection, None, 5, name)
    deployed = history.job(connection, live.job) if live else None
    return AppState(
        name=name,
        app=app,
        live=live,
        running=next((job for job in active if job.status is Status.RUNNING), None),
        waiting=tuple(job for job in active if job.status is Status.WAITING),
        last=next((job for job in recent if job.status.over and job.status is not Status.SUPERSEDED), None),
        probe=_outcome(deployed).probe,
    )


def _outcome(job: Job | None) -> Outcome:
    return outcome_of(job) if job else Outcome()


def kept_releases(connection: Connection, name: str) -> tuple[Release, ...]:
    """The newest releases of the app."""
    return releases_of(connection, name, RELEASES_SHOWN)


def deployable(connection: Connection, name: str, app: App) -> tuple[str, ...]:
    """Full names of refs that can be deployed by hand: those that the app names, then those it has seen that fit."""
    exact = [ref for ref in app.refs if not set("*?") & set(ref)]
    seen = [head.ref for head in history.heads_of(connection, name) if fits(app, head.ref)]
    return tuple(dict.fromkeys([*exact, *seen]))


def fits(app: App, ref: str) -> bool:
    """Whether a push to ``ref`` would be the app's: what a person asks for must be no more than what a push may."""
    asked = Event(app.events[0], app.repository, ref=ref, workflow=app.artifact.workflow if app.artifact else "")
    return not isinstance(decide(app, asked), Ignored)


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery, and what each app that it concerned made of it."""

    delivery: Delivery
    fates: tuple[Delivery, ...]
    statuses: Mapping[int, Status]
    """Of the fates' jobs; those that are forgotten are missing."""


def by_delivery(connection: Connection, entries: Iterable[Delivery]) -> tuple[DeliveryRow, ...]:
    """The entries of each delivery together, in the order in which they come."""
    entries = tuple(entries)
    statuses = history.statuses_of(connection, {entry.job for entry in entries if entry.job})
    grouped: dict[int, list[Delivery]] = {}
    for entry in entries:
        grouped.setdefault(entry.id, []).append(entry)
    return tuple(
        DeliveryRow(group[0], tuple(entry for entry in group if entry.app), statuses) for group in grouped.values()
    )


def is_live(job: Job, live: LiveApp | None) -> bool:
    """Whether what ``job`` put live still is. One that failed only names what has stayed."""
    return live is not None and live.release != "" and job.release == live.release and job.status in _LIVE


def warnings(connection: Connection, now: float) -> tuple[str, ...]:
    """What keeps deploys from happening: sentences for the head of the overview."""
    found = []
    if not history.has_worker(connection, now):
        found.append("No worker runs: deliveries are stored and wait. Start `receiver worker`.")
    if trouble := history.fact(connection, "catch_up_error"):
        found.append(f"Catch-up does not work: {trouble}")
    return tuple(found)
