"""The tables. Counters and times are plain numbers, so that SQLite and PostgreSQL keep the same.

``deliveries`` has one row for each delivery id; ``fates`` one for each app that it concerned; ``jobs`` is queue and history.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import BigInteger

__all__ = ["VERSION", "apps", "counters", "deliveries", "facts", "fates", "heads", "jobs", "metadata", "workers"]

VERSION = 1
metadata = MetaData()
# SQLite counts rows by itself only where the key is an INTEGER.
_Id = BigInteger().with_variant(Integer(), "sqlite")

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("guid", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, index=True),
    Column("event", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("repository", String(256), nullable=False),
    Column("ref", Text, nullable=False),
    Column("commit_id", String(64), nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("received_at", Double, nullable=False, index=True),
    Column("repeats", Integer, nullable=False, server_default="0"),
)

fates = Table(
    "fates",
    metadata,
    Column("delivery", _Id, ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("app", String(63), primary_key=True),
    Column("verdict", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("job", _Id, nullable=False, index=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("app", String(63), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("ref", Text, nullable=False),
    Column("hint", String(64), nullable=False),
    Column("source", String(16), nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("target", String(128), nullable=False),
    Column("requested_by", String(128), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("owner", String(128), nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("commit_id", String(64), nullable=False),
    Column("release", String(128), nullable=False),
    Column("exit_code", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("result", Text, nullable=False),
)
_waiting, _running = text("status = 'waiting'"), text("status = 'running'")
# The rules that must hold whatever happens are the database's: one active job per app, one that waits per ref.
Index("one_running", jobs.c.app, unique=True, sqlite_where=_running, postgresql_where=_running)
Index("one_waiting", jobs.c.app, jobs.c.kind, jobs.c.ref, unique=True, sqlite_where=_waiting, postgresql_where=_waiting)
Index("jobs_by_status", jobs.c.status, jobs.c.created_at)
Index("jobs_of_app", jobs.c.app, jobs.c.id)
Index("jobs_finished", jobs.c.finished_at)

heads = Table(
    "heads",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("commit_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("job", _Id, nullable=False),
    Column("settled_at", Double, nullable=False),
)

apps = Table(
    "apps",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("ref", Text, nullable=False),
    Column("commit_id", String(64), nullable=False),
    Column("release", String(128), nullable=False),
    Column("job", _Id, nullable=False),
    Column("since", Double, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)

facts = Table(
    "facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Single values: the schema's version, GitHub's networks, when the last catch-up was and how it ended."""

counters = Table(
    "counters",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("first", String(64), primary_key=True),
    Column("second", String(64), primary_key=True),
    Column("value", Double, nullable=False),
)
