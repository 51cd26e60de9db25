"""Storing deliveries together with the jobs that they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, case, or_, select, text

from receiver.hooks import Event, Ignored, Wanted
from receiver.store.rows import Source, Status
from receiver.store.schema import deliveries, fates, heads, jobs
from receiver.store.upserting import Insert, insert_into, replacing

__all__ = ["RETRY_SECONDS", "Arrival", "Fate", "Request", "enqueue", "record"]

RETRY_SECONDS = 60
"""How long after a failure the same delivery may ask for another try."""
_WAITING = text("status = 'waiting'")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A verified delivery: its id, the SHA-256 of its body, what it says and what each of its apps makes of that."""

    guid: str
    digest: str
    event: Event
    received_at: float
    verdicts: tuple[tuple[str, Wanted | Ignored], ...]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a delivery for one app: ``queued``, ``ignored`` or ``repeated``; ``job`` is 0 where there is none."""

    app: str
    verdict: str
    reason: str
    job: int


@dataclass(frozen=True, slots=True)
class Request:
    """A job that somebody wants; see :class:`receiver.store.Job` for its fields."""

    app: str
    ref: str
    source: Source
    kind: str = "deploy"
    hint: str = ""
    run_id: int = 0
    forced: bool = False
    target: str = ""
    requested_by: str = ""


def record(connection: Connection, arrival: Arrival) -> tuple[int, tuple[Fate, ...]]:
    """Store one delivery, and a job for each app that wants it. Returns the delivery's row and the apps' fates.

    The same delivery is one with the same id *or* body, for each app by itself: a body that somebody else has signed for
    another app, or sends again under a new id or as another event, neither hides the real one nor deploys again.
    """
    row, is_new = _delivery(connection, arrival)
    found = tuple(_fate(connection, row, arrival, app, verdict, is_new=is_new) for app, verdict in arrival.verdicts)
    for fate in found:
        connection.execute(_storing_fate(connection.dialect.name), _values(row, fate))
    return row, found


def _values(row: int, fate: Fate) -> dict[str, object]:
    return {"delivery": row, "app": fate.app, "verdict": fate.verdict, "reason": fate.reason, "job": fate.job}


def _delivery(connection: Connection, arrival: Arrival) -> tuple[int, bool]:
    event = arrival.event
    values = {
        "guid": arrival.guid,
        "digest": arrival.digest,
        "event": event.name,
        "action": event.action,
        "repository": event.repository,
        "ref": event.ref,
        "commit_id": event.commit,
        "run_id": event.run_id,
        "received_at": arrival.received_at,
        "repeats": 0,
    }
    row, repeats = connection.execute(_storing_delivery(connection.dialect.name), values).one()
    return row, repeats == 0


@cache
def _storing_delivery(dialect: str) -> Any:
    insert = insert_into(dialect, deliveries)
    again = insert.on_conflict_do_update(index_elements=["guid"], set_={"repeats": deliveries.c.repeats + 1})
    return again.returning(deliveries.c.id, deliveries.c.repeats)


@cache
def _storing_fate(dialect: str) -> Insert:
    return replacing(dialect, fates, ["delivery", "app"])


def _fate(
    connection: Connection, row: int, arrival: Arrival, app: str, verdict: Wanted | Ignored, *, is_new: bool
) -> Fate:
    earlier = _earlier(connection, row, arrival.digest, app, is_new=is_new)
    if isinstance(verdict, Ignored):
        return Fate(app, *earlier) if earlier else Fate(app, "ignored", verdict.reason, 0)
    source = Source(arrival.event.name)
    if earlier is None:
        job = enqueue(connection, _request(app, verdict, source), arrival.received_at)
        return Fate(app, "queued", "", job)
    if _has_failed(connection, app, verdict.ref, arrival.received_at):
        job = enqueue(connection, _request(app, verdict, source), arrival.received_at)
        return Fate(app, "queued", "delivered again after its deploy failed", job)
    return Fate(app, "repeated", "delivered before; only a failed deploy is tried again", earlier[2])


def _request(app: str, wanted: Wanted, source: Source) -> Request:
    return Request(app, wanted.ref, source, hint=wanted.commit, run_id=wanted.run_id)


def _earlier(connection: Connection, row: int, digest: str, app: str, *, is_new: bool) -> tuple[str, str, int] | None:
    values = {"digest": digest, "app": app} | ({} if is_new else {"row": row})
    found = connection.execute(_finding_earlier(by_row=not is_new), values).first()
    return (found.verdict, found.reason, found.job) if found else None


@cache
def _finding_earlier(*, by_row: bool) -> Any:
    same = deliveries.c.digest == bindparam("digest")
    return (
        select(fates.c.verdict, fates.c.reason, fates.c.job)
        .join(deliveries, deliveries.c.id == fates.c.delivery)
        .where(
            or_(deliveries.c.id == bindparam("row"), same) if by_row else same,
            fates.c.app == bindparam("app"),
            fates.c.verdict != "ignored",
        )
        .order_by(fates.c.delivery.desc())
        .limit(1)
    )


def _has_failed(connection: Connection, app: str, ref: str, now: float) -> bool:
    """Whether the ref's newest deploy failed long enough ago. One that waits or runs meanwhile is no reason for another."""
    query = select(heads.c.settled_at).where(
        heads.c.app == app, heads.c.ref == ref, heads.c.status == Status.FAILED.value
    )
    settled = connection.execute(query).scalar()
    # A clock that was set back must not make anybody wait for a year.
    if settled is None or 0 <= now - settled < RETRY_SECONDS:
        return False
    active = select(jobs.c.id).where(
        jobs.c.app == app, jobs.c.ref == ref, jobs.c.status.in_([Status.WAITING.value, Status.RUNNING.value])
    )
    return connection.execute(active.limit(1)).first() is None


def enqueue(connection: Connection, request: Request, now: float) -> int:
    """Store a job, or give the one that waits for the same app and ref what is newer. Returns its id."""
    found = connection.execute(_storing_job(connection.dialect.name), _job_values(request, now))
    return int(found.scalar_one())


@cache
def _storing_job(dialect: str) -> Any:
    insert = insert_into(dialect, jobs)
    new = insert.excluded
    newer = new.run_id >= jobs.c.run_id
    merged = insert.on_conflict_do_update(
        index_elements=["app", "kind", "ref"],
        index_where=_WAITING,
        set_={
            # Runs are numbered in the order in which they began; everything else is only a hint.
            "hint": case((newer, new.hint), else_=jobs.c.hint),
            "run_id": case((newer, new.run_id), else_=jobs.c.run_id),
            "source": new.source,
            "forced": or_(jobs.c.forced, new.forced),
            "target": new.target,
            "requested_by": new.requested_by,
            "due_at": new.due_at,
        },
    )
    return merged.returning(jobs.c.id)


def _job_values(request: Request, now: float) -> dict[str, object]:
    return {
        "app": request.app,
        "kind": request.kind,
        "ref": request.ref,
        "hint": request.hint,
        "source": request.source.value,
        "forced": request.forced,
        "run_id": request.run_id,
        "target": request.target,
        "requested_by": request.requested_by,
        "status": Status.WAITING.value,
        "created_at": now,
        "due_at": now,
        "started_at": 0.0,
        "finished_at": 0.0,
        "attempt": 0,
        "fence": 0,
        "owner": "",
        "lease_until": 0.0,
        "commit_id": "",
        "release": "",
        "exit_code": 0,
        "error": "",
        "result": "",
    }
