"""Jobs that wait: one for each app, kind and ref, whoever wants it and however often."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, case, or_, text

from receiver.store.rows import Source, Status
from receiver.store.schema import jobs
from receiver.store.upserting import insert_into

__all__ = ["Key", "Request", "enqueue", "enqueue_all"]

Key = tuple[str, str, str]
"""A job's app, kind and ref."""
_WAITING = text("status = 'waiting'")


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

    @property
    def key(self) -> Key:
        """What only one job at a time waits for."""
        return self.app, self.kind, self.ref


def enqueue(connection: Connection, request: Request, now: float) -> int:
    """Store a job, or give the one that waits for the same app and ref what is newer. Returns its id."""
    return enqueue_all(connection, [(request, now)])[request.key]


def enqueue_all(connection: Connection, requests: Iterable[tuple[Request, float]]) -> dict[Key, int]:
    """The same for many, each with its time, as if one came after the other. Returns the ids of the jobs."""
    wanted: dict[Key, list[dict[str, object]]] = {}
    for request, now in requests:
        wanted.setdefault(request.key, []).append(_values(request, now))
    storing, storing_last = _storing(connection.dialect.name)
    ids = {}
    for key in sorted(wanted):  # in one order, so that two receivers do not wait for each other
        *before, last = wanted[key]
        if before:
            connection.execute(storing, before)
        ids[key] = int(connection.execute(storing_last, last).scalar_one())
    return ids


@cache
def _storing(dialect: str) -> tuple[Any, Any]:
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
    return merged, merged.returning(jobs.c.id)


def _values(request: Request, now: float) -> dict[str, object]:
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
