"""Reading what happened: every query follows an index and a limit, so that a million deliveries cost a page nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select, text

from receiver.store.jobs import job_of
from receiver.store.rows import Delivery, Head, Job, LiveApp, Status
from receiver.store.schema import apps, deliveries, facts, fates, heads, jobs, workers

__all__ = [
    "Queue",
    "active_jobs",
    "deliveries_before",
    "deliveries_of_job",
    "delivery",
    "fact",
    "has_worker",
    "head_of",
    "heads_of",
    "job",
    "jobs_before",
    "live_app",
    "live_apps",
    "queue",
    "statuses_of",
    "workers_seen",
]

# In these words, one by one: SQLite then looks into the indexes that have only such jobs, and not at all that ever were.
_ACTIVE = (text("jobs.status = 'running'"), text("jobs.status = 'waiting'"))


def job(connection: Connection, number: int) -> Job | None:
    """One job."""
    found = connection.execute(select(jobs).where(jobs.c.id == number)).first()
    return job_of(found) if found else None


def jobs_before(connection: Connection, before: int | None, limit: int, app: str = "") -> tuple[Job, ...]:
    """Jobs, newest first: those before the id ``before``, of ``app`` or of all."""
    query = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
    query = query.where(jobs.c.app == app) if app else query
    query = query if before is None else query.where(jobs.c.id < before)
    return tuple(map(job_of, connection.execute(query)))


def active_jobs(connection: Connection, app: str = "") -> tuple[Job, ...]:
    """Jobs that run or wait, in the order in which they were asked for."""
    found = [job_of(row) for active in _ACTIVE for row in connection.execute(select(jobs).where(active))]
    # By the app here, too: SQLite would take that for the better index, and look at all jobs that the app ever had.
    return tuple(sorted((job for job in found if app in {"", job.app}), key=lambda job: job.id))


def _deliveries() -> Select[Any]:
    return select(deliveries, fates.c.app, fates.c.verdict, fates.c.reason, fates.c.job).outerjoin(
        fates, fates.c.delivery == deliveries.c.id
    )


def _delivery_of(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        guid=row.guid,
        event=row.event,
        action=row.action,
        repository=row.repository,
        ref=row.ref,
        commit=row.commit_id,
        received_at=row.received_at,
        repeats=row.repeats,
        app=row.app or "",
        verdict=row.verdict or "ignored",
        reason=row.reason or "",
        job=row.job or 0,
    )


def statuses_of(connection: Connection, numbers: Collection[int]) -> dict[int, Status]:
    """What each of a page's jobs is doing, or how it ended, by its id; one that is forgotten is missing."""
    rows = connection.execute(select(jobs.c.id, jobs.c.status).where(jobs.c.id.in_(sorted(numbers))))
    return {number: Status(status) for number, status in rows}


def deliveries_before(connection: Connection, before: int | None, limit: int) -> tuple[Delivery, ...]:
    """Deliveries, newest first, one entry for each app that they concerned; ``limit`` counts deliveries."""
    chosen = select(deliveries.c.id).order_by(deliveries.c.id.desc()).limit(limit)
    chosen = chosen if before is None else chosen.where(deliveries.c.id < before)
    query = _deliveries().where(deliveries.c.id.in_(chosen.scalar_subquery()))
    return tuple(map(_delivery_of, connection.execute(query.order_by(deliveries.c.id.desc(), fates.c.app))))


def delivery(connection: Connection, guid: str) -> tuple[Delivery, ...]:
    """One delivery, an entry for each app; empty: it is not known."""
    query = _deliveries().where(deliveries.c.guid == guid).order_by(fates.c.app)
    return tuple(map(_delivery_of, connection.execute(query)))


def deliveries_of_job(connection: Connection, number: int, limit: int = 20) -> tuple[Delivery, ...]:
    """The newest deliveries that led to a job."""
    query = _deliveries().where(fates.c.job == number).order_by(deliveries.c.id.desc()).limit(limit)
    return tuple(map(_delivery_of, connection.execute(query)))


def head_of(connection: Connection, app: str, ref: str) -> Head | None:
    """What became of the ref's newest commit."""
    found = connection.execute(select(heads).where(and_(heads.c.app == app, heads.c.ref == ref))).first()
    return _head(found) if found else None


def heads_of(connection: Connection, app: str) -> tuple[Head, ...]:
    """What became of each of the app's refs, newest first; a hundred at most."""
    query = select(heads).where(heads.c.app == app).order_by(heads.c.settled_at.desc()).limit(100)
    return tuple(map(_head, connection.execute(query)))


def _head(row: Row[Any]) -> Head:
    return Head(row.app, row.ref, row.commit_id, Status(row.status), row.job, row.settled_at)


def live_app(connection: Connection, app: str) -> LiveApp | None:
    """What the receiver put live last for ``app``."""
    found = connection.execute(select(apps).where(apps.c.app == app)).first()
    return LiveApp(found.app, found.ref, found.commit_id, found.release, found.job, found.since) if found else None


def live_apps(connection: Connection) -> dict[str, LiveApp]:
    """What is live of every app, by its name."""
    rows = connection.execute(select(apps))
    return {row.app: LiveApp(row.app, row.ref, row.commit_id, row.release, row.job, row.since) for row in rows}


@dataclass(frozen=True, slots=True)
class Queue:
    """How many jobs wait and run, and since when (seconds since 1970; 0: none waits) the oldest waits."""

    waiting: int
    running: int
    oldest: float


def queue(connection: Connection) -> Queue:
    """The queue at this moment."""
    columns = (func.count(), func.coalesce(func.min(jobs.c.created_at), 0.0))
    (running, _), (waiting, oldest) = (connection.execute(select(*columns).where(each)).one() for each in _ACTIVE)
    return Queue(waiting, running, oldest)


WORKER_SECONDS = 60
"""A worker that nobody has seen for this long is gone."""


def has_worker(connection: Connection, now: float) -> bool:
    """Whether a worker was seen lately."""
    return any(now - at < WORKER_SECONDS for at in workers_seen(connection).values())


def workers_seen(connection: Connection) -> dict[str, float]:
    """When each worker was seen last, by its name."""
    return {row.owner: row.seen_at for row in connection.execute(select(workers.c.owner, workers.c.seen_at))}


def fact(connection: Connection, name: str) -> str:
    """A single stored value; empty: there is none."""
    return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar() or ""
