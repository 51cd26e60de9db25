"""What keeps the tables small and says who is alive."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.sql import Delete

from receiver.store.database import Database
from receiver.store.history import fact
from receiver.store.rows import Status
from receiver.store.schema import apps, deliveries, facts, heads, jobs, workers
from receiver.store.upserting import upsert

__all__ = ["forget_old", "forget_workers", "is_steady", "remember", "see_worker"]

BATCH = 500
_DAY = 86_400
_LAST = "retention"


def remember(database: Database, name: str, value: str) -> None:
    """Store a single value. Raises StoreUnavailable."""
    with database.writing() as connection:
        upsert(connection, facts, ["name"], {"name": name, "value": value})


def see_worker(database: Database, owner: str, started_at: float) -> None:
    """Store that a worker is alive. Raises StoreUnavailable."""
    with database.writing() as connection:
        values = {"owner": owner, "started_at": started_at, "seen_at": database.now(connection)}
        upsert(connection, workers, ["owner"], values)


def forget_workers(database: Database, dead: Collection[str]) -> None:
    """Workers that have ended. Raises StoreUnavailable."""
    with database.writing() as connection:
        connection.execute(delete(workers).where(workers.c.owner.in_(sorted(dead))))


def is_steady(database: Database) -> bool:
    """Whether the last look at the clock was less than two days ago. Remembers this one. Raises StoreUnavailable.

    A clock that jumps must not cost the history: nothing old is deleted by one that has just come from somewhere else.
    """
    with database.writing() as connection:
        now = database.now(connection)
        last = float(fact(connection, _LAST) or 0)
        upsert(connection, facts, ["name"], {"name": _LAST, "value": str(now)})
    return 0 <= now - last <= 2 * _DAY


def forget_old(database: Database, days: int) -> int:
    """Delete what is older than ``days``, in small transactions. Returns how many rows went. Raises StoreUnavailable.

    Nothing is deleted by a clock that is not steady.
    """
    if not is_steady(database):
        return 0
    with database.reading() as connection:
        now = database.now(connection)
    gone = 0
    for statement in _old(now - days * _DAY):
        while True:
            with database.writing() as connection:
                count = connection.execute(statement).rowcount
            gone += count
            if count < BATCH:
                break
    return gone


def _old(before: float) -> tuple[Delete, ...]:
    active = [Status.WAITING.value, Status.RUNNING.value]
    kept = select(apps.c.job).union(select(heads.c.job))
    received = select(deliveries.c.id).where(deliveries.c.received_at < before).limit(BATCH).scalar_subquery()
    finished = (
        select(jobs.c.id)
        .where(jobs.c.finished_at < before, jobs.c.status.not_in(active), jobs.c.id.not_in(kept))
        .limit(BATCH)
        .scalar_subquery()
    )
    # Fates go with their deliveries: the database sees to it.
    return (
        delete(deliveries).where(deliveries.c.id.in_(received)),
        delete(jobs).where(jobs.c.id.in_(finished)),
    )
