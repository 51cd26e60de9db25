"""Which releases an app has had, as its jobs tell."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from receiver.store.rows import Status
from receiver.store.schema import jobs

__all__ = ["Release", "commit_before", "releases_of"]

LOOKED_AT = 500
"""Jobs: a page must not take longer for an app that has failed a million times."""
_LIVE = frozenset({Status.SUCCEEDED.value, Status.UNCHANGED.value})


@dataclass(frozen=True, slots=True)
class Release:
    """A release that went live: its commit, and the job that brought it first among those that are known."""

    name: str
    commit: str
    job: int
    at: float


def releases_of(connection: Connection, app: str, limit: int) -> tuple[Release, ...]:
    """The newest releases of ``app``; whether its hosts have kept them is theirs to say."""
    columns = (jobs.c.id, jobs.c.status, jobs.c.release, jobs.c.commit_id, jobs.c.finished_at)
    newest = select(*columns).where(jobs.c.app == app).order_by(jobs.c.id.desc()).limit(LOOKED_AT)
    found: dict[str, Release] = {}
    for row in connection.execute(newest):
        if row.release and row.status in _LIVE:
            # The older job's word counts: a later one only went back to the release, or found it live.
            later = found.get(row.release)
            commit = row.commit_id or (later.commit if later else "")
            found[row.release] = Release(row.release, commit, row.id, row.finished_at)
    # A release's name begins with its time.
    return tuple(sorted(found.values(), key=lambda release: release.name, reverse=True)[:limit])


def commit_before(connection: Connection, app: str, job: int) -> str:
    """The commit that was live before ``job``, as far as its last hundred predecessors tell; empty: not known."""
    columns = (jobs.c.status, jobs.c.commit_id)
    earlier = select(*columns).where(jobs.c.app == app, jobs.c.id < job).order_by(jobs.c.id.desc()).limit(100)
    return next((row.commit_id for row in connection.execute(earlier) if row.status in _LIVE and row.commit_id), "")
