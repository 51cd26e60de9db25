"""Filling a SQLite with a history that no test could wait for, by the driver's executemany."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

__all__ = ["fill"]

_EVERY = 5
"""Each fifth delivery led to a job."""


def fill(database: Path, deliveries: int, app: str = "blog", now: float = 1_790_000_000.0) -> None:
    """Store ``deliveries`` with their fates, and a fifth as many jobs that are over, half of which failed."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        connection.executemany(
            "INSERT INTO deliveries VALUES (?, ?, ?, 'push', '', 'octo/blog', ?, ?, 0, ?, 0)",
            (
                (n, f"72d3162e-cc78-11e3-81ab-{n:012x}", f"{n:064x}", "refs/heads/main", f"{n:040x}", now + n)
                for n in range(1, deliveries + 1)
            ),
        )
        connection.executemany(
            "INSERT INTO fates VALUES (?, ?, ?, '', ?)",
            (
                (n, app, "ignored" if n % _EVERY else "queued", 0 if n % _EVERY else n // _EVERY)
                for n in range(1, deliveries + 1)
            ),
        )
        connection.executemany(
            f"INSERT INTO jobs VALUES ({', '.join('?' * 24)})", _jobs(deliveries // _EVERY, app, now)
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _jobs(count: int, app: str, now: float) -> Iterator[tuple[object, ...]]:
    result = '{"probe": {"requests": 240, "dropped": 0}}'
    for n in range(1, count + 1):
        at = now + n * _EVERY
        status, code, error = ("failed", 1, "the build failed") if n % 2 else ("succeeded", 0, "")
        release = "" if n % 2 else f"20261129T{n % 1_000_000:06d}Z-{n:07x}"
        yield (
            n, app, "deploy", "refs/heads/main", f"{n:040x}", "push", False, 0, "", "", status, at, at, at, at + 9,
            1, 1, "", 0.0, f"{n:040x}", release, code, error, result,
        )  # fmt: skip
