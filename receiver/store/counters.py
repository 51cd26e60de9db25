"""Counters that only grow, for monitoring: kept beside what they count, so that they survive every restart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sqlalchemy import Connection, select

from receiver.store.schema import counters
from receiver.store.upserting import Insert, insert_into

__all__ = ["BUCKETS", "add", "add_deploy", "all_counters"]

BUCKETS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""Upper bounds of the histogram of deploys' durations, in seconds."""

Counter = tuple[str, str, str]
"""A counter's name and the values of its two labels; a label that it does not have is empty."""


def add(connection: Connection, amounts: Mapping[Counter, float]) -> None:
    """Add to counters, in the caller's transaction."""
    for (name, first, second), amount in sorted(amounts.items()):
        values = {"name": name, "first": first, "second": second, "value": amount}
        connection.execute(_growing(connection.dialect.name), values)


@cache
def _growing(dialect: str) -> Insert:
    insert = insert_into(dialect, counters)
    grown = {"value": counters.c.value + insert.excluded.value}
    return insert.on_conflict_do_update(index_elements=["name", "first", "second"], set_=grown)


def add_deploy(connection: Connection, app: str, status: str, seconds: float, dropped: int) -> None:
    """Count a job that has ended."""
    buckets: dict[Counter, float] = {("seconds_bucket", app, f"{bound:g}"): 1 for bound in BUCKETS if seconds <= bound}
    sums: dict[Counter, float] = {
        ("deploys", app, status): 1,
        ("seconds_count", app, ""): 1,
        ("seconds_sum", app, ""): seconds,
        ("dropped", app, ""): dropped,
    }
    add(connection, buckets | sums)


def all_counters(connection: Connection) -> dict[Counter, float]:
    """Every counter. There are as many as apps and words for what can happen: a few dozen."""
    rows = connection.execute(select(counters))
    return {(row.name, row.first, row.second): row.value for row in rows}
