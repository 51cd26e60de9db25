"""The life of a job: claimed under a lease, renewed, settled once, and found again when its worker has died.

Whoever claims a job gets a fence. Each later change names it, so that one who was taken for dead changes nothing more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, case, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from receiver.errors import StoreUnavailable
from receiver.store.counters import add_deploy
from receiver.store.database import Database
from receiver.store.queueing import Request, enqueue
from receiver.store.rows import Job, Source, Status
from receiver.store.schema import apps, heads, jobs
from receiver.store.upserting import upsert

__all__ = ["LEASE_SECONDS", "Settled", "cancel", "claim", "job_of", "recover", "renew", "request", "requeue", "settle"]

LEASE_SECONDS = 30.0
LONGEST_WAIT = 3_600.0
"""No job is put off for longer; one that seems to be was put off by another clock."""


@dataclass(frozen=True, slots=True)
class Settled:
    """How a job ended. ``release`` is what is live now, ``result`` the deploy's answer as JSON; either may be empty.

    ``dropped`` is how many requests the probe lost.
    """

    status: Status
    commit: str = ""
    release: str = ""
    exit_code: int = 0
    error: str = ""
    result: str = ""
    dropped: int = 0


def job_of(row: Row[Any]) -> Job:
    """A row of ``jobs`` as a value."""
    values = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it
    values["commit"] = values.pop("commit_id")
    return Job(**values | {"status": Status(values["status"]), "source": Source(values["source"])})


def request(database: Database, wanted: Request) -> int:
    """Store a job that a person, the API or catch-up wants. Returns its id. Raises StoreUnavailable."""
    with database.writing() as connection:
        return enqueue(connection, wanted, database.now(connection))


def claim(database: Database, owner: str, configured: Collection[str]) -> Job | None:
    """Take the job that has waited longest among those of ``configured`` apps, if there is one. Raises StoreUnavailable."""
    try:
        with database.writing() as connection:
            now = database.now(connection)
            found = connection.execute(_next(configured, now)).scalar()
            return None if found is None else _take(connection, found, owner, now)
    except StoreUnavailable as error:
        if isinstance(error.__cause__, IntegrityError):
            return None  # another receiver has just begun a job of the same app
        raise


def _next(configured: Collection[str], now: float) -> Any:
    other = jobs.alias("other")
    # These words, and no parameters: the indexes of only such jobs are used then, however many there ever were.
    running, waiting = text("other.status = 'running'"), text("jobs.status = 'waiting'")
    busy = select(other.c.id).where(other.c.app == jobs.c.app, running).exists()
    return (
        select(jobs.c.id)
        .where(
            waiting,
            # An expression has no index: that of the column would lead SQLite to all jobs that the apps ever had.
            (jobs.c.app + "").in_(sorted(configured)),
            or_(jobs.c.due_at <= now, jobs.c.due_at > now + LONGEST_WAIT),
            ~busy,
        )
        .order_by(jobs.c.created_at, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=jobs)
    )


def _take(connection: Connection, number: int, owner: str, now: float) -> Job:
    values = {
        "status": Status.RUNNING.value,
        "owner": owner,
        "lease_until": now + LEASE_SECONDS,
        "started_at": now,
        "attempt": jobs.c.attempt + 1,
        "fence": jobs.c.fence + 1,
    }
    return job_of(connection.execute(update(jobs).where(jobs.c.id == number).values(values).returning(jobs)).one())


def renew(database: Database, held: Collection[Job]) -> frozenset[int]:
    """Keep the leases of ``held`` jobs. Returns the ids of those that are still ours. Raises StoreUnavailable."""
    with database.writing() as connection:
        until = database.now(connection) + LEASE_SECONDS
        return frozenset(
            job.id
            for job in held
            if connection.execute(update(jobs).where(_ours(job)).values(lease_until=until)).rowcount
        )


def _ours(job: Job) -> Any:
    return and_(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.status == Status.RUNNING.value)


def settle(database: Database, job: Job, ended: Settled) -> bool:
    """Store how ``job`` ended, and with it what is live and what became of its ref. False: it is no longer ours.

    Raises StoreUnavailable.
    """
    with database.writing() as connection:
        now = database.now(connection)
        values = {
            "status": ended.status.value,
            "finished_at": now,
            "commit_id": ended.commit,
            "release": ended.release,
            "exit_code": ended.exit_code,
            "error": ended.error,
            "result": ended.result,
            "owner": "",
        }
        if not connection.execute(update(jobs).where(_ours(job)).values(values)).rowcount:
            return False
        add_deploy(connection, job.app, ended.status.value, max(0.0, now - job.started_at), ended.dropped)
        if job.kind == "deploy" and ended.commit:
            head = {"commit_id": ended.commit, "status": ended.status.value, "job": job.id, "settled_at": now}
            upsert(connection, heads, ["app", "ref"], {"app": job.app, "ref": job.ref} | head)
        if ended.status in {Status.SUCCEEDED, Status.UNCHANGED} and ended.release:
            live = {"ref": job.ref, "commit_id": ended.commit, "release": ended.release, "job": job.id, "since": now}
            upsert(connection, apps, ["app"], {"app": job.app} | live)
        return True


def requeue(database: Database, job: Job, *, after: float, error: str = "") -> bool:
    """Let ``job`` wait again, for ``after`` seconds; one that already waits for the same ref replaces it.

    False: it is no longer ours. Raises StoreUnavailable.
    """
    with database.writing() as connection:
        found = connection.execute(select(jobs).where(_ours(job)).with_for_update()).first()
        if found is None:
            return False
        _put_back(connection, job_of(found), database.now(connection), after, error)
        return True


def _put_back(connection: Connection, job: Job, now: float, after: float, error: str) -> None:
    same = and_(jobs.c.app == job.app, jobs.c.kind == job.kind, jobs.c.ref == job.ref)
    newer = connection.execute(select(jobs.c.id).where(same, jobs.c.status == Status.WAITING.value)).scalar()
    if newer is None:
        values: dict[str, Any] = {"status": Status.WAITING.value, "owner": "", "due_at": now + after, "error": error}
    else:
        values = {"status": Status.SUPERSEDED.value, "owner": "", "finished_at": now, "error": f"replaced by #{newer}"}
        forced = case((jobs.c.forced, jobs.c.forced), else_=job.forced)
        connection.execute(update(jobs).where(jobs.c.id == newer).values(forced=forced))
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(values))


def recover(database: Database, dead: Collection[str]) -> tuple[Job, ...]:
    """Let the jobs of workers that are ``dead`` wait again, and on PostgreSQL those whose lease is over.

    On SQLite a lease says nothing: all workers are on one machine, whose clock may jump. Raises StoreUnavailable.
    """
    with database.writing() as connection:
        now = database.now(connection)
        lost: Any = jobs.c.owner.in_(sorted(dead))
        if not database.is_sqlite:
            lost = or_(lost, jobs.c.lease_until < now)
        running = select(jobs).where(jobs.c.status == Status.RUNNING.value, lost).with_for_update(skip_locked=True)
        found = tuple(map(job_of, connection.execute(running)))
        for job in found:
            _put_back(connection, job, now, 0, "its worker was killed; it runs again")
        return found


def cancel(database: Database, number: int, by: str) -> bool:
    """Take a waiting job out of the queue. False: it does not wait. Raises StoreUnavailable."""
    with database.writing() as connection:
        waits = and_(jobs.c.id == number, jobs.c.status == Status.WAITING.value)
        values = {
            "status": Status.CANCELLED.value,
            "finished_at": database.now(connection),
            "error": f"cancelled by {by}",
        }
        return bool(connection.execute(update(jobs).where(waits).values(values)).rowcount)
