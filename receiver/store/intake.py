"""Storing deliveries together with the jobs that they lead to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, bindparam, select

from receiver.hooks import Event, Ignored, Wanted
from receiver.store.queueing import Key, Request, enqueue, enqueue_all
from receiver.store.rows import Source, Status
from receiver.store.schema import deliveries, fates, heads, jobs
from receiver.store.upserting import Insert, insert_into, replacing

__all__ = ["RETRY_SECONDS", "Arrival", "Fate", "Recorded", "record"]

RETRY_SECONDS = 60
"""How long after a failure the same delivery may ask for another try."""


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
class Recorded:
    """A delivery in the tables: its row, and what became of it for each app."""

    row: int
    fates: tuple[Fate, ...]


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What became of the newest earlier delivery that is the same, for one app."""

    delivery: int
    verdict: str
    reason: str
    job: int


def record(connection: Connection, arrivals: Sequence[Arrival]) -> list[Recorded]:
    """Store deliveries, and a job for each app that wants one: as if one came after the other, but in few statements.

    The same delivery is one with the same id *or* body, for each app by itself: a body that somebody else has signed for
    another app, or sends again under a new id or as another event, neither hides the real one nor deploys again.
    """
    return [recorded for group in _distinct(arrivals) for recorded in _record(connection, group)]


def _distinct(arrivals: Sequence[Arrival]) -> Iterator[Sequence[Arrival]]:
    """Parts in which no delivery is the same as another: only the next part can see what this one has stored."""
    group: list[Arrival] = []
    seen: set[str] = set()
    for arrival in arrivals:
        if not seen.isdisjoint((arrival.guid, arrival.digest)):
            yield group
            group, seen = [], set()
        group.append(arrival)
        seen |= {arrival.guid, arrival.digest}
    yield group


def _record(connection: Connection, arrivals: Sequence[Arrival]) -> list[Recorded]:
    rows = _store_deliveries(connection, arrivals)
    earlier = _earlier(connection, arrivals, rows)
    new = [
        (_request(app, verdict, arrival), arrival.received_at)
        for arrival in arrivals
        for app, verdict in arrival.verdicts
        if isinstance(verdict, Wanted) and (arrival.guid, app) not in earlier
    ]
    queued = enqueue_all(connection, new)
    recorded = []
    for arrival in arrivals:
        found = (
            _fate(connection, arrival, app, verdict, earlier.get((arrival.guid, app)), queued)
            for app, verdict in arrival.verdicts
        )
        recorded.append(Recorded(rows[arrival.guid].id, tuple(found)))
    fates = [_fate_values(each.row, fate) for each in recorded for fate in each.fates]
    if fates:
        connection.execute(_storing_fate(connection.dialect.name), fates)
    return recorded


def _store_deliveries(connection: Connection, arrivals: Sequence[Arrival]) -> dict[str, Any]:
    """The rows, by their delivery's id; ``repeats`` is 0 for a new one."""
    connection.execute(_storing_delivery(connection.dialect.name), [_delivery_values(arrival) for arrival in arrivals])
    found = connection.execute(_finding_deliveries(), {"guids": [arrival.guid for arrival in arrivals]})
    return {row.guid: row for row in found}


def _delivery_values(arrival: Arrival) -> dict[str, object]:
    event = arrival.event
    return {
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


@cache
def _storing_delivery(dialect: str) -> Insert:
    insert = insert_into(dialect, deliveries)
    return insert.on_conflict_do_update(index_elements=["guid"], set_={"repeats": deliveries.c.repeats + 1})


@cache
def _finding_deliveries() -> Any:
    columns = (deliveries.c.id, deliveries.c.guid, deliveries.c.repeats)
    return select(*columns).where(deliveries.c.guid.in_(bindparam("guids", expanding=True)))


def _earlier(
    connection: Connection, arrivals: Sequence[Arrival], rows: Mapping[str, Any]
) -> dict[tuple[str, str], _Earlier]:
    """By a delivery's id and an app."""
    digests = {arrival.digest: arrival.guid for arrival in arrivals}
    repeated = {row.id: row.guid for row in rows.values() if row.repeats}
    found: dict[tuple[str, str], _Earlier] = {}
    for column, guids in (deliveries.c.digest, digests), (deliveries.c.id, repeated):
        rows_found = connection.execute(_finding_earlier(column), {"keys": list(guids)}) if guids else ()
        for key, app, *facts in rows_found:
            one, other = _Earlier(*facts), found.get((guids[key], app))
            found[guids[key], app] = other if other and other.delivery > one.delivery else one
    return found


@cache
def _finding_earlier(column: Column[Any]) -> Any:
    return (
        select(column, fates.c.app, fates.c.delivery, fates.c.verdict, fates.c.reason, fates.c.job)
        .join(deliveries, deliveries.c.id == fates.c.delivery)
        .where(column.in_(bindparam("keys", expanding=True)), fates.c.verdict != "ignored")
    )


def _fate(
    connection: Connection,
    arrival: Arrival,
    app: str,
    verdict: Wanted | Ignored,
    earlier: _Earlier | None,
    queued: Mapping[Key, int],
) -> Fate:
    if isinstance(verdict, Ignored):
        if earlier:
            return Fate(app, earlier.verdict, earlier.reason, earlier.job)
        return Fate(app, "ignored", verdict.reason, 0)
    request = _request(app, verdict, arrival)
    if earlier is None:
        return Fate(app, "queued", "", queued[request.key])
    if _has_failed(connection, app, verdict.ref, arrival.received_at):
        job = enqueue(connection, request, arrival.received_at)
        return Fate(app, "queued", "delivered again after its deploy failed", job)
    return Fate(app, "repeated", "delivered before; only a failed deploy is tried again", earlier.job)


def _fate_values(row: int, fate: Fate) -> dict[str, object]:
    return {"delivery": row, "app": fate.app, "verdict": fate.verdict, "reason": fate.reason, "job": fate.job}


@cache
def _storing_fate(dialect: str) -> Insert:
    return replacing(dialect, fates, ["delivery", "app"])


def _request(app: str, wanted: Wanted, arrival: Arrival) -> Request:
    return Request(app, wanted.ref, Source(arrival.event.name), hint=wanted.commit, run_id=wanted.run_id)


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
