"""What a million stored deliveries cost a page and the next delivery."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from receiver.hooks import Event, Wanted
from receiver.store import Database, history
from receiver.store.intake import Arrival, record
from receiver.store.schema import deliveries, fates, jobs

__all__ = ["fill", "page_times"]

FEW = 1_000
BATCH = 10_000
REPEATS = 30


def fill(folder: Path, many: int) -> Mapping[int, Database]:
    """Two databases, with a thousand deliveries and with ``many``; every tenth has led to a job."""
    folder.mkdir(parents=True)
    found = {}
    for count in (FEW, many):
        database = Database.open(f"sqlite:///{folder / f'{count}.db'}")
        for start in range(1, count + 1, BATCH):
            numbers = range(start, min(start + BATCH, count + 1))
            with database.writing() as connection:
                connection.execute(insert(deliveries), [_delivery(number) for number in numbers])
                connection.execute(insert(fates), [_fate(number) for number in numbers])
                connection.execute(insert(jobs), [_job(number // 10) for number in numbers if number % 10 == 0])
        found[count] = database
    return found


def _delivery(number: int) -> dict[str, Any]:
    return {
        "id": number, "guid": f"guid-{number}", "digest": f"{number:064x}", "event": "push", "action": "",
        "repository": "octo/blog", "ref": "refs/heads/main", "commit_id": f"{number:040x}", "run_id": 0,
        "received_at": float(number), "repeats": 0,
    }  # fmt: skip


def _fate(number: int) -> dict[str, Any]:
    verdict = "ignored" if number % 10 else "queued"
    return {
        "delivery": number,
        "app": "blog",
        "verdict": verdict,
        "reason": "",
        "job": 0 if number % 10 else number // 10,
    }


def _job(number: int) -> dict[str, Any]:
    return {
        "id": number, "app": "blog", "kind": "deploy", "ref": "refs/heads/main", "hint": f"{number:040x}",
        "source": "push", "forced": False, "run_id": 0, "target": "", "requested_by": "", "status": "succeeded",
        "created_at": float(number), "due_at": float(number), "started_at": float(number),
        "finished_at": float(number), "attempt": 1, "fence": 1, "owner": "", "lease_until": 0.0,
        "commit_id": f"{number:040x}", "release": f"r{number}", "exit_code": 0, "error": "", "result": "",
    }  # fmt: skip


def page_times(databases: Mapping[int, Database], many: int) -> Sequence[tuple[str, float, float]]:
    """Medians in milliseconds: what is measured, and how long it takes with few and with ``many`` stored."""
    names = list(_measured(databases[FEW], FEW))
    few, lots = (
        {name: _median(act) for name, act in _measured(databases[count], count).items()} for count in (FEW, many)
    )
    return [(name, few[name], lots[name]) for name in names]


def _measured(database: Database, count: int) -> dict[str, Callable[[], object]]:
    at = [count]

    def reading(query: Callable[..., object], *values: object) -> Callable[[], object]:
        def act() -> object:
            with database.reading() as connection:
                return query(connection, *values)

        return act

    def store() -> None:
        at[0] += 1
        event = Event("push", "octo/blog", ref="refs/heads/main", commit=f"{at[0]:040x}")
        arrival = Arrival(
            f"new-{at[0]}", f"{at[0] + 10**12:064x}", event, time.time(), (("blog", Wanted(event.ref, event.commit)),)
        )
        with database.writing() as connection:
            record(connection, [arrival])

    return {
        "newest deliveries": reading(history.deliveries_before, None, 50),
        "deliveries from the middle": reading(history.deliveries_before, count // 2, 50),
        "one delivery": reading(history.delivery, f"guid-{count // 2}"),
        "newest jobs of an app": reading(history.jobs_before, None, 50, "blog"),
        "the queue": reading(history.queue),
        "store a delivery": store,
    }


def _median(act: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)
