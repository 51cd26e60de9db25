"""The rows of the tables as frozen values. Times are seconds since 1970, UTC."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Delivery", "Head", "Job", "LiveApp", "Source", "Status"]


class Status(enum.StrEnum):
    """What a job is doing, or how it ended."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """What it deployed is live."""
    UNCHANGED = "unchanged"
    """What it would have deployed was live already."""
    SUPERSEDED = "superseded"
    """What is live is newer, or somebody asked for something newer meanwhile."""
    FAILED = "failed"
    """See its error; what was live before serves, if the exit code does not say otherwise."""
    CANCELLED = "cancelled"
    """Somebody took it out of the queue, or its app is no longer configured."""

    @property
    def over(self) -> bool:
        """Whether nothing comes after it."""
        return self not in {Status.WAITING, Status.RUNNING}


class Source(enum.StrEnum):
    """Why there is a job."""

    PUSH = "push"
    RELEASE = "release"
    WORKFLOW_RUN = "workflow_run"
    DEPLOYMENT = "deployment"
    MANUAL = "manual"
    """The dashboard or the API."""
    CATCH_UP = "catch-up"
    """The branch was found to be ahead of what is live."""
    REPLAY = "replay"
    """`receiver replay`."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One of GitHub's deliveries, with what one app made of it (or no app, when nobody wanted it: ``app`` is empty).

    ``guid`` is X-GitHub-Delivery. ``verdict`` is ``queued``, ``ignored`` or ``repeated``, ``reason`` its explanation,
    ``job`` the job that it led to, or 0.
    """

    id: int
    guid: str
    event: str
    action: str
    repository: str
    ref: str
    commit: str
    received_at: float
    repeats: int
    app: str
    verdict: str
    reason: str
    job: int


@dataclass(frozen=True, slots=True)
class Job:
    """A deploy or a rollback, waiting, running or over.

    ``kind`` is ``deploy`` or ``rollback``; ``ref`` a full ref name, empty for rollbacks; ``hint`` the commit that the newest
    request named; ``commit`` what it resolved to when it started; ``target`` the release that a rollback goes to (empty: the
    one before) and ``release`` the one that was live at the end. ``forced`` jobs run even if their commit is live already.
    ``fence`` grows with every claim: who holds an older one has lost the job. ``result`` is the deploy's answer as JSON
    (``deployer run --json``, with ``probe_chart`` and ``notes``), or empty.
    """

    id: int
    app: str
    kind: str
    ref: str
    hint: str
    source: Source
    forced: bool
    run_id: int
    target: str
    requested_by: str
    status: Status
    created_at: float
    due_at: float
    started_at: float
    finished_at: float
    attempt: int
    fence: int
    owner: str
    lease_until: float
    commit: str
    release: str
    exit_code: int
    error: str
    result: str


@dataclass(frozen=True, slots=True)
class Head:
    """What became of the newest commit of one app's ref that a job has dealt with."""

    app: str
    ref: str
    commit: str
    status: Status
    job: int
    settled_at: float


@dataclass(frozen=True, slots=True)
class LiveApp:
    """What the receiver put live last for one app."""

    app: str
    ref: str
    commit: str
    release: str
    job: int
    since: float
